"""Stand-ins for a model of which nothing is known but the dimension: no validator that needs a model finds anything."""

from pathlib import Path

import numpy as np

from resources.embedding.identity import ModelIdentity
from resources.reconciliation.audit.calibration import Calibration


def unknown_model(dimension: int) -> ModelIdentity:
    """Return an identity that asks nothing of a vector but its dimension."""
    return ModelIdentity(
        name="unknown",
        path=Path(),
        weights_sha256="",
        dimension=dimension,
        token_dimension=1,
        max_tokens=0,
        pooling="",
        normalised=False,
        fingerprint="",
    )


def unknown_calibration(dimension: int) -> Calibration:
    """Return a calibration by which every vector is usual."""
    nothing = np.zeros((dimension, 1), np.float32)
    return Calibration(
        relation=nothing,
        relation_bias=np.zeros(1, np.float32),
        relation_min=-1.0,
        own=nothing,
        context=nothing,
        text_bias=np.zeros(1, np.float32),
        mean=np.zeros(dimension, np.float32),
        rare=np.zeros((dimension, 0), np.float32),
        spread=0.0,
        fingerprint="",
    )
