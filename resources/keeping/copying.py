"""Copying a corpus from one store to another, of any two kinds: verified, and resumed by asking for it again.

What the target holds already is compared row by row and not written again; its manifest comes last, so nothing is live
there before all of it is. Queries and runs of the source go on meanwhile.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa

from resources.errors import NoSnapshotError, StoreError
from resources.keeping.content import (
    REMEMBERED,
    numbered,
    publish,
    tables_of,
    take_files,
    take_folders,
    take_tables,
    versions_of,
)
from resources.reconciliation.suppression import read_suppressed
from resources.store.base import CorpusStore
from resources.store.retention import ORIGINALS
from resources.store.snapshots import Manifest
from resources.store.tables import DOCUMENTS, QUARANTINE, Table
from resources.store.writer import writing

NOTE = "copied.json"
WAIT = 60.0


@dataclass(frozen=True)
class LiveContent:
    """What a store serves now."""

    store: CorpusStore
    manifest: Manifest

    def batches(self, table: Table) -> Iterator[pa.RecordBatch]:
        if table == QUARANTINE:
            return self.store.batches(QUARANTINE, QUARANTINE.schema.names)
        versions = dict(zip((one.name for one in tables_of(self.manifest)), versions_of(self.manifest), strict=True))
        return self.store.batches(table, table.schema.names, version=versions[table.name])

    def folder(self, kind: str, name: str) -> Path:
        return {"indexes": self.store.indexes, "reports": self.store.reports}[kind].fetch(name)

    def files(self) -> Iterator[tuple[str, bytes]]:
        for folder in REMEMBERED:
            for path in self.store.files.list(folder):
                yield path, self.store.files.read(path)
        kept = self.store.files.list(ORIGINALS)
        rows = self.store.rows(DOCUMENTS, ("content_hash",), version=self.manifest.documents_version)
        for one in sorted({one for one in rows["content_hash"].to_pylist() if one is not None}):
            if (path := f"{ORIGINALS}/{one[:2]}/{one}") in kept:
                yield path, self.store.files.read(path)


def live_content(store: CorpusStore) -> LiveContent:
    """Return what a store serves; NoSnapshotError when nothing is published."""
    live = store.snapshots.live()
    if live is None:
        raise NoSnapshotError(f"corpus {store.corpus} has no snapshot yet, so there is nothing to keep")
    return LiveContent(store, live)


def copy_corpus(source: CorpusStore, target: CorpusStore) -> Manifest:
    """Copy what `source` serves to `target` and make it live there. Returns the target's manifest.

    The target must be empty, or hold an earlier copy of the same corpus that nothing was published over: then only what
    differs is written. StoreError otherwise, or when documents were erased from the source meanwhile.
    """
    content, erased = live_content(source), read_suppressed(source)
    _require_free(source, target)
    owner = f"copy-{uuid4().hex[:12]}"
    try:
        with writing(target, owner, wait=WAIT) as writer:
            live = target.snapshots.live()
            _write_note(target, source, live)
            documents, chunks, embeddings = take_tables(content, writer)
            take_folders(content, writer)
            take_files(content, writer)
            if read_suppressed(source) != erased:
                raise StoreError(
                    f"corpus {source.corpus}: documents were erased while it was copied, so the copy is not published; "
                    "run it again"
                )
            versions = {
                "documents_version": documents,
                "chunks_version": chunks,
                "embeddings_version": embeddings,
            }
            manifest = content.manifest.model_copy(update={"corpus": target.corpus, **versions})
            if live is None or live.model_copy(update={"number": manifest.number}) != manifest:
                manifest = numbered(target, manifest)
                _write_note(target, source, live, manifest)
                live = publish(writer, manifest)
            for number in target.snapshots.numbers()[:-1]:
                writer.retire(number)
            for table, version in zip((*tables_of(live), QUARANTINE), (*versions_of(live), None), strict=True):
                writer.forget_versions(table, keep={version} if version else ())
            return live
    finally:
        target.lease.release(owner)


def _require_free(source: CorpusStore, target: CorpusStore) -> None:
    if source.files.where("") == target.files.where(""):
        raise StoreError(f"corpus {source.corpus}: it cannot be copied onto itself; choose another --to or --as")
    note, live = _note(target), target.snapshots.live()
    if not note and (live is not None or target.tables()):
        raise StoreError(
            f"{target.files.where('')} holds a corpus that is no copy; choose another --to or --as, or move it away"
        )
    if note and (note["corpus"] != source.corpus or (live is not None and live.number not in note["numbers"])):
        what = f"a copy of corpus {note['corpus']}" if note["corpus"] != source.corpus else "published to since"
        raise StoreError(f"{target.files.where('')} is {what}, and is not overwritten; choose another --to or --as")


def _note(target: CorpusStore) -> dict[str, Any]:
    try:
        note: dict[str, Any] = json.loads(target.files.read(NOTE))
        return note if {"corpus", "numbers"} <= note.keys() else {}
    except (FileNotFoundError, ValueError, AttributeError):
        return {}


def _write_note(target: CorpusStore, source: CorpusStore, *manifests: Manifest | None) -> None:
    """Note whose copy this is, and which snapshots a copy published or is about to: from these a later one goes on."""
    numbers = [one.number for one in manifests if one is not None]
    target.files.write(NOTE, json.dumps({"corpus": source.corpus, "numbers": numbers}).encode())
