"""Ways to damage a corpus, registered by one decorator. Each is done to a copy and says what should be found.

Damage is done as accidents do it: below the lease, by no stage's code. Finding and repairing are not here.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from resources.corpus import Corpus
from resources.embedding.vectors import checksum
from resources.errors import StoreError
from resources.identity import digest
from resources.reconciliation.audit.defects import Defect, Vectors, bit_flipped, halved, hash_seeded, shuffled, zeros
from resources.store.tables import CHUNKS, DOCUMENTS, Table

Do = Callable[[Corpus, random.Random], Sequence[str]]


@dataclass(frozen=True)
class Damage:
    """`do` damages a corpus and returns the ids that the issue must name, none where it names files. `drift`: the types
    it may be found as.
    """

    name: str
    drift: frozenset[str]
    do: Do


DAMAGES: list[Damage] = []


def damage(name: str, *drift: str) -> Callable[[Do], Do]:
    """Register a way to damage a corpus."""

    def register(do: Do) -> Do:
        DAMAGES.append(Damage(name, frozenset(drift), do))
        return do

    return register


@damage("10 embedding rows deleted", "missing_token_embeddings")
def _(corpus: Corpus, draw: random.Random) -> Sequence[str]:
    ids = _some(corpus, corpus.embeddings, draw, 10)
    corpus.store.delete(corpus.embeddings, ids)
    return ids


@damage("a vector zeroed", "zero_vectors")
def _(corpus: Corpus, draw: random.Random) -> Sequence[str]:
    return _plant(corpus, zeros, _some(corpus, corpus.embeddings, draw, 1))


@damage("two vectors swapped", "shuffled_vectors")
def _(corpus: Corpus, draw: random.Random) -> Sequence[str]:
    rows = corpus.store.rows(corpus.embeddings, ("chunk_id", "text_hash", "n_tokens")).to_pylist()
    draw.shuffle(rows)
    first: dict[int, dict[str, Any]] = {}
    for row in rows:
        other = first.setdefault(row["n_tokens"], row)
        if other["text_hash"] != row["text_hash"]:
            return _plant(corpus, shuffled, [other["chunk_id"], row["chunk_id"]])
    raise StoreError(f"corpus {corpus.name}: no two chunks have equally many tokens, so none can be swapped unseen")


@damage("mock vectors in 10 rows", "mock_vectors")
def _(corpus: Corpus, draw: random.Random) -> Sequence[str]:
    return _plant(corpus, hash_seeded, _some(corpus, corpus.embeddings, draw, 10))


@damage("half the tokens of 5 chunks gone", "incomplete_token_embeddings")
def _(corpus: Corpus, draw: random.Random) -> Sequence[str]:
    return _plant(corpus, halved, _some(corpus, corpus.embeddings, draw, 5))


@damage("a bit flipped", "bit_rot", "denormalised_vectors")
def _(corpus: Corpus, draw: random.Random) -> Sequence[str]:
    return _plant(corpus, bit_flipped, _some(corpus, corpus.embeddings, draw, 1), consistent=False)


@damage("another model's name on 5 rows", "foreign_model_vectors")
def _(corpus: Corpus, draw: random.Random) -> Sequence[str]:
    ids = _some(corpus, corpus.embeddings, draw, 5)
    return _change(corpus, corpus.embeddings, ids, fingerprint=digest("another model"))


@damage("5 orphan embedding rows", "orphan_token_embeddings")
def _(corpus: Corpus, draw: random.Random) -> Sequence[str]:
    rows = _rows(corpus, corpus.embeddings, _some(corpus, corpus.embeddings, draw, 5))
    planted = [row | {"chunk_id": digest("orphan", row["chunk_id"])} for row in rows]
    return _store(corpus, corpus.embeddings, planted)


@damage("chunks of 3 documents deleted", "missing_chunks")
def _(corpus: Corpus, draw: random.Random) -> Sequence[str]:
    documents = _chunked(corpus, draw, 3)
    rows = corpus.store.rows(CHUNKS, ("chunk_id", "document_id")).to_pylist()
    corpus.store.delete(CHUNKS, [row["chunk_id"] for row in rows if row["document_id"] in documents])
    return documents


@damage("chunks of an older text", "stale_text")
def _(corpus: Corpus, draw: random.Random) -> Sequence[str]:
    documents = _chunked(corpus, draw, 2)
    rows = corpus.store.rows(CHUNKS, ("chunk_id", "document_id")).to_pylist()
    ids = [row["chunk_id"] for row in rows if row["document_id"] in documents]
    _change(corpus, CHUNKS, ids, document_hash=digest("an older text"))
    return documents


@damage("2 documents of an older version", "source_changed")
def _(corpus: Corpus, draw: random.Random) -> Sequence[str]:
    return _change(corpus, DOCUMENTS, _some(corpus, DOCUMENTS, draw, 2), version="older")


@damage("a document deleted", "missing_documents")
def _(corpus: Corpus, draw: random.Random) -> Sequence[str]:
    ids = _some(corpus, DOCUMENTS, draw, 1)
    corpus.store.delete(DOCUMENTS, ids)
    return ids


@damage("a document that its source has no more", "source_deleted")
def _(corpus: Corpus, draw: random.Random) -> Sequence[str]:
    (row,) = _rows(corpus, DOCUMENTS, _chunked(corpus, draw, 1))
    gone = row | {"document_id": f"{row['source']}:drill/gone", "key": "drill/gone"}
    return _store(corpus, DOCUMENTS, [gone])


@damage("a FAISS file cut in half", "dense_index_damaged", "snapshot_damaged")
def _(corpus: Corpus, draw: random.Random) -> Sequence[str]:
    path = draw.choice(_live_files(corpus, "dense", ".faiss"))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return ()


@damage("a tantivy file deleted", "bm25_index_damaged", "snapshot_damaged")
def _(corpus: Corpus, draw: random.Random) -> Sequence[str]:
    draw.choice(_live_files(corpus, "bm25", ".store", ".idx", ".term", ".pos")).unlink()
    return ()


def _some(corpus: Corpus, table: Table, draw: random.Random, count: int) -> list[str]:
    """Draw rows of a table; of embeddings, only such as belong to a chunk."""
    keys = sorted(corpus.store.rows(table, (table.key,))[table.key].to_pylist())
    if not keys:
        raise StoreError(f"corpus {corpus.name}: {table.name} is empty, so there is nothing to damage")
    return draw.sample(keys, min(count, len(keys)))


def _chunked(corpus: Corpus, draw: random.Random, count: int) -> list[str]:
    """Draw documents that have chunks."""
    documents = sorted(set(corpus.store.rows(CHUNKS, ("document_id",))["document_id"].to_pylist()))
    return draw.sample(documents, min(count, len(documents)))


def _rows(corpus: Corpus, table: Table, keys: Sequence[str]) -> list[dict[str, Any]]:
    batches = corpus.store.batches(table, table.schema.names, keys=keys)
    return [row for batch in batches for row in batch.to_pylist()]


def _store(corpus: Corpus, table: Table, rows: Iterable[dict[str, Any]]) -> list[str]:
    planted = pa.Table.from_pylist(list(rows), schema=table.schema)
    corpus.store.upsert(table, planted)
    keys: list[str] = planted[table.key].to_pylist()
    return keys


def _change(corpus: Corpus, table: Table, keys: Sequence[str], **values: Any) -> list[str]:
    return _store(corpus, table, [row | values for row in _rows(corpus, table, keys)])


def _plant(corpus: Corpus, defect: Defect, chunk_ids: Sequence[str], *, consistent: bool = True) -> list[str]:
    """Store bad vectors; `consistent`: below a checksum and a token count of their own."""
    rows = _rows(corpus, corpus.embeddings, chunk_ids)
    good = [
        Vectors(
            np.asarray(row["pooled"], np.float32), np.frombuffer(row["tokens"], np.int8).reshape(row["n_tokens"], -1)
        )
        for row in rows
    ]
    bad = []
    for row, (pooled, tokens) in zip(rows, defect(good, np.random.default_rng(len(rows))), strict=True):
        data = tokens.tobytes()
        changed = row | {"pooled": pooled.tolist(), "tokens": data}
        if consistent:
            changed |= {"n_tokens": len(tokens), "checksum": checksum(data, pooled.tobytes())}
        bad.append(changed)
    return _store(corpus, corpus.embeddings, bad)


def _live_files(corpus: Corpus, kind: str, *suffixes: str) -> list[Any]:
    live = corpus.store.snapshots.live()
    folder = corpus.store.indexes.fetch(getattr(live, kind))
    files = sorted(file for file in folder.rglob("*") if file.suffix in suffixes)
    if not files:
        raise StoreError(f"corpus {corpus.name}: {folder} holds no file of {', '.join(suffixes)} to damage")
    return files
