"""The entries of an index: which chunk of which document each position in its files stands for.

Here: the entries' Arrow files, which of them are still alive, their digests, and what a new generation can keep of the
last one. All of it column-wise and memory-mapped, so that looking at a million entries costs milliseconds. Not here:
vectors, terms, manifests, and anything that knows FAISS or tantivy.
"""

import hashlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from resources.errors import StoreError
from resources.identity import DIGEST_BYTES

Mask = npt.NDArray[np.bool_]

# Parts up to this size are cheaper to write again than to carry along.
SMALL_PART_ROWS = 256


class Scored(NamedTuple):
    """A chunk that an index found; a higher score is better, and scores of different indexes do not compare."""

    chunk_id: str
    document_id: str
    score: float


class Part(NamedTuple):
    """A run of entries in the order of the index's own positions, and a mask of those that still count."""

    rows: pa.Table
    live: Mask

    def living(self) -> pa.Table:
        """Return the entries that still count; the mapped file itself, uncopied, when all of them do."""
        return self.rows if self.live.all() else self.rows.filter(pa.array(self.live))


class Digests(NamedTuple):
    """`ids` equals `identity.set_digest` of the chunk ids; `rows` covers every column, whatever order rows come in."""

    ids: str
    rows: str


def canonical(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the columns of `schema` as plain strings; StoreError where one is missing or holds a null."""
    missing = [name for name in schema.names if name not in table.column_names]
    if missing:
        raise StoreError(f"index entries lack the columns {missing}: pass a table with {schema.names}")
    rows = table.select(schema.names).cast(schema)
    nulls = [name for name in schema.names if rows[name].null_count]
    if nulls:
        raise StoreError(f"index entries hold nulls in {nulls}: repair the table they come from")
    return rows


def digests(rows: pa.Table) -> Digests:
    """Identify canonical entries by content. StoreError names a chunk id that occurs twice."""
    ordered = rows.take(pc.sort_indices(rows["chunk_id"]))
    ids = ordered["chunk_id"]
    twin = pc.index(pc.equal(ids.slice(1), ids.slice(0, max(len(ids) - 1, 0))), True).as_py()
    if twin >= 0:
        raise StoreError(f"chunk {ids[twin]} occurs twice among the index entries: repair the table they come from")
    content = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for column in ordered.columns:
        content.update(pc.binary_length(column).to_numpy().astype("<i4").tobytes())
        for data in _bytes(column):
            content.update(data)
    # The same bytes as identity.set_digest, without a million Python strings in between.
    terminated = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for data in _bytes(pc.binary_join_element_wise(ids, "", "\0")):
        terminated.update(data)
    return Digests(ids=terminated.hexdigest(), rows=content.hexdigest())


def _bytes(strings: pa.ChunkedArray) -> Iterator[memoryview]:
    for chunk in strings.chunks:
        _, offsets, data = chunk.buffers()
        if len(chunk) and data is not None:
            bounds = np.frombuffer(offsets, dtype=np.int32)
            yield memoryview(data)[bounds[chunk.offset] : bounds[chunk.offset + len(chunk)]]


def write_part(folder: Path, name: str, part: Part) -> None:
    """Write `name.arrow`, and `name.live` (one bit an entry, least significant first) when some are dead."""
    with pa.OSFile(str(folder / f"{name}.arrow"), "wb") as sink, pa.ipc.new_file(sink, part.rows.schema) as writer:
        writer.write_table(part.rows.combine_chunks())
    write_live(folder, name, part.live)


def write_live(folder: Path, name: str, live: Mask) -> None:
    """Write which entries of part `name` are alive; no file says that all of them are."""
    if not live.all():
        (folder / f"{name}.live").write_bytes(np.packbits(live, bitorder="little").tobytes())


def read_part(folder: Path, name: str) -> Part:
    """Map part `name` of a generation into memory."""
    with pa.memory_map(str(folder / f"{name}.arrow")) as source:
        rows = pa.ipc.open_file(source).read_all()
    bits = folder / f"{name}.live"
    if not bits.exists():
        return Part(rows, np.ones(len(rows), dtype=np.bool_))
    packed = np.frombuffer(bits.read_bytes(), dtype=np.uint8)
    return Part(rows, np.unpackbits(packed, count=len(rows), bitorder="little").astype(np.bool_))


def keep(parts: Sequence[Part], wanted: pa.Table) -> tuple[list[Part], pa.Table]:
    """Compare the last generation's parts with the entries wanted now.

    Returns the parts with every entry dead that is not wanted any more (equal in all columns), and the wanted entries
    that no part holds.
    """
    held = pa.concat_tables([wanted.schema.empty_table(), *(part.rows for part in parts)])
    alive = np.concatenate([np.zeros(0, dtype=np.bool_), *(part.live for part in parts)])
    place = pc.fill_null(pc.index_in(held["chunk_id"], value_set=wanted["chunk_id"]), -1).to_numpy()
    alive &= place >= 0
    for name in wanted.column_names:
        known = np.flatnonzero(alive)
        alive[known] = pc.equal(held[name].take(pa.array(known)), wanted[name].take(pa.array(place[known]))).to_numpy()
    missing = np.ones(len(wanted), dtype=np.bool_)
    missing[place[alive]] = False
    ends = np.cumsum([len(part.rows) for part in parts])[:-1]
    kept = [Part(part.rows, live) for part, live in zip(parts, np.split(alive, ends) if parts else (), strict=True)]
    return kept, wanted.filter(pa.array(missing))


def hide(parts: Sequence[Part], document_ids: Collection[str]) -> list[Part]:
    """Return the parts with the entries of these documents dead."""
    if not document_ids:
        return list(parts)
    gone = pa.array(sorted(document_ids), pa.string())
    return [
        Part(part.rows, part.live & ~pc.is_in(part.rows["document_id"], value_set=gone).to_numpy()) for part in parts
    ]


def living(parts: Sequence[Part], schema: pa.Schema) -> pa.Table:
    """Return the live entries of all parts, in their order."""
    return pa.concat_tables([schema.empty_table(), *(part.living() for part in parts)])


class Identities:
    """The chunk and the document of every entry of some parts, dead ones included, by place: a number that counts
    through the parts in their order.

    Made for looking up a few places many times: documents are kept once each, and a place is looked up without Arrow,
    whose calls cost as much as a search of a small index.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        chunk_ids = _joined(parts, "chunk_id")
        documents = _joined(parts, "document_id").dictionary_encode()
        self._chunk_ids, self._fixed = chunk_ids, _fixed_width(chunk_ids)
        self._documents = documents.dictionary.to_pylist()
        self._document_of = documents.indices.to_numpy()

    def scored(self, places: npt.NDArray[np.int64], scores: npt.NDArray[np.float32]) -> list[Scored]:
        """Return the entries at these places with their scores, which fall; equal scores come by chunk id."""
        if self._fixed is not None:
            chunk_ids = [one.decode() for one in self._fixed[places].tolist()]
        else:
            chunk_ids = self._chunk_ids.take(pa.array(places)).to_pylist()
        document_ids = [self._documents[at] for at in self._document_of[places].tolist()]
        found = list(map(Scored, chunk_ids, document_ids, scores.tolist()))
        if (scores[1:] == scores[:-1]).any():
            found.sort(key=lambda hit: (-hit.score, hit.chunk_id))
        return found


def _joined(parts: Sequence[Part], name: str) -> pa.Array:
    return pa.chunked_array([chunk for part in parts for chunk in part.rows[name].chunks], pa.string()).combine_chunks()


def _fixed_width(strings: pa.Array) -> "npt.NDArray[np.bytes_] | None":
    """Return ids of one length and of printable ASCII, as digests are, uncopied; None for others."""
    lengths = pc.min_max(pc.binary_length(strings))
    width = lengths["max"].as_py()
    if not len(strings) or strings.null_count or not width or lengths["min"].as_py() != width:
        return None
    _, offsets, data = strings.buffers()
    start = int(np.frombuffer(offsets, np.int32)[strings.offset])
    letters = np.frombuffer(data, np.uint8)[start : start + width * len(strings)]
    return letters.view(f"S{width}") if letters.min() > 0 and letters.max() < 128 else None


def read_live(folder: Path, names: Sequence[str]) -> pa.Table:
    """Return the live entries of a generation's parts without opening the index itself."""
    tables = [read_part(folder, name).living() for name in names]
    return pa.concat_tables(tables) if tables else pa.table({"chunk_id": pa.array([], pa.string())})
