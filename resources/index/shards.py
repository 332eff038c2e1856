"""A dense shard: one immutable FAISS file over a bounded run of chunks, exact when small, quantised when large.

Here: how a shard is trained, filled, written, mapped and searched, and when shards are merged. Not here: which chunks
it stands for (`entries`) and the generation it belongs to (`dense`).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from resources.errors import IndexDamagedError, StoreError, VectorError
from resources.index.entries import SMALL_PART_ROWS, Part

Floats = npt.NDArray[np.float32]
Fetch = Callable[[list[str]], Iterator[pa.RecordBatch]]

SEED = 1234
# How many lists of a shard a query looks into. With 4 √rows lists, recall@10 depends on this number far more than on
# the size. Nothing in the files depends on it.
PROBES = 112
FETCH_ROWS = 16_384
TRAINING_ROWS_PER_LIST = 40


@dataclass(frozen=True)
class DenseParameters:
    """How vectors are laid out; a change of any of these builds the index anew.

    `flat_rows`: shards up to this many rows are exact (float32, inner product); larger ones are IVF with 8-bit scalar
    quantisation. Flat costs 2 ms a query at 20,000 × 384 and grows with the rows, IVF below 1 ms.
    `shard_rows`: no shard is larger. `dead_share`: a shard with more dead rows than this share is rewritten.
    """

    flat_rows: int = 20_000
    shard_rows: int = 262_144
    dead_share: float = 0.2


DEFAULTS = DenseParameters()


def to_merge(parts: Sequence[Part], added: int, parameters: DenseParameters) -> list[int]:
    """Choose the shards whose live rows move into new shards, given `added` rows that are new.

    Those with too many dead rows, and every shard no larger than what already moves, so that sizes grow geometrically:
    a corpus that grows row by row has O(log n) shards and rewrites each row O(log n) times (the logarithmic method of
    Bentley and Saxe 1980).
    """
    counts = {at: int(part.live.sum()) for at, part in enumerate(parts)}
    moving = {at for at, live in counts.items() if live < len(parts[at].live) * (1 - parameters.dead_share)}
    rows = added + sum(counts[at] for at in moving)
    for at in sorted(counts.keys() - moving, key=counts.__getitem__):
        if rows and counts[at] <= max(rows, SMALL_PART_ROWS) and rows + counts[at] <= parameters.shard_rows:
            moving.add(at)
            rows += counts[at]
    return sorted(moving)


def write_shard(
    path: Path,
    chunk_ids: pa.Array,
    fetch: Fetch,
    dimension: int,
    parameters: DenseParameters,
    advance: Callable[[int], None],
) -> None:
    """Fetch the vectors of `chunk_ids` batch by batch and write them as one FAISS file, row i for chunk i.

    The sample that trains the quantiser depends on nothing but the number of rows, so the same rows give the same
    shard. `advance` is told the number of rows after each batch. Raises VectorError for a vector that is not finite or
    not of `dimension`, StoreError when the store lacks one or the file cannot be written.
    """
    faiss = _faiss()
    rows = len(chunk_ids)
    if rows <= parameters.flat_rows:
        index = faiss.IndexFlatIP(dimension)
    else:
        lists = list_count(rows)
        kind, metric, by_residual = faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT, False
        coarse = faiss.IndexFlatIP(dimension)
        index = faiss.IndexIVFScalarQuantizer(coarse, dimension, lists, kind, metric, by_residual)
        index.cp.seed, index.cp.spherical = SEED, True
        sample = np.random.default_rng(SEED).choice(rows, min(rows, TRAINING_ROWS_PER_LIST * lists), replace=False)
        index.train(fetch_vectors(fetch, chunk_ids.take(pa.array(np.sort(sample))), dimension))
    for start in range(0, rows, FETCH_ROWS):
        index.add(fetch_vectors(fetch, chunk_ids.slice(start, FETCH_ROWS), dimension))
        advance(min(FETCH_ROWS, rows - start))
    try:
        faiss.write_index(index, str(path))
    except RuntimeError as error:
        raise StoreError(f"cannot write the dense index file {path}: {error}") from error


def list_count(rows: int) -> int:
    """Return the number of inverted lists of an IVF shard: 4 √rows, but never so many that training starves."""
    return max(1, min(round(4 * math.sqrt(rows)), rows // TRAINING_ROWS_PER_LIST))


def fetch_vectors(fetch: Fetch, chunk_ids: pa.Array, dimension: int) -> Floats:
    """Return the vectors of `chunk_ids`, (n, dimension) float32 in their order, whatever order `fetch` yields."""
    vectors = np.empty((len(chunk_ids), dimension), dtype=np.float32)
    missing = np.ones(len(chunk_ids), dtype=np.bool_)
    for start in range(0, len(chunk_ids), FETCH_ROWS):
        wanted = chunk_ids.slice(start, FETCH_ROWS)
        for batch in fetch(wanted.to_pylist()):
            pooled = batch.column("pooled")
            if pooled.type.list_size != dimension:
                raise VectorError(f"pooled vectors have dimension {pooled.type.list_size}, the index {dimension}")
            place = pc.index_in(batch.column("chunk_id"), value_set=wanted)
            if place.null_count or pooled.null_count:
                raise StoreError("the store returned a vector that was not asked for, or none: check the fetch")
            at = start + place.to_numpy()
            vectors[at] = pooled.flatten().to_numpy().reshape(-1, dimension)
            missing[at] = False
    if missing.any():
        first = chunk_ids[int(missing.argmax())]
        raise StoreError(f"the store lacks the vectors of {missing.sum()} chunks, the first is {first}: embed them")
    broken = ~np.isfinite(vectors).all(axis=1)
    if broken.any():
        raise VectorError(f"the vector of chunk {chunk_ids[int(broken.argmax())]} is not finite: embed it again")
    return vectors


class Shard:
    """A FAISS file mapped into memory. Searching is read-only and safe from any number of threads."""

    def __init__(self, path: Path, part: Part, probes: int) -> None:
        faiss = _faiss()
        try:
            self._index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        except RuntimeError as error:
            raise IndexDamagedError(f"index file {path} cannot be read ({error}): rebuild the index") from error
        if self._index.ntotal != len(part.rows):
            raise IndexDamagedError(f"index file {path} holds {self._index.ntotal} vectors for {len(part.rows)} rows")
        self.part = part
        self.live = int(part.live.sum())
        selector = None
        if self.live < len(part.rows):
            selector = faiss.IDSelectorBitmap(np.packbits(part.live, bitorder="little"))
        if isinstance(self._index, faiss.IndexIVF):
            probes = min(probes, self._index.nlist)
            self._usual = faiss.SearchParametersIVF(sel=selector, nprobe=probes)
            self._complete = faiss.SearchParametersIVF(sel=selector, nprobe=self._index.nlist)
        else:
            self._usual = self._complete = faiss.SearchParameters(sel=selector)

    def search(self, queries: Floats, k: int) -> tuple[Floats, npt.NDArray[np.int64]]:
        """Return inner products and row numbers, both (q, min(k, live rows)), best first."""
        k = min(k, self.live)
        scores, rows = self._index.search(queries, k, params=self._usual)
        if (rows < 0).any():
            # The probed lists held fewer than k live rows: rare, and then the answer is worth a full look.
            scores, rows = self._index.search(queries, k, params=self._complete)
        return scores, rows


def _faiss() -> Any:
    """Import FAISS when it is needed: loading it is slow, and its stubs describe C++ constructors, not Python's."""
    import faiss

    return faiss
