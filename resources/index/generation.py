"""A generation: one immutable folder of index files, named for its content, with a manifest that proves it whole.

Here: the manifest, verification, and the one way a folder comes into being: drafted beside its siblings under a lock,
sharing unchanged files with the last generation by hard link, flushed to disk, renamed into place. Not here: what the
files mean (`dense`, `bm25`), and which generation is live (the snapshot says so).
"""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from resources.errors import IndexDamagedError, LeaseHeldError, StoreError
from resources.identity import digest

FORMAT = 1
MANIFEST = "manifest.json"
LOCK_SECONDS = 600.0


class FileRecord(BaseModel):
    """What a file of the generation must look like."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    bytes: int
    sha256: str


class PartRecord(BaseModel):
    """One part of the index: its entries, dead ones included, and how many of them live."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    rows: int
    live: int


class Manifest(BaseModel):
    """What a generation holds. `count` and both digests are of the live entries; `files` lists all but the manifest."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    format: int = FORMAT
    kind: str
    count: int
    ids_digest: str
    rows_digest: str
    fingerprint: str
    parameters: dict[str, Any]
    parts: tuple[PartRecord, ...]
    files: dict[str, FileRecord] = {}

    @property
    def name(self) -> str:
        """The folder's name: the same content, made under the same parameters, always has the same."""
        made = json.dumps([self.format, self.fingerprint, self.parameters, self.rows_digest], sort_keys=True)
        return f"{self.kind}-{digest(self.kind, made)[:12]}"


class Previous(NamedTuple):
    """The last generation, as far as a new one can build on it: its manifest, and the files that are still sound."""

    path: Path
    manifest: Manifest
    sound: frozenset[str]


def read_manifest(path: Path) -> Manifest:
    """Read the manifest of the generation folder `path`; IndexDamagedError when it is missing, damaged or foreign."""
    try:
        body = json.loads((path / MANIFEST).read_bytes())
        checksum = body.pop("checksum")
        if body.get("format") != FORMAT:
            raise IndexDamagedError(
                f"index {path} has format {body.get('format')}, this version reads {FORMAT}: rebuild the index"
            )
        manifest = Manifest.model_validate(body)
    except FileNotFoundError:
        raise IndexDamagedError(f"index {path} has no {MANIFEST}: rebuild the index") from None
    except (OSError, ValueError, KeyError, AttributeError, ValidationError) as error:
        raise IndexDamagedError(f"index {path} has an unreadable {MANIFEST} ({error}): rebuild the index") from error
    if checksum != _checksum(manifest):
        raise IndexDamagedError(f"index {path} has a {MANIFEST} that fails its own checksum: rebuild the index")
    return manifest


def verify(path: Path) -> list[str]:
    """Read every byte of a generation and return what is wrong with it, a line each; empty when healthy."""
    try:
        manifest = read_manifest(path)
    except IndexDamagedError as error:
        return [str(error)]
    problems = [problem for file in manifest.files if (problem := _problem(path, file, manifest.files[file]))]
    if manifest.name != path.name:
        problems.append(f"index {path} holds the content of {manifest.name}")
    return problems


def require_whole(path: Path, manifest: Manifest) -> None:
    """Raise IndexDamagedError for a file that is missing or of the wrong length: mapping it would kill the process."""
    for file, record in manifest.files.items():
        if problem := _length_problem(path, file, record):
            raise IndexDamagedError(f"{problem}: rebuild the index")


def reusable(path: Path | None, wanted: Manifest) -> Previous | None:
    """Return the generation at `path` when one of `wanted`'s kind, fingerprint and parameters can build on it.

    Every byte is read: a hard link shares damage as well as data, so a damaged file is never handed on.
    """
    if path is None:
        return None
    try:
        manifest = read_manifest(path)
    except IndexDamagedError:
        return None
    made = ("kind", "fingerprint", "parameters")
    if any(getattr(manifest, field) != getattr(wanted, field) for field in made):
        return None
    return Previous(path, manifest, frozenset(f for f, r in manifest.files.items() if not _problem(path, f, r)))


@contextmanager
def drafting(indexes: Path, kind: str) -> Iterator[Path]:
    """Yield an empty draft folder for a generation of `kind`, gone afterwards unless `publish` renamed it.

    The lock dies with its process, so whoever holds it knows that older drafts are leftovers. Raises LeaseHeldError
    when another process keeps building for ten minutes, StoreError when the files cannot be written.
    """
    draft = indexes / f".building-{kind}"
    try:
        indexes.mkdir(parents=True, exist_ok=True)
        with FileLock(indexes / f".lock-{kind}", timeout=LOCK_SECONDS):
            _clear(indexes, kind)
            draft.mkdir()
            try:
                yield draft
            finally:
                _clear(indexes, kind)
    except Timeout:
        raise LeaseHeldError(
            f"another process is still building a {kind} index in {indexes}: try again later"
        ) from None
    except OSError as error:
        raise StoreError(f"cannot write the {kind} index in {indexes}: {error.strerror or error}") from error


def link(previous: Previous, file: str, draft: Path) -> None:
    """Share an immutable file of the last generation with the draft; copy it where the file system cannot."""
    target = draft / file
    target.parent.mkdir(exist_ok=True)
    try:
        os.link(previous.path / file, target)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP):
            raise
        shutil.copyfile(previous.path / file, target)


def publish(draft: Path, indexes: Path, manifest: Manifest, previous: Previous | None) -> Path:
    """Record and flush the draft's files, then rename it into place; a damaged folder of that name makes way."""
    files = {}
    for path in sorted(path for path in draft.rglob("*") if path.is_file()):
        file = path.relative_to(draft).as_posix()
        files[file] = _shared(previous, file, path) or _flush(path)
    body = manifest.model_copy(update={"files": files})
    text = json.dumps({**body.model_dump(), "checksum": _checksum(body)}, indent=1, sort_keys=True)
    (draft / MANIFEST).write_text(text)
    _flush(draft / MANIFEST)
    for folder in (*(path for path in draft.rglob("*") if path.is_dir()), draft):
        _flush_folder(folder)
    final = indexes / manifest.name
    if final.exists():
        final.rename(indexes / f".building-{manifest.kind}-replaced")
    draft.rename(final)
    _flush_folder(indexes)
    return final


def _checksum(manifest: Manifest) -> str:
    return digest(json.dumps(manifest.model_dump(), sort_keys=True))


def _length_problem(folder: Path, file: str, record: FileRecord) -> str | None:
    try:
        size = (folder / file).stat().st_size
    except OSError as error:
        return f"index file {folder / file} is missing ({error.strerror})"
    return None if size == record.bytes else f"index file {folder / file} has {size} bytes instead of {record.bytes}"


def _problem(folder: Path, file: str, record: FileRecord) -> str | None:
    if problem := _length_problem(folder, file, record):
        return problem
    try:
        intact = _sha256(folder / file) == record.sha256
    except OSError as error:
        return f"index file {folder / file} cannot be read ({error.strerror})"
    return None if intact else f"index file {folder / file} fails its checksum"


def _shared(previous: Previous | None, file: str, path: Path) -> FileRecord | None:
    if previous is None or file not in previous.sound:
        return None
    return previous.manifest.files[file] if path.samefile(previous.path / file) else None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> FileRecord:
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return FileRecord(bytes=path.stat().st_size, sha256=_sha256(path))


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _clear(indexes: Path, kind: str) -> None:
    for leftover in indexes.glob(f".building-{kind}*"):
        shutil.rmtree(leftover)
