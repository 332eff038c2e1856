"""What a model's own healthy output looks like: linear maps fitted on neutral text, and thresholds between healthy and
planted bad vectors. Only data and its files; `calibrate` fits it, `plausible` and `text` use it.
"""

import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import structlog

from resources.embedding.checkpoint import DEFAULT_WEIGHTS_SHA256
from resources.embedding.identity import ModelIdentity
from resources.errors import StoreError

log = structlog.get_logger(__name__)

SHIPPED = {DEFAULT_WEIGHTS_SHA256: "all-MiniLM-L6-v2.npz"}


@dataclass(frozen=True)
class Calibration:
    """Of one model fingerprint; d is its dimension, t its token dimension, all matrices float32.

    `relation` (d, t) and `relation_bias` (t,) predict the mean of a chunk's stored token vectors from its pooled
    vector; a healthy prediction has a cosine of at least `relation_min` to the truth. `own` and `context` (d, t) and
    `text_bias` (t,) predict a stored token vector from the model's static embeddings of that token and of the whole
    text (their mean). `mean` (d,) and `rare` (d, k) are the mean pooled vector and the directions in which pooled
    vectors hardly vary. `spread` is 1 - |mean|²: how unlike each other pooled vectors are.
    """

    relation: np.ndarray
    relation_bias: np.ndarray
    relation_min: float
    own: np.ndarray
    context: np.ndarray
    text_bias: np.ndarray
    mean: np.ndarray
    rare: np.ndarray
    spread: float
    fingerprint: str

    def save(self, path: Path) -> None:
        """Write it whole or not at all; matrices as float16, which moves a cosine by less than 0.0005."""
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = {one.name: np.asarray(getattr(self, one.name)) for one in fields(self)}
        small = {name: value.astype(np.float16) if value.ndim == 2 else value for name, value in arrays.items()}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **small)
        temporary = path.with_suffix(".new")
        temporary.write_bytes(buffer.getvalue())
        temporary.replace(path)


def cosines(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the cosine of each pair of rows, (n,); 0 where a row is zero, not finite where a number is not."""
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    found: np.ndarray = np.einsum("ij,ij->i", left, right) / np.maximum(lengths, np.finfo(np.float32).tiny)
    return found


def rare_share(pooled: np.ndarray, calibration: Calibration) -> np.ndarray:
    """Return how much of each vector's deviation from the mean lies in the calibration's rare directions, (n,)."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        away = pooled - calibration.mean
        share: np.ndarray = np.square(away @ calibration.rare).sum(axis=1) / np.square(away).sum(axis=1)
    return share


def calibration_of(model: ModelIdentity, folder: Path, fit: Callable[[], Calibration]) -> Calibration:
    """Return the shipped calibration of a model, else the one kept in `folder`, else fit it now and keep it there.

    A file that cannot be read is fitted anew, and one that cannot be written is done without: it only saves work.
    """
    shipped = _shipped(model.weights_sha256)
    if shipped is not None and shipped.fingerprint == model.fingerprint:
        return shipped
    path = folder / f"{model.fingerprint}.npz"
    try:
        kept = read_calibration(path)
    except StoreError:
        kept = None
    if kept is None or kept.fingerprint != model.fingerprint:
        kept = fit()
        try:
            kept.save(path)
        except OSError as error:
            log.warning(
                "the calibration cannot be kept, so the next audit fits it anew", path=str(path), reason=str(error)
            )
    return kept


def read_calibration(path: Path) -> Calibration:
    """Read a calibration file. Raises StoreError when there is none or it is damaged."""
    try:
        return _read(path.read_bytes())
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error) as error:
        raise StoreError(f"calibration {path} cannot be read: {error}") from error


@cache
def _shipped(weights_sha256: str) -> Calibration | None:
    name = SHIPPED.get(weights_sha256)
    data = files("resources.reconciliation.audit") / "data"
    return _read((data / name).read_bytes()) if name is not None else None


def _read(content: bytes) -> Calibration:
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        values = {one.name: arrays[one.name] for one in fields(Calibration)}
    numbers = {name: value.astype(np.float32) if value.ndim else value.item() for name, value in values.items()}
    return Calibration(**numbers)
