"""Real passages with their real embeddings, as other software would store them, and faults planted among them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pydoc_data.topics import topics

import numpy as np

from resources.embedding.checkpoint import DEFAULT_MODEL
from resources.embedding.encoder import load_encoder
from resources.reconciliation.audit.defects import DEFECTS, Vectors

PASSAGES = 320


@dataclass(frozen=True)
class Passage:
    """A row. `vector`: float32 (384,), or None."""

    key: str
    document: str | None
    ordinal: int
    text: str | None
    vector: np.ndarray | None


def real_passages() -> list[Passage]:
    """Return paragraphs of Python's help topics, each embedded by the default model as sentence-transformers does."""
    rows: list[tuple[str, int, str]] = []
    seen: set[str] = set()
    for name, text in sorted(topics.items()):
        paragraphs = [one for one in text.split("\n\n") if 150 < len(one) < 700]
        chosen = [one for one in paragraphs if one not in seen][:6]
        seen.update(chosen)
        rows += [(name, number, one) for number, one in enumerate(chosen)]
    rows = rows[:PASSAGES]
    vectors = load_encoder(DEFAULT_MODEL).encode_queries([text for _, _, text in rows]).pooled
    return [
        Passage(str(1000 + at), name, number, text, vector)
        for at, ((name, number, text), vector) in enumerate(zip(rows, vectors, strict=True))
    ]


@dataclass
class Planted:
    """Rows with faults, and what an audit is to find: drift type → ids."""

    rows: list[Passage]
    expected: dict[str, set[str]] = field(default_factory=dict)
    _next: int = 5

    def take(self, count: int) -> list[int]:
        """Return the positions of rows that nothing was done to yet, no two of them neighbours."""
        chosen = [self._next + 2 * step for step in range(count)]
        self._next = chosen[-1] + 2
        return chosen

    def change(self, drift: str, at: Sequence[int], **changes: Sequence[object]) -> None:
        """Change rows, and expect them to be found."""
        for step, position in enumerate(at):
            one = {name: values[step] for name, values in changes.items()}
            self.rows[position] = replace(self.rows[position], **one)
        self.expected.setdefault(drift, set()).update(self.rows[position].key for position in at)

    def defect(self, name: str, drift: str, count: int = 3) -> None:
        """Plant what the audit of our own tables is tested with."""
        at = self.take(count)
        tokens = np.zeros((1, 64), np.int8)
        tokens[:] = 1
        victims = [Vectors(self.rows[one].vector, tokens) for one in at]
        bad = DEFECTS[name][0](victims, np.random.default_rng(7))
        self.change(drift, at, vector=[one.pooled for one in bad])


def with_bad_vectors(passages: Sequence[Passage], *, unit: bool = False) -> Planted:
    """Plant bad vectors of each kind, three rows each. `unit`: in a store that brings every vector to unit length."""
    planted = Planted(list(passages))
    planted.defect("zeros", "zero_vectors")
    planted.defect("constant", "constant_vectors")
    planted.defect("truncated, zero-padded", "truncated_vectors")
    planted.defect("N(0,1)", "mock_vectors")
    planted.defect("hash-seeded uniform", "mock_vectors")
    at = planted.take(4)
    first = planted.rows[at[0]].vector  # the first row's own, so only the others are wrong
    planted.change("repeated_batch", at[1:], vector=[first] * 3)
    at = planted.take(4)
    planted.change("shuffled_vectors", at, vector=[planted.rows[one].vector for one in [*at[1:], at[0]]])
    at = planted.take(3)
    texts = [f"An edit that was never embedded: {number} bottles of beer on the wall." for number in (99, 98, 97)]
    planted.change("stale_embeddings", at, text=texts)
    if not unit:
        at = planted.take(3)
        planted.change("denormalised_vectors", at, vector=[planted.rows[one].vector * 1.5 for one in at])
    return planted


def with_bad_rows(planted: Planted, *, orphans: bool = True) -> Planted:
    """Plant rows that are missing something, or are there twice. `orphans`: a table of documents knows better."""
    at = planted.take(3)
    planted.change("missing_embeddings", at, vector=[None] * 3)
    at = planted.take(3)
    planted.change("orphan_embeddings", at, text=[None] * 3)
    at = planted.take(3)
    planted.change("empty_texts", at, text=["", "   ", "\n\t"])
    at = planted.take(3)
    planted.change("orphan_chunks", at, document=[None, "gone" if orphans else None, None])
    for number, position in enumerate(planted.take(3)):
        copy = replace(planted.rows[position], key=f"{9000 + number}")
        planted.rows.append(copy)
        planted.expected.setdefault("duplicate_texts", set()).add(copy.key)
    return planted
