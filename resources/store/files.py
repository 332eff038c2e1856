"""The files of a corpus besides its tables: manifests, the lease, what is remembered, receipts, originals.

Each is whole or not there. They are few and small, so that any store can keep them: a folder here, an object store or
a database elsewhere. Not here: index generations and reports, which are read in place (`folders`).
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from filelock import FileLock

from resources.errors import StoreError

LOCK = ".lock"


class Files(Protocol):
    """Files by relative path. Every method raises StoreError when the place cannot be read or written."""

    def read(self, path: str) -> bytes:
        """Return the content; FileNotFoundError when there is none."""
        ...

    def write(self, path: str, content: bytes) -> None:
        """Replace the content, so that a reader sees the old one or the new one, also after a crash."""
        ...

    def create(self, path: str, content: bytes) -> bool:
        """Write the file unless it exists; return whether this call did. Of several at once, one does."""
        ...

    def update(self, path: str, change: Callable[[bytes | None], bytes | None]) -> None:
        """Replace the content (None: no file) by what `change` makes of it, no other update in between.

        `change` may be called more than once; where it returns None or raises, nothing is written.
        """
        ...

    def list(self, folder: str = "") -> dict[str, int]:
        """Return path and bytes of every file below a folder, at any depth; none when there is no such folder."""
        ...

    def delete(self, path: str) -> None:
        """Delete the file, if it is there."""
        ...

    def where(self, path: str) -> str:
        """Name a file for a person."""
        ...


class LocalFiles:
    """Files below a folder of a POSIX file system."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, path: str) -> bytes:
        with self._guarded(path, "read"):
            return (self.folder / path).read_bytes()

    def write(self, path: str, content: bytes) -> None:
        with self._guarded(path, "written"):
            self._make_room(path)
            write_atomically(self.folder / path, content)

    def create(self, path: str, content: bytes) -> bool:
        with self._guarded(path, "written"):
            self._make_room(path)
            target = self.folder / path
            temporary = _write_beside(target, content)
            try:
                os.link(temporary, target)
            except FileExistsError:
                return False
            finally:
                temporary.unlink()
            sync_folder(target.parent)
            return True

    def update(self, path: str, change: Callable[[bytes | None], bytes | None]) -> None:
        with self._guarded(path, "written"):
            target = self.folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(target.parent / LOCK):
                after = change(target.read_bytes() if target.exists() else None)
                if after is not None:
                    write_atomically(target, after)

    def list(self, folder: str = "") -> dict[str, int]:
        with self._guarded(folder, "listed"):
            return dict(self._below(self.folder / folder))

    def delete(self, path: str) -> None:
        with self._guarded(path, "deleted"):
            target = self.folder / path
            if target.exists():
                target.unlink(missing_ok=True)
                sync_folder(target.parent)

    def where(self, path: str) -> str:
        return str(self.folder / path)

    def _below(self, folder: Path) -> Iterator[tuple[str, int]]:
        """Yield what is there; a file that goes away meanwhile, or is not whole yet, was not there."""
        for path in sorted(folder.rglob("*")):
            if not path.name.startswith("."):
                try:
                    if path.is_file():
                        yield path.relative_to(self.folder).as_posix(), path.stat().st_size
                except FileNotFoundError:
                    continue

    def _make_room(self, path: str) -> None:
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def _guarded(self, path: str, verb: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            if verb == "read":
                raise
            raise StoreError(f"{self.where(path)} cannot be {verb}: its folder is gone") from None
        except OSError as error:
            raise StoreError(f"{self.where(path)} cannot be {verb}: {error.strerror or error}") from error


def write_atomically(path: Path, content: bytes) -> None:
    """Replace `path` by `content`, so that a reader sees the old file or the new one, also after a crash."""
    _write_beside(path, content).replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_beside(path: Path, content: bytes) -> Path:
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return Path(temporary)
