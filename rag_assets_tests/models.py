"""Real models made for tests: variants of the default one, saved to a directory. No test doubles belong here."""

import json
import shutil
from pathlib import Path

from safetensors.numpy import load_file, save_file

from resources.embedding.checkpoint import DEFAULT_MODEL, open_checkpoint


def copy_default_model(path: Path) -> Path:
    """Copy the default model's directory to `path`."""
    shutil.copytree(open_checkpoint(DEFAULT_MODEL).path, path)
    return path


def save_second_model(path: Path) -> str:
    """Save the default model without its last layer to `path`: another model of the same dimension and tokenizer."""
    copy_default_model(path)
    config = json.loads((path / "config.json").read_text("utf-8"))
    last = config["num_hidden_layers"] - 1
    (path / "config.json").write_text(json.dumps(config | {"num_hidden_layers": last}), "utf-8")
    tensors = load_file(path / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith(f"encoder.layer.{last}.")}
    save_file(kept, path / "model.safetensors", metadata={"format": "pt"})
    return str(path)
