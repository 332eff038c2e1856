"""The shipped projections: per model, the directions that a compact token vector keeps.

A projection is fitted once, by `fit_projection`, and belongs to the weights it was fitted on. How vectors are turned
into bytes with it is `codec`'s business.
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from resources.embedding.checkpoint import DEFAULT_WEIGHTS_SHA256
from resources.identity import digest

SHIPPED = {DEFAULT_WEIGHTS_SHA256: "all-MiniLM-L6-v2.npz"}


@dataclass(frozen=True)
class Projection:
    """Takes `mean`, float32 (d,), from a unit token vector, then multiplies by `components`, float32 (d, kept)."""

    mean: np.ndarray
    components: np.ndarray

    @property
    def dimension(self) -> int:
        """Numbers kept of a token vector."""
        return int(self.components.shape[1])

    @property
    def fingerprint(self) -> str:
        """Identifies the numbers themselves, whatever file they came from."""
        return digest("projection", self.mean.tobytes(), self.components.tobytes())


@cache
def shipped_projection(weights_sha256: str) -> Projection | None:
    """Return the projection fitted on these weights, or None when the project ships none."""
    name = SHIPPED.get(weights_sha256)
    if name is None:
        return None
    with (files("resources.embedding") / "data" / name).open("rb") as file, np.load(file) as arrays:
        return Projection(arrays["mean"], arrays["components"])
