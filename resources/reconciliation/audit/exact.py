"""Validators whose verdict is a proof: no healthy row can look like what they look for.

Registered from the most telling to the least; `bit_rot` comes last, since a row damaged in any way fails it too.
"""

import math

import numpy as np

from resources.embedding.codec import SCALE
from resources.embedding.vectors import NORM_TOLERANCE, checksum
from resources.reconciliation.audit.block import Block
from resources.reconciliation.audit.calibration import Calibration
from resources.reconciliation.audit.catalogue import vector_validator

# A healthy coordinate is exactly 0 with a chance of at most one in twenty (a rounded int8); a run of this many, in
# every token vector of a chunk at once, does not occur.
PADDING = 8


@vector_validator("wrong_dimension", exact=True)
def wrong_dimension(block: Block, _: Calibration) -> np.ndarray:
    """The pooled vector or the token vectors have another dimension than the model's."""
    same_pooled = block.pooled.shape[1] == block.identity.dimension
    bad: np.ndarray = (block.token_bytes % block.identity.token_dimension != 0) | (not same_pooled)
    return bad


@vector_validator("foreign_model_vectors", exact=True, whole_row=True)
def fingerprint(block: Block, _: Calibration) -> np.ndarray:
    """The row itself names another model than its table does."""
    named = block.rows.column("fingerprint").to_pylist()
    return np.array([one != block.identity.fingerprint for one in named], dtype=bool)


@vector_validator("incomplete_token_embeddings", exact=True, whole_row=True)
def token_count(block: Block, _: Calibration) -> np.ndarray:
    """Not as many token vectors as the row says, or as the tokenizer counts."""
    bad: np.ndarray = ~block.shaped | (block.declared != block.expected)
    return bad


@vector_validator("non_finite_vectors", exact=True)
def non_finite(block: Block, _: Calibration) -> np.ndarray:
    """NaN or infinity in the pooled vector."""
    bad: np.ndarray = ~np.isfinite(block.pooled).all(axis=1)
    return bad


@vector_validator("zero_vectors", exact=True)
def zero(block: Block, _: Calibration) -> np.ndarray:
    """The pooled vector, or every token vector, is zero."""
    tokens = np.zeros(0, bool)
    if block.shaped.any():
        tokens = np.logical_and.reduceat(block.token_norms == 0, block.starts)
    bad: np.ndarray = (block.norms == 0) | block.spread(tokens)
    return bad


@vector_validator("constant_vectors", exact=True)
def constant(block: Block, _: Calibration) -> np.ndarray:
    """All numbers of the pooled vector, or of the whole token matrix, are the same."""
    tokens = np.zeros(0, bool)
    if block.shaped.any():
        low = np.minimum.reduceat(block.token_vectors.min(axis=1), block.starts)
        tokens = np.maximum.reduceat(block.token_vectors.max(axis=1), block.starts) == low
    bad: np.ndarray = (block.pooled == block.pooled[:, :1]).all(axis=1) | block.spread(tokens)
    return bad


@vector_validator("truncated_vectors", exact=True)
def zero_padded(block: Block, _: Calibration) -> np.ndarray:
    """Cut short and filled up with zeros: the end of the pooled vector or of all token vectors, or whole ones."""
    padded = np.zeros(0, bool)
    if block.shaped.any():
        tail = np.maximum.reduceat(np.abs(block.token_vectors[:, -PADDING:]).max(axis=1), block.starts) == 0
        padded = tail | np.logical_or.reduceat(block.token_norms == 0, block.starts)
    bad: np.ndarray = (block.pooled[:, -PADDING:] == 0).all(axis=1) | block.spread(padded)
    return bad


@vector_validator("denormalised_vectors", exact=True)
def not_unit(block: Block, _: Calibration) -> np.ndarray:
    """A pooled or token vector is not of unit length although the model's are."""
    # Rounding moves each of a unit vector's coordinates by at most half a step, hence its norm by at most this much.
    tolerance = math.sqrt(block.identity.token_dimension) * 0.5 / SCALE + 1e-6
    tokens = np.zeros(0, bool)
    if block.shaped.any():
        tokens = np.logical_or.reduceat(np.abs(block.token_norms - 1) > tolerance, block.starts)
    bad = block.spread(tokens)
    if block.identity.normalised:
        bad = bad | ~(np.abs(block.norms - 1) <= NORM_TOLERANCE)
    return bad


@vector_validator("bit_rot", exact=True, name="checksum", whole_row=True)
def wrong_checksum(block: Block, _: Calibration) -> np.ndarray:
    """The bytes are not the ones that the row's checksum was computed of."""
    stored = block.rows.column("checksum").to_pylist()
    pooled = np.ascontiguousarray(block.pooled)
    return np.array(
        [checksum(block.tokens_of(row), pooled[row].tobytes()) != stored[row] for row in range(len(block))], dtype=bool
    )
