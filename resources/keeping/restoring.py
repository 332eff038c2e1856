"""Restoring a corpus from an archive, without what was erased since.

The archive is read whole before anything is written. Into a corpus that exists it becomes a new snapshot: what queries
read goes on until the new one is there, and is kept as long as any older snapshot.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc

from resources.corpus import Corpus
from resources.errors import StoreError
from resources.keeping.archive import ArchiveContent
from resources.keeping.content import (
    Content,
    numbered,
    publish,
    tables_of,
    take_folders,
    take_tables,
    without,
)
from resources.materialisation.base import writing_by_hand
from resources.materialisation.candidate import candidate_manifest
from resources.materialisation.erasure import rebuild_indexes
from resources.reconciliation import history
from resources.reconciliation.observe import SystemState
from resources.reconciliation.suppression import PATH as SUPPRESSED
from resources.reconciliation.suppression import hashed, read_suppressed, suppress_hashes, understood
from resources.store.base import CorpusStore
from resources.store.retention import ORIGINALS
from resources.store.snapshots import Manifest, now
from resources.store.tables import CHUNKS, DOCUMENTS, QUARANTINE, Table
from resources.store.writer import CorpusWriter


@dataclass(frozen=True)
class Restored:
    """What became of an archive: the snapshot that is live now, and how many of its documents were erased since."""

    manifest: Manifest
    erased: int


@dataclass(frozen=True)
class _WithoutErased:
    """A content without the rows of some documents, which its indexes still hold."""

    whole: Content
    erased: pa.Array

    @property
    def manifest(self) -> Manifest:
        return self.whole.manifest

    @cached_property
    def _chunks(self) -> pa.Array:
        batches = (
            batch.filter(pc.is_in(batch.column("document_id"), self.erased)).column("chunk_id")
            for batch in self.whole.batches(CHUNKS)
        )
        return pa.concat_arrays([pa.array([], pa.string()), *batches])

    def batches(self, table: Table) -> Iterator[pa.RecordBatch]:
        column = {DOCUMENTS.name: "document_id", CHUNKS.name: "document_id", QUARANTINE.name: "id"}
        ids = self.erased if table in (DOCUMENTS, CHUNKS) else pa.concat_arrays([self.erased, self._chunks])
        for batch in self.whole.batches(table):
            yield without(batch, column.get(table.name, "chunk_id"), ids)

    def folder(self, kind: str, name: str) -> Path:
        return self.whole.folder(kind, name)

    def files(self) -> Iterator[tuple[str, bytes]]:
        kept = {one for batch in self.batches(DOCUMENTS) for one in batch.column("content_hash").to_pylist()}
        for path, data in self.whole.files():
            if not path.startswith(f"{ORIGINALS}/") or PurePosixPath(path).name in kept:
                yield path, data


def restore(corpus: Corpus, archive: ArchiveContent, *, replace: bool = False) -> Restored:
    """Make what a verified archive holds live. StoreError when the corpus exists, unless `replace`.

    Documents on the suppression list, the corpus's own or the archive's, are left out: the indexes are then built
    again, for which the model must be the archive's.
    """
    store = corpus.store
    if not replace and (store.snapshots.numbers() or store.tables()):
        raise StoreError(
            f"corpus {corpus.name} exists already; --replace makes the archive its next snapshot, --as restores it "
            "under another name"
        )
    hashes = read_suppressed(store) | _suppressed_in(archive, store)
    erased = sorted(_erased(archive, hashes)) if hashes else []
    if erased and corpus.model.fingerprint != archive.manifest.model_fingerprint:
        raise StoreError(
            f"corpus {corpus.name}: {len(erased)} documents of the archive were erased since, so its indexes must be "
            f"built again, and that needs its model: set `model: {archive.manifest.model}` for the time being"
        )
    content: Content = _WithoutErased(archive, pa.array(erased, pa.string())) if erased else archive
    with writing_by_hand(corpus) as writer:
        suppress_hashes(store, hashes)
        versions = take_tables(content, writer)
        _take_missing_files(content, writer)
        if erased:
            rebuild_indexes(corpus, SystemState(corpus))
            manifest = candidate_manifest(SystemState(corpus), writer.run)
        else:
            take_folders(content, writer)
            names = ("documents_version", "chunks_version", "embeddings_version")
            changes = dict(zip(names, versions, strict=True)) | {
                "corpus": corpus.name,
                "run": writer.run,
                "created": now(),
            }
            manifest = content.manifest.model_copy(update=changes)
        live = publish(writer, numbered(store, manifest))
    entry = {"kind": "restored", "at": now(), "snapshot": live.number, "archived": archive.contents.made}
    history.append(store, entry | {"erased_since": len(erased)})
    return Restored(live, len(erased))


def _take_missing_files(content: Content, writer: CorpusWriter) -> None:
    """Write the small files that are not there: what a corpus that exists remembers is newer than the archive."""
    files = writer.store.files
    for path, data in content.files():
        if path != SUPPRESSED:
            files.create(path, data)


def _suppressed_in(archive: ArchiveContent, store: CorpusStore) -> frozenset[str]:
    found = [data for path, data in archive.files() if path == SUPPRESSED]
    return understood(store, found[0]) if found else frozenset()


def _erased(archive: ArchiveContent, hashes: frozenset[str]) -> set[str]:
    ids = (batch.column("document_id").to_pylist() for batch in archive.batches(tables_of(archive.manifest)[0]))
    return {one for some in ids for one in some if hashed(one) in hashes}
