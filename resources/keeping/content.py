"""What of a corpus is moved: live's snapshot, all that it names, and what is remembered with it; and how a store takes
it in.

The candidate is not moved: it was not audited, and the next run makes it again. Neither are older snapshots, the lease,
and what audits keep on this machine. Where it comes from (a store, an archive) is behind `Content`.
"""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from resources.errors import StoreError
from resources.index.generation import verify
from resources.keeping.rows import receive
from resources.observability.progress import track
from resources.reconciliation.vectors import live_label
from resources.store.base import CorpusStore
from resources.store.folders import Folders
from resources.store.retention import ORIGINALS
from resources.store.snapshots import Manifest
from resources.store.tables import CHUNKS, DOCUMENTS, QUARANTINE, Table, token_embeddings
from resources.store.writer import CorpusWriter

REMEMBERED = ("reconciliation", "erasures")
"""Folders of small files: memory, history, suppression list, receipts."""


class Content(Protocol):
    """A snapshot with all that it names, to be read as often as is needed."""

    @property
    def manifest(self) -> Manifest:
        """The snapshot."""
        ...

    def batches(self, table: Table) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a table as the snapshot has them; the quarantine as it is now."""
        ...

    def folder(self, kind: str, name: str) -> Path:
        """Return an index generation (`indexes`) or a report (`reports`) on this machine."""
        ...

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Yield path and content of each small file: what is remembered, and the originals of the snapshot's rows."""
        ...


def tables_of(manifest: Manifest) -> tuple[Table, Table, Table]:
    """Return the tables that a snapshot names."""
    return DOCUMENTS, CHUNKS, token_embeddings(manifest.model_fingerprint, manifest.dimension)


def versions_of(manifest: Manifest) -> tuple[int, int, int]:
    """Return the versions that a snapshot names of those tables."""
    return manifest.documents_version, manifest.chunks_version, manifest.embeddings_version


def take_tables(content: Content, writer: CorpusWriter) -> tuple[int, int, int]:
    """Write the tables, verified row by row, and return the versions of the store that hold them."""
    store, tables = writer.store, tables_of(content.manifest)
    for table in tables:
        receive(writer, table, lambda table=table: content.batches(table))  # type: ignore[misc]
        if store.needs_compacting(table):
            writer.compact(table)
    documents, chunks, embeddings = (store.version(table) for table in tables)
    receive(writer, QUARANTINE, lambda: _relabelled(content, tables[2], embeddings))
    return documents, chunks, embeddings


def take_folders(content: Content, writer: CorpusWriter) -> None:
    """Write index generations and the report, each verified by the checksums of its files."""
    store, live = writer.store, content.manifest
    named = [("indexes", store.indexes, live.dense), ("indexes", store.indexes, live.bm25)]
    named += [("reports", store.reports, live.report)] if live.report else []
    with track("copy folders", len(named)) as progress:
        for kind, folders, name in named:
            source = content.folder(kind, name)
            wanted = _checksums(source)
            if kind == "indexes" and (problems := verify(source)):
                raise StoreError(f"corpus {store.corpus}: {problems[0]}. Nothing is published; rebuild the index first")
            if name not in folders.names() or _checksums(folders.fetch(name)) != wanted:
                _keep(source, folders, name)
                if _checksums(folders.fetch(name)) != wanted:
                    raise StoreError(f"corpus {store.corpus}: {name} was not written as it was read; run it again")
            progress.advance(1)


def take_files(content: Content, writer: CorpusWriter) -> None:
    """Write the small files, each read back."""
    files = writer.store.files
    for path, data in content.files():
        if path.startswith(f"{ORIGINALS}/"):
            files.create(path, data)
        else:
            files.write(path, data)
        if files.read(path) != data:
            raise StoreError(f"{files.where(path)} was not written as it was read; delete it and run it again")


def numbered(store: CorpusStore, manifest: Manifest) -> Manifest:
    """Return the manifest under a number that becomes live: its own, or the next one where there is a higher one."""
    newest = max(store.snapshots.numbers(), default=0)
    return manifest.model_copy(update={"number": max(manifest.number, newest + 1)})


def publish(writer: CorpusWriter, manifest: Manifest) -> Manifest:
    """Make the manifest live, with the versions that it names kept, and read it back."""
    store = writer.store
    for table, version in zip(tables_of(manifest), versions_of(manifest), strict=True):
        store.retain(table, version, f"snapshot-{manifest.number:08d}")
    published = writer.publish(manifest)
    if store.snapshots.live() != published:
        raise StoreError(f"corpus {store.corpus}: snapshot {published.number} is not what was published; run it again")
    return published


def _relabelled(content: Content, embeddings: Table, version: int) -> Iterator[pa.RecordBatch]:
    """Yield the quarantine's rows: those about live's version of the vectors under the version they have now."""
    old, new = live_label(embeddings.name, content.manifest.embeddings_version), live_label(embeddings.name, version)
    for batch in content.batches(QUARANTINE):
        rows = pa.Table.from_batches([batch]).to_pylist()
        kept = [
            row | {"table": new, "row_id": new + row["row_id"].removeprefix(old)} if row["table"] == old else row
            for row in rows
            if row["table"] == old or "@" not in row["table"]
        ]
        yield from pa.Table.from_pylist(kept, schema=QUARANTINE.schema).to_batches()


def _keep(source: Path, folders: Folders, name: str) -> None:
    draft = folders.local / f".copying-{name}"
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(source, draft)
    if (folders.local / name).is_dir():
        shutil.rmtree(folders.local / name)
    draft.rename(folders.local / name)
    folders.keep(name)


def _checksums(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                found[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def without(batch: pa.RecordBatch, column: str, values: pa.Array) -> pa.RecordBatch:
    """Return the rows whose `column` is not among `values`."""
    return batch.filter(pc.invert(pc.is_in(batch.column(column), values)))
