"""An archive: one file that holds a corpus's snapshot and says by itself what is in it.

A ZIP file, nothing in it compressed by ZIP: tables are Arrow IPC streams with zstd inside, which compress themselves
and are read from front to back; indexes, reports and small files are as they were. `manifest.json`, the last part,
names the format, the schema, the snapshot, and every part with its bytes and sha256. Indexes are included: they are
small beside the vectors, and built again they would not answer bit by bit the same.

Not here: what becomes of it in a store (`restoring`).
"""

import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import IO, Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, ValidationError

from resources.errors import StoreError
from resources.keeping.content import Content, tables_of
from resources.observability.progress import track
from resources.store.files import sync_folder
from resources.store.snapshots import Manifest, now
from resources.store.tables import QUARANTINE, SCHEMA_VERSION, Table
from resources.targets import Target

FORMAT = 1
CONTENTS = "manifest.json"
BLOCK = 1 << 20


class Part(BaseModel):
    """What a part must look like."""

    model_config = ConfigDict(frozen=True)
    bytes: int
    sha256: str


class Contents(BaseModel):
    """What an archive holds. `target`: what `ensure` left for the corpus; `rows` by table."""

    model_config = ConfigDict(frozen=True)
    format: int = FORMAT
    made_by: str
    made: str
    schema_version: int = SCHEMA_VERSION
    snapshot: Manifest
    target: Target
    rows: dict[str, int]
    parts: dict[str, Part]


def write_archive(content: Content, target: Target, file: Path) -> Contents:
    """Write an archive, read it back, and only then give it its name. StoreError when there is such a file."""
    if file.exists():
        raise StoreError(f"{file} exists already and is left alone; choose another name")
    draft = file.with_name(f".{file.name}.partial")
    try:
        contents = _write(content, target, draft)
        verify(draft)
        os.link(draft, file)  # unlike a renaming, never over a file that came meanwhile
    except FileExistsError:
        raise StoreError(f"{file} was made by another command meanwhile, and is left alone") from None
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(file.absolute().parent)
    return contents


def verify(file: Path) -> Contents:
    """Read every byte of an archive and return its contents; StoreError says which part is missing or damaged."""
    contents = read_contents(file)
    with _opened(file) as archive, track("verify", len(contents.parts)) as progress:
        found = set(archive.namelist()) - {CONTENTS}
        if found != set(contents.parts):
            odd = sorted(found ^ set(contents.parts))[0]
            raise StoreError(f"{file}: part {odd} is missing, or is not among its contents; use another archive")
        for name, part in contents.parts.items():
            hashed, size = hashlib.sha256(), 0
            try:
                with archive.open(name) as stream:
                    while block := stream.read(BLOCK):
                        hashed.update(block)
                        size += len(block)
            except (zipfile.BadZipFile, EOFError) as error:
                raise StoreError(f"{file}: part {name} is damaged ({error}); use another archive") from error
            if (size, hashed.hexdigest()) != (part.bytes, part.sha256):
                raise StoreError(f"{file}: part {name} is damaged (another checksum); use another archive")
            progress.advance(1, size)
    return contents


def read_contents(file: Path) -> Contents:
    """Read what an archive says of itself; StoreError for another file, or one that newer software made."""
    with _opened(file) as archive:
        try:
            body = json.loads(archive.read(CONTENTS))
            if body["format"] > FORMAT or body["snapshot"]["readable_by"] > SCHEMA_VERSION:
                raise StoreError(f"{file} was made by newer software ({body['made_by']}); upgrade rag-assets")
            contents = Contents.model_validate(body)
        except (KeyError, TypeError, ValueError, ValidationError, zipfile.BadZipFile) as error:
            raise StoreError(f"{file} is no archive of a corpus, or its {CONTENTS} is damaged") from error
    for name in contents.parts:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise StoreError(f"{file}: part {name} would lie outside of the corpus; nothing is read")
    return contents


@dataclass(frozen=True)
class ArchiveContent:
    """An archive that was verified; folders are unpacked below `scratch`."""

    file: Path
    contents: Contents
    scratch: Path

    @property
    def manifest(self) -> Manifest:
        return self.contents.snapshot

    @cached_property
    def _archive(self) -> zipfile.ZipFile:
        return _opened(self.file)

    def batches(self, table: Table) -> Iterator[pa.RecordBatch]:
        with self._archive.open(_part(table)) as stream, pa.ipc.open_stream(stream) as reader:
            for batch in reader:
                there = set(batch.schema.names)
                columns = [
                    batch.column(field.name) if field.name in there else pa.nulls(batch.num_rows, field.type)
                    for field in table.schema
                ]
                yield pa.RecordBatch.from_arrays(columns, schema=table.schema)

    def folder(self, kind: str, name: str) -> Path:
        folder = self.scratch / kind / name
        shutil.rmtree(folder, ignore_errors=True)
        for part in self.contents.parts:
            if part.startswith(f"{kind}/{name}/"):
                self._archive.extract(part, self.scratch)
        return folder

    def files(self) -> Iterator[tuple[str, bytes]]:
        for part in self.contents.parts:
            if part.startswith("files/"):
                yield part.removeprefix("files/"), self._archive.read(part)


class _Writer:
    """Writes parts, and notes the bytes and the checksum of each."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.archive = archive
        self.parts: dict[str, Part] = {}

    def part(self, name: str) -> "_PartStream":
        return _PartStream(self, name)


class _PartStream:
    """A part being written, from front to back."""

    def __init__(self, writer: _Writer, name: str) -> None:
        self._writer, self._name = writer, name
        self._stream: IO[bytes] = writer.archive.open(zipfile.ZipInfo(name), "w", force_zip64=True)
        self._hash, self._bytes = hashlib.sha256(), 0
        self.closed = False

    def write(self, data: Any) -> int:
        block = bytes(data)
        self._hash.update(block)
        self._bytes += len(block)
        return self._stream.write(block)

    def flush(self) -> None:
        """Nothing waits here."""

    def __enter__(self) -> "_PartStream":
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self.closed = True
        self._writer.parts[self._name] = Part(bytes=self._bytes, sha256=self._hash.hexdigest())


def _write(content: Content, target: Target, draft: Path) -> Contents:
    live = content.manifest
    rows = {}
    with draft.open("wb") as raw:
        with zipfile.ZipFile(raw, "w", zipfile.ZIP_STORED) as archive:
            writer = _Writer(archive)
            for table in (*tables_of(live), QUARANTINE):
                rows[table.stage] = _write_table(writer, table, content)
            for kind, name in (("indexes", live.dense), ("indexes", live.bm25), ("reports", live.report)):
                if name:
                    _write_folder(writer, content.folder(kind, name), f"{kind}/{name}")
            for path, data in content.files():
                with writer.part(f"files/{path}") as stream:
                    stream.write(data)
            contents = Contents(
                made_by=f"rag-assets {version('rag-assets')}",
                made=now(),
                snapshot=live,
                target=target,
                rows=rows,
                parts=writer.parts,
            )
            archive.writestr(CONTENTS, contents.model_dump_json(indent=1))
        raw.flush()
        os.fsync(raw.fileno())
    return contents


def _write_table(writer: _Writer, table: Table, content: Content) -> int:
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    rows = 0
    total = content.manifest.counts.get({"token_embeddings": "embeddings"}.get(table.stage, table.stage), 0)
    with (
        track(f"back up {table.stage}", total) as progress,
        writer.part(_part(table)) as stream,
        pa.ipc.new_stream(pa.PythonFile(stream, "w"), table.schema, options=options) as out,
    ):
        for batch in content.batches(table):
            out.write_batch(batch.cast(table.schema))
            rows += batch.num_rows
            progress.advance(min(batch.num_rows, max(0, total - progress.done)))
    return rows


def _write_folder(writer: _Writer, folder: Path, name: str) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file, writer.part(f"{name}/{path.relative_to(folder).as_posix()}") as stream:
                while block := file.read(BLOCK):
                    stream.write(block)


def _part(table: Table) -> str:
    return f"tables/{table.stage}.arrow"


def _opened(file: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except FileNotFoundError:
        raise StoreError(f"{file}: there is no such archive") from None
    except zipfile.BadZipFile as error:
        raise StoreError(f"{file} is no archive, or cut short ({error}); use another one") from error
