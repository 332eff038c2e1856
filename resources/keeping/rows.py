"""Rows of a table as digests, so that two stores that keep them in different ways can be compared row by row.

A digest is of the values alone: of no store's types, order or batches. About 100 bytes a row are held, never the rows.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from resources.errors import StoreError
from resources.identity import set_digest
from resources.observability.progress import track
from resources.store.tables import Table
from resources.store.writer import CorpusWriter

COMMIT_BYTES = 64 << 20
COMMIT_ROWS = 20_000
DELETED_AT_ONCE = 1000

Batches = Callable[[], Iterator[pa.RecordBatch]]


class Fingerprints(NamedTuple):
    """The keys of a table, and for each row a line of its key and its digest."""

    keys: pa.Array
    lines: pa.Array

    @property
    def digest(self) -> str:
        """Equal for the same rows, in whatever order."""
        return set_digest(self.lines.to_pylist())


def fingerprints(table: Table, batches: Iterable[pa.RecordBatch]) -> Fingerprints:
    """Read all rows once and return their fingerprints."""
    keys, lines = [pa.array([], pa.string())], [pa.array([], pa.string())]
    for batch in batches:
        ids = batch.column(table.key).cast(pa.string())
        keys.append(ids)
        pairs = zip(ids.to_pylist(), _digests(batch), strict=True)
        lines.append(pa.array([f"{key}\0{digest}" for key, digest in pairs], pa.string()))
    return Fingerprints(pa.concat_arrays(keys), pa.concat_arrays(lines))


def receive(writer: CorpusWriter, table: Table, batches: Batches) -> Fingerprints:
    """Make the newest version of a table hold exactly these rows; rows that are there already are not written again.

    `batches` is called for one pass or two. Every row is read back and compared: StoreError when one differs.
    """
    store, columns = writer.store, table.schema.names
    there = fingerprints(table, store.batches(table, columns))
    wanted = fingerprints(table, batches())
    gone = there.keys.filter(pc.invert(pc.is_in(there.keys, wanted.keys))).to_pylist()
    for start in range(0, len(gone), DELETED_AT_ONCE):
        writer.delete(table, gone[start : start + DELETED_AT_ONCE])
    missing = wanted.keys.filter(pc.invert(pc.is_in(wanted.lines, there.lines)))
    with track(f"copy {table.stage}", len(wanted.keys)) as progress:
        progress.advance(len(wanted.keys) - len(missing))
        for rows in _commits(_only(table, batches(), missing) if len(missing) else ()):
            writer.upsert(table, rows)
            progress.advance(rows.num_rows, rows.nbytes)
    written = fingerprints(table, store.batches(table, columns)) if gone or len(missing) else there
    if written.digest != wanted.digest or len(written.keys) != len(wanted.keys):
        raise StoreError(
            f"corpus {store.corpus}: table {table.name} holds other rows than were written ({len(written.keys)} of "
            f"{len(wanted.keys)}); run it again, and if that does not help, look at the store's disk"
        )
    return wanted


def _only(table: Table, batches: Iterable[pa.RecordBatch], keys: pa.Array) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield batch.filter(pc.is_in(batch.column(table.key), keys))


def _commits(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Join batches to what is worth a commit, at most about `COMMIT_BYTES`."""
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        if batch.num_rows:
            waiting.append(batch)
        if sum(one.nbytes for one in waiting) >= COMMIT_BYTES or sum(one.num_rows for one in waiting) >= COMMIT_ROWS:
            yield pa.Table.from_batches(waiting)
            waiting = []
    if waiting:
        yield pa.Table.from_batches(waiting)


def _digests(batch: pa.RecordBatch) -> Iterator[str]:
    for cells in zip(*map(_cells, batch.columns), strict=True):
        hashed = hashlib.blake2b(digest_size=16)
        for cell in cells:
            hashed.update(b"-" if cell is None else b"%d:" % len(cell))
            hashed.update(cell or b"")
        yield hashed.hexdigest()


def _cells(column: pa.Array) -> list[bytes | None]:
    kind = column.type
    if pa.types.is_fixed_size_list(kind) and not column.null_count:
        values = column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), kind.list_size)
        return [row.tobytes() for row in values]
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return list(column.cast(pa.large_binary()).to_pylist())
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return list(column.to_pylist())
    return [None if value is None else repr(value).encode() for value in column.to_pylist()]
