"""Files of this machine: a folder, read recursively, and a single file. What can be parsed is `resources.parsing`'s
knowledge, not ours.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from resources.errors import SourceError
from resources.identity import digest
from resources.sources.base import OpenDocument, SourceItem
from resources.sources.failures import GoneError, HostileError
from resources.sources.registry import SourceOptions, register_source
from resources.sources.selection import FileOptions, Selection


class FolderOptions(FileOptions):
    """`path`: the folder."""

    path: Path


@register_source("folder")
class FolderSource:
    """Keys are paths relative to the folder, with `/`. Hidden files, and links that lead out of it, are left out."""

    Options = FolderOptions
    location = "path"
    type = "folder"
    keeps_originals = False

    def __init__(self, name: str, options: FolderOptions) -> None:
        self.name = name
        self.fingerprint = digest("folder")
        self.pace = options.pace
        self._root = options.path
        self._principals = options.principals
        self._selection = Selection(options)

    def discover(self) -> Iterator[SourceItem]:
        """Yield every matching file, ordered by key.

        SourceError when the folder, or any folder in it, cannot be listed: what is unreadable is not deleted.
        """
        if not self._root.is_dir():
            raise SourceError(f"{self._root}: no such folder; an existing one is expected there")
        yield from sorted(self._walk(self._root, ""), key=lambda item: item.key)

    @contextmanager
    def open(self, item: SourceItem) -> Iterator[OpenDocument]:
        """Open a file as it is now."""
        path = self._root / item.key
        if not self._inside(path):
            raise HostileError(f"{item.key}: outside of the folder")
        with _opened(path, item.key) as opened:
            yield opened

    def _walk(self, folder: Path, prefix: str) -> Iterator[SourceItem]:
        try:
            entries = [entry for entry in os.scandir(folder) if not entry.name.startswith(".")]
        except OSError as error:
            raise SourceError(f"{folder}: cannot be listed: {error.strerror}") from error
        for entry in entries:
            # A name that is not UTF-8 cannot be a key; escaped it is listed, and becomes a failure when fetched.
            key = prefix + os.fsencode(entry.name).decode("utf-8", "backslashreplace")
            if entry.is_dir(follow_symlinks=False):
                if self._selection.enters(key):
                    yield from self._walk(Path(entry.path), f"{key}/")
            elif self._selection.wants(key) and self._is_ours(entry):
                yield _listed(key, entry.stat(), self._principals)

    def _is_ours(self, entry: os.DirEntry[str]) -> bool:
        # A linked folder is not followed: inside the root its files are listed anyway, outside they are not ours.
        return entry.is_file() and (not entry.is_symlink() or self._inside(Path(entry.path)))

    def _inside(self, path: Path) -> bool:
        return path.resolve().is_relative_to(self._root.resolve())


class FileSourceOptions(SourceOptions):
    """`path`: the file. `principals`: who may read it."""

    path: Path
    max_mb: int = 256
    principals: tuple[str, ...] | None = None


@register_source("file")
class FileSource:
    """One file, such as an upload; its key is its name, and its bytes are kept, for they may be the only copy."""

    Options = FileSourceOptions
    location = "path"
    type = "file"
    keeps_originals = True

    def __init__(self, name: str, options: FileSourceOptions) -> None:
        self.name = name
        self.fingerprint = digest("file")
        self.pace = FileOptions(max_mb=options.max_mb, concurrency=1).pace
        self._path = options.path
        self._principals = options.principals

    def discover(self) -> Iterator[SourceItem]:
        """Yield the file; SourceError when it is not there."""
        if not self._path.is_file():
            raise SourceError(f"{self._path}: no such file; an existing one is expected there")
        yield _listed(self._path.name, self._path.stat(), self._principals)

    @contextmanager
    def open(self, item: SourceItem) -> Iterator[OpenDocument]:
        """Open the file as it is now."""
        with _opened(self._path, item.key) as opened:
            yield opened


def _listed(key: str, status: os.stat_result, principals: tuple[str, ...] | None) -> SourceItem:
    version = _version(status)
    modified = datetime.fromtimestamp(status.st_mtime, UTC).isoformat(timespec="seconds")
    # A file that was moved keeps its inode and its time: the same bytes under another name.
    checksum = f"inode:{status.st_dev}:{status.st_ino}:{version}"
    return SourceItem(key, version, status.st_size, modified, checksum, principals=principals)


@contextmanager
def _opened(path: Path, key: str) -> Iterator[OpenDocument]:
    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        raise GoneError(f"{key}: the file is gone, or its name is not valid UTF-8") from error
    with file:
        yield OpenDocument(file, _version(os.fstat(file.fileno())))


def _version(status: os.stat_result) -> str:
    return f"{status.st_size}-{status.st_mtime_ns}"
