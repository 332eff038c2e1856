"""The one gate through which vectors reach a store: what a valid encoded batch is, and the checksum a row carries.

Whether a stored vector is still plausible (mock, shuffled, another model's) is drift, and is not decided here.
"""

import math
from collections.abc import Sequence

import numpy as np

from resources.embedding.codec import TokenCodec
from resources.embedding.encoder import EncodedBatch
from resources.embedding.identity import ModelIdentity
from resources.errors import VectorError
from resources.identity import digest

NORM_TOLERANCE = 1e-3


def checksum(tokens: bytes, pooled: bytes) -> str:
    """Return 16 hexadecimal characters over a chunk's token vectors (int8, row by row) and pooled vector (float32)."""
    return digest("vectors", tokens, pooled)[:16]


def validate(
    chunk_ids: Sequence[str], encoded: EncodedBatch, expected_tokens: Sequence[int], identity: ModelIdentity
) -> None:
    """Raise VectorError, naming the chunk, unless every vector is finite, of the model's dimension and norm, and
    every token matrix has as many rows as the tokenizer counts (`expected_tokens`, special tokens included)."""
    if not len(chunk_ids) == len(encoded.tokens) == len(encoded.pooled) == len(expected_tokens):
        raise VectorError(
            f"{len(chunk_ids)} chunks from {chunk_ids[:1]} on, but {len(encoded.tokens)} token matrices, "
            f"{len(encoded.pooled)} pooled vectors and {len(expected_tokens)} token counts"
        )
    for chunk_id, tokens, pooled, expected in zip(
        chunk_ids, encoded.tokens, encoded.pooled, expected_tokens, strict=True
    ):
        problem = _pooled_problem(pooled, identity) or _tokens_problem(tokens, int(expected), identity)
        if problem:
            raise VectorError(f"chunk {chunk_id}: {problem}")


def _pooled_problem(pooled: np.ndarray, identity: ModelIdentity) -> str | None:
    if pooled.dtype != np.float32 or pooled.shape != (identity.dimension,):
        return f"the pooled vector is {pooled.dtype} {pooled.shape}, the model's is float32 ({identity.dimension},)"
    if not np.isfinite(pooled).all():
        return "the pooled vector has numbers that are not finite"
    norm = float(np.linalg.norm(pooled))
    if identity.normalised and abs(norm - 1) > NORM_TOLERANCE:
        return f"the pooled vector has norm {norm:.4f} instead of 1"
    return None if norm > 0 else "the pooled vector is zero"


def _tokens_problem(tokens: np.ndarray, expected: int, identity: ModelIdentity) -> str | None:
    if tokens.dtype != np.int8 or tokens.shape != (expected, identity.token_dimension):
        return f"the token vectors are {tokens.dtype} {tokens.shape}, not int8 {(expected, identity.token_dimension)}"
    # Rounding moves each of a unit vector's coordinates by at most half a step, hence its norm by at most this much.
    tolerance = math.sqrt(identity.token_dimension) * 0.5 / 127 + 1e-6
    norms = np.linalg.norm(TokenCodec.decode(tokens), axis=1)
    if (np.abs(norms - 1) > tolerance).any():
        return f"a token vector has norm {norms[np.abs(norms - 1).argmax()]:.4f} instead of 1"
    return None
