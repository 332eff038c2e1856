"""The dense index: a generation of FAISS shards over the chunks' pooled vectors, searched as one.

Here: building a generation from the last one, opening it, and searching it. Not here: what a shard is (`shards`), how
folders come into being (`generation`), and query encoding.
"""

from collections.abc import Callable, Collection
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa

from resources.errors import IndexDamagedError, StoreError, VectorError
from resources.index import entries, generation
from resources.index.entries import Part, Scored
from resources.index.generation import Manifest, PartRecord, Previous
from resources.index.shards import DEFAULTS, PROBES, DenseParameters, Fetch, Floats, Shard, to_merge, write_shard

KIND = "dense"
SCHEMA = pa.schema({"chunk_id": pa.string(), "document_id": pa.string(), "checksum": pa.string()})
SELF_QUERY_RESULTS = 10
QUANTISATION_ERROR = 0.02


def plan(table: pa.Table, *, fingerprint: str, dimension: int, parameters: DenseParameters = DEFAULTS) -> Manifest:
    """Return the manifest, parts and files left out, of a generation of these entries; its name is the folder's."""
    identity = entries.digests(entries.canonical(table, SCHEMA))
    return Manifest(
        kind=KIND,
        count=len(table),
        ids_digest=identity.ids,
        rows_digest=identity.rows,
        fingerprint=fingerprint,
        parameters={"dimension": dimension, **asdict(parameters)},
        parts=(),
    )


def build_dense(
    indexes: Path,
    table: pa.Table,
    fetch: Fetch,
    *,
    fingerprint: str,
    dimension: int,
    previous: Path | None,
    parameters: DenseParameters = DEFAULTS,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Return the folder of the generation that holds exactly the entries `table` (chunk_id, document_id, checksum).

    A healthy generation of that content is returned as it is. Otherwise one is built: rows that `previous` holds
    unchanged (same chunk, document and checksum) stay in its files, which are hard-linked; only the others are
    fetched, in the order of the table, at most 16,384 a call. `fetch` yields batches of (chunk_id, pooled: fixed-size
    list of `dimension` floats) in any order. `progress` is told rows written and rows to write.

    Raises StoreError (a vector is missing, a chunk id repeats, files cannot be written), VectorError (a vector is not
    finite or of another dimension), LeaseHeldError (another process keeps building).
    """
    wanted = entries.canonical(table, SCHEMA)
    manifest = plan(wanted, fingerprint=fingerprint, dimension=dimension, parameters=parameters)
    with generation.drafting(indexes, KIND) as draft:
        if not generation.verify(indexes / manifest.name):
            return indexes / manifest.name
        base = generation.reusable(previous, manifest)
        names, parts = _sound_parts(base)
        parts, added = entries.keep(parts, wanted)
        merged = to_merge(parts, len(added), parameters)
        records = []
        for at, (name, part) in enumerate(zip(names, parts, strict=True)):
            if at not in merged and base is not None:
                generation.link(base, f"{name}.faiss", draft)
                generation.link(base, f"{name}.arrow", draft)
                entries.write_live(draft, name, part.live)
                records.append(PartRecord(name=name, rows=len(part.rows), live=int(part.live.sum())))
        moving = pa.concat_tables([*(parts[at].living() for at in merged), added])
        written = 0

        def advance(rows: int) -> None:
            nonlocal written
            written += rows
            if progress is not None:
                progress(written, len(moving))

        for piece in _pieces(moving, parameters.shard_rows):
            name = f"shard-{entries.digests(piece).rows[:12]}"
            ids = piece["chunk_id"].combine_chunks()
            write_shard(draft / f"{name}.faiss", ids, fetch, dimension, parameters, advance)
            entries.write_part(draft, name, Part(piece, np.ones(len(piece), dtype=np.bool_)))
            records.append(PartRecord(name=name, rows=len(piece), live=len(piece)))
        return generation.publish(draft, indexes, manifest.model_copy(update={"parts": tuple(records)}), base)


class DenseIndex:
    """An open generation. Reads are safe from any number of threads; the files are mapped, not loaded."""

    def __init__(self, manifest: Manifest, parts: list[Part], shards: list[Shard]) -> None:
        self.manifest = manifest
        self._parts = parts
        self._shards: list[Shard] | None = [shard for shard in shards if shard.live]
        self._starts = np.cumsum([0, *(len(shard.part.rows) for shard in self._shards)])
        self._identities = entries.Identities([shard.part for shard in self._shards])

    @classmethod
    def open(cls, path: Path, removed_documents: Collection[str] = (), *, probes: int = PROBES) -> "DenseIndex":
        """Map the generation at `path`; the chunks of `removed_documents` are as good as not there.

        IndexDamagedError when files are missing, of the wrong length or unreadable (`generation.verify` reads bytes).
        """
        manifest = generation.read_manifest(path)
        if manifest.kind != KIND:
            raise IndexDamagedError(f"index {path} is of kind {manifest.kind}, not {KIND}")
        generation.require_whole(path, manifest)
        stored = [entries.read_part(path, record.name) for record in manifest.parts]
        parts = entries.hide(stored, removed_documents)
        shards = [
            Shard(path / f"{record.name}.faiss", part, probes)
            for record, part in zip(manifest.parts, parts, strict=True)
        ]
        return cls(manifest, parts, shards)

    def search(self, queries: Floats, k: int) -> list[list[Scored]]:
        """Return the k chunks with the highest inner product for each query, best first, equal scores by chunk id.

        `queries` is (q, dimension) float32. A list is shorter than k only when fewer chunks live. Exact for shards of
        up to `flat_rows`, approximate above. VectorError for queries of another shape or not finite.
        """
        shards, dimension = self._shards, self.manifest.parameters["dimension"]
        if shards is None:
            raise StoreError("the dense index is closed: open the snapshot again")
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        if queries.ndim != 2 or queries.shape[1] != dimension or not np.isfinite(queries).all():
            raise VectorError(f"queries must be finite and of shape (q, {dimension}), not {queries.shape}")
        if k < 1 or not shards or not len(queries):
            return [[] for _ in queries]
        found = [shard.search(queries, k) for shard in shards]
        scores = np.hstack([of_shard for of_shard, _ in found])
        places = np.hstack([start + of_shard for start, (_, of_shard) in zip(self._starts, found, strict=False)])
        if len(found) > 1:
            best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
            scores, places = np.take_along_axis(scores, best, 1), np.take_along_axis(places, best, 1)
        return [self._identities.scored(*of_query) for of_query in zip(places, scores, strict=True)]

    def entries(self) -> pa.Table:
        """Return the live entries (chunk_id, document_id, checksum), in no particular order."""
        return entries.living(self._parts, SCHEMA)

    def ids(self) -> pa.Array:
        """Return the live chunk ids, in no particular order."""
        return self.entries()["chunk_id"].combine_chunks()

    def close(self) -> None:
        """Let go of the files once the searches under way are done; later ones fail."""
        self._shards, self._parts = None, []


def self_query(index: DenseIndex, sample: pa.RecordBatch) -> list[str]:
    """Return the chunks of `sample` (chunk_id, pooled) that their own vector does not find.

    A chunk passes when it is among the first ten, or when ten others answer as well as it could (copies of its text).
    """
    vectors = sample.column("pooled").flatten().to_numpy().reshape(len(sample), -1).astype(np.float32)
    failed = []
    for chunk_id, vector, hits in zip(
        sample.column("chunk_id").to_pylist(), vectors, index.search(vectors, SELF_QUERY_RESULTS), strict=True
    ):
        crowded = len(hits) == SELF_QUERY_RESULTS and hits[-1].score >= vector @ vector - QUANTISATION_ERROR
        if not crowded and all(hit.chunk_id != chunk_id for hit in hits):
            failed.append(chunk_id)
    return failed


def _sound_parts(base: Previous | None) -> tuple[list[str], list[Part]]:
    """Return the parts whose files are all intact; the rows of the others count as new and are fetched again."""
    if base is None:
        return [], []
    damaged = {file.partition(".")[0] for file in base.manifest.files if file not in base.sound}
    names = [record.name for record in base.manifest.parts if record.name not in damaged]
    return names, [entries.read_part(base.path, name) for name in names]


def _pieces(rows: pa.Table, shard_rows: int) -> list[pa.Table]:
    """Cut rows into the fewest pieces of at most `shard_rows`, all of nearly the same size."""
    count = -(-len(rows) // shard_rows)
    bounds = [len(rows) * at // count for at in range(count + 1)] if count else []
    return [rows.slice(start, end - start) for start, end in pairwise(bounds)]
