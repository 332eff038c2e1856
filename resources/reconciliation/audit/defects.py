"""Ways in which stored vectors go wrong, to be planted on purpose: by `drill`, tests and the detection benchmark.

Each takes the vectors of some chunks and returns bad ones. Nothing is stored here, and nothing is found.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from resources.embedding.codec import SCALE


class Vectors(NamedTuple):
    """A chunk's vectors: pooled float32 (d,), tokens int8 (n, t)."""

    pooled: np.ndarray
    tokens: np.ndarray


Defect = Callable[[Sequence[Vectors], np.random.Generator], list[Vectors]]


def zeros(rows: Sequence[Vectors], _: np.random.Generator) -> list[Vectors]:
    """A writer that stored zeros where embedding failed."""
    return [Vectors(np.zeros_like(one.pooled), np.zeros_like(one.tokens)) for one in rows]


def constant(rows: Sequence[Vectors], _: np.random.Generator) -> list[Vectors]:
    """A placeholder of unit length."""
    return [Vectors(_unit(np.ones_like(one.pooled)), _stored(np.ones(one.tokens.shape))) for one in rows]


def normal(rows: Sequence[Vectors], draw: np.random.Generator) -> list[Vectors]:
    """N(0, 1) in every coordinate, brought to unit length: what the crudest validators take for the best vectors."""
    return [
        Vectors(_unit(draw.standard_normal(one.pooled.shape)), _stored(draw.standard_normal(one.tokens.shape)))
        for one in rows
    ]


def hash_seeded(rows: Sequence[Vectors], _: np.random.Generator) -> list[Vectors]:
    """The usual mock embedder: uniform numbers in [0, 1) from a generator that is seeded with a hash."""
    made = []
    for one in rows:
        seeded = np.random.default_rng(int.from_bytes(hashlib.sha256(one.pooled.tobytes()).digest()[:8], "little"))
        made.append(Vectors(_unit(seeded.random(one.pooled.shape)), _stored(seeded.random(one.tokens.shape))))
    return made


def shuffled(rows: Sequence[Vectors], _: np.random.Generator) -> list[Vectors]:
    """Every chunk has the next one's vectors. Give rows of equal token counts, or their number betrays them."""
    return [*rows[1:], rows[0]]


def shuffled_pooled(rows: Sequence[Vectors], _: np.random.Generator) -> list[Vectors]:
    """Every chunk has its own token vectors and the next one's pooled vector."""
    return [Vectors(other.pooled, one.tokens) for one, other in zip(rows, [*rows[1:], rows[0]], strict=True)]


def truncated(rows: Sequence[Vectors], _: np.random.Generator) -> list[Vectors]:
    """A model of half the dimension, filled up with zeros."""
    made = []
    for one in rows:
        pooled, tokens = one.pooled.copy(), one.tokens.astype(np.float32)
        pooled[len(pooled) // 2 :] = 0
        tokens[:, tokens.shape[1] // 2 :] = 0
        made.append(Vectors(_unit(pooled), _stored(tokens)))
    return made


def not_a_number(rows: Sequence[Vectors], draw: np.random.Generator) -> list[Vectors]:
    """One NaN."""
    return [_with(one, draw, np.nan) for one in rows]


def infinite(rows: Sequence[Vectors], draw: np.random.Generator) -> list[Vectors]:
    """One infinity, as from a float16 overflow."""
    return [_with(one, draw, np.inf) for one in rows]


def repeated(rows: Sequence[Vectors], _: np.random.Generator) -> list[Vectors]:
    """A batch that was written with the vectors of its first chunk throughout."""
    first = rows[0]
    return [Vectors(first.pooled, np.resize(first.tokens, one.tokens.shape)) for one in rows]


def bit_flipped(rows: Sequence[Vectors], draw: np.random.Generator) -> list[Vectors]:
    """One bit of the token matrix, somewhere."""
    made = []
    for one in rows:
        data = bytearray(one.tokens.tobytes())
        at = int(draw.integers(len(data) * 8))
        data[at // 8] ^= 1 << at % 8
        made.append(Vectors(one.pooled, np.frombuffer(bytes(data), np.int8).reshape(one.tokens.shape)))
    return made


def halved(rows: Sequence[Vectors], _: np.random.Generator) -> list[Vectors]:
    """The second half of the token vectors is gone."""
    return [Vectors(one.pooled, one.tokens[: max(1, len(one.tokens) // 2)]) for one in rows]


DEFECTS: dict[str, tuple[Defect, frozenset[str]]] = {
    "zeros": (zeros, frozenset({"zero_vectors"})),
    "constant": (constant, frozenset({"constant_vectors"})),
    "N(0,1)": (normal, frozenset({"mock_vectors"})),
    "hash-seeded uniform": (hash_seeded, frozenset({"mock_vectors"})),
    "shuffled": (shuffled, frozenset({"shuffled_vectors"})),
    "shuffled pooled": (shuffled_pooled, frozenset({"shuffled_vectors"})),
    "truncated, zero-padded": (truncated, frozenset({"truncated_vectors"})),
    "NaN": (not_a_number, frozenset({"non_finite_vectors"})),
    "Inf": (infinite, frozenset({"non_finite_vectors"})),
    "repeated batch": (repeated, frozenset({"repeated_batch"})),
    "bit flipped": (bit_flipped, frozenset({"bit_rot"})),
    "half the tokens gone": (halved, frozenset({"incomplete_token_embeddings"})),
}
"""Each defect by name, and the drift types it may be found as."""


def _with(one: Vectors, draw: np.random.Generator, value: float) -> Vectors:
    pooled = one.pooled.copy()
    pooled[draw.integers(len(pooled))] = value
    return Vectors(pooled, one.tokens)


def _unit(vector: np.ndarray) -> np.ndarray:
    unit: np.ndarray = (vector / np.linalg.norm(vector)).astype(np.float32)
    return unit


def _stored(tokens: np.ndarray) -> np.ndarray:
    """Return token vectors in the stored form: unit length, one signed byte a number."""
    stored: np.ndarray = np.rint(tokens / np.linalg.norm(tokens, axis=1, keepdims=True) * SCALE).astype(np.int8)
    return stored
