"""Made-up chunks whose vector and text follow from their id alone, so that every process agrees on them.

A chunk is named by a number and a version; another version is another checksum (and other text under another id).
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from resources.index.bm25 import Bm25Index, Bm25Parameters, build_bm25
from resources.index.dense import DenseIndex, build_dense
from resources.index.shards import DenseParameters

DIMENSION = 16
CHUNKS_PER_DOCUMENT = 3
STEMS = ("river", "engine", "wing", "lamp", "cloud", "stone", "glass", "paper")
SMALL = DenseParameters(flat_rows=1_000, shard_rows=40)
LENIENT = Bm25Parameters(dead_share=0.5)

Chunk = tuple[int, int]
Build = Callable[..., Path]


def chunk_id(number: int, version: int = 0) -> str:
    return hashlib.blake2b(f"{number}/{version}".encode(), digest_size=16).hexdigest()


def document_id(number: int) -> str:
    return f"Dokument-ü\N{SNOWMAN}/{number // CHUNKS_PER_DOCUMENT}"


def entries(chunks: Iterable[Chunk | int]) -> pa.Table:
    named = [chunk if isinstance(chunk, tuple) else (chunk, 0) for chunk in chunks]
    return pa.table(
        {
            "chunk_id": pa.array([chunk_id(*chunk) for chunk in named], pa.string()),
            "document_id": pa.array([document_id(number) for number, _ in named], pa.string()),
            "checksum": pa.array([chunk_id(*chunk)[:16] for chunk in named], pa.string()),
        }
    )


def vectors(ids: Iterable[str]) -> npt.NDArray[np.float32]:
    raw = [np.random.default_rng(int(one, 16)).normal(size=DIMENSION) for one in ids]
    stacked = np.array(raw, dtype=np.float32).reshape(-1, DIMENSION)
    stacked /= np.linalg.norm(stacked, axis=1, keepdims=True)
    return stacked


def text(one: str) -> str:
    rng = np.random.default_rng(int(one, 16))
    words = [f"{STEMS[rng.integers(len(STEMS))]}{letter}" for letter in one[: rng.integers(4, 30)]]
    return " ".join(words)


def vector_batch(ids: list[str]) -> pa.RecordBatch:
    pooled = pa.FixedSizeListArray.from_arrays(pa.array(vectors(ids).ravel()), DIMENSION)
    return pa.record_batch({"chunk_id": pa.array(ids, pa.string()), "pooled": pooled})


def text_batch(ids: list[str]) -> pa.RecordBatch:
    return pa.record_batch(
        {
            "chunk_id": pa.array(ids, pa.string()),
            "heading": pa.array([f"About {text(one).split()[0]}" for one in ids], pa.string()),
            "text": pa.array([text(one) for one in ids], pa.string()),
        }
    )


def fetch_vectors(ids: list[str]) -> Iterator[pa.RecordBatch]:
    """Two batches, in the reverse of the order asked for: a store keeps its own order."""
    backwards, half = ids[::-1], len(ids) // 2
    yield vector_batch(backwards[:half])
    yield vector_batch(backwards[half:])


def fetch_texts(ids: list[str]) -> Iterator[pa.RecordBatch]:
    backwards, half = ids[::-1], len(ids) // 2
    yield text_batch(backwards[:half])
    yield text_batch(backwards[half:])


def dense(
    indexes: Path,
    chunks: Iterable[Chunk | int],
    previous: Path | None = None,
    *,
    fetch: Callable[[list[str]], Iterator[pa.RecordBatch]] = fetch_vectors,
    parameters: DenseParameters = SMALL,
    fingerprint: str = "model",
) -> Path:
    return build_dense(
        indexes,
        entries(chunks),
        fetch,
        fingerprint=fingerprint,
        dimension=DIMENSION,
        previous=previous,
        parameters=parameters,
    )


def bm25(
    indexes: Path,
    chunks: Iterable[Chunk | int],
    previous: Path | None = None,
    *,
    fetch: Callable[[list[str]], Iterator[pa.RecordBatch]] = fetch_texts,
    parameters: Bm25Parameters = LENIENT,
) -> Path:
    return build_bm25(indexes, entries(chunks), fetch, previous=previous, parameters=parameters)


def slowly(fetch: Callable[[list[str]], Iterator[pa.RecordBatch]], ids: list[str]) -> Iterator[pa.RecordBatch]:
    for batch in fetch(ids):
        time.sleep(0.01)
        yield batch


def dense_answers(path: Path, k: int = 7, removed: Iterable[str] = ()) -> list[list[tuple[str, str, float]]]:
    index = DenseIndex.open(path, tuple(removed))
    found = index.search(vectors([chunk_id(number, 99) for number in range(5)]), k)
    return [[(hit.chunk_id, hit.document_id, round(hit.score, 5)) for hit in hits] for hits in found]


def bm25_answers(path: Path, k: int = 7, removed: Iterable[str] = ()) -> list[list[tuple[str, str, float]]]:
    index = Bm25Index.open(path, tuple(removed))
    queries = ("rivera engineb", "wing1 about cloudc", "papera paperb paperc", "stone0")
    found = [index.search(query, k) for query in queries]
    return [[(hit.chunk_id, hit.document_id, round(hit.score, 5)) for hit in hits] for hits in found]


BUILDS: dict[str, tuple[Build, Callable[..., list[list[tuple[str, str, float]]]]]] = {
    "dense": (dense, dense_answers),
    "bm25": (bm25, bm25_answers),
}
