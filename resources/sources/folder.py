"""A folder of files, read recursively. Which file types can be parsed is `resources.parsing`'s knowledge, not ours."""

import mimetypes
import os
from collections.abc import Collection, Iterator
from pathlib import Path

import pathspec
from pydantic import Field

from resources.errors import SourceError
from resources.identity import digest
from resources.parsing.base import media_type_of
from resources.sources.base import FetchFailure, RawDocument, SourceItem
from resources.sources.registry import SourceOptions, register_source


class FolderOptions(SourceOptions):
    """`include`, `exclude`: patterns as in a .gitignore; without `include`, every file that has a parser.

    `max_mb`: a larger file becomes a failure of its own instead of filling the memory.
    """

    path: Path
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    max_mb: int = Field(default=256, ge=1)


@register_source("folder")
class FolderSource:
    """Keys are paths relative to the folder, with `/`. Hidden files, and links that lead out of it, are left out."""

    Options = FolderOptions
    location = "path"
    type = "folder"

    def __init__(self, name: str, options: FolderOptions) -> None:
        self.name = name
        self.fingerprint = digest("folder")
        self._root = options.path
        self._include = pathspec.GitIgnoreSpec.from_lines(options.include) if options.include else None
        self._exclude = pathspec.GitIgnoreSpec.from_lines(options.exclude)
        self._limit = options.max_mb << 20

    def discover(self) -> Iterator[SourceItem]:
        """Yield every matching file, ordered by key.

        SourceError when the folder, or any folder in it, cannot be listed: what is unreadable is not deleted.
        """
        if not self._root.is_dir():
            raise SourceError(f"{self._root}: no such folder; an existing one is expected there")
        yield from sorted(self._walk(self._root, ""), key=lambda item: item.key)

    def fetch(self, keys: Collection[str]) -> Iterator[RawDocument | FetchFailure]:
        """Yield each file's bytes, or why that one file cannot be read."""
        for key in keys:
            path = self._root / key
            if not self._inside(path):
                yield FetchFailure(key, "", "outside of the folder")
                continue
            try:
                with path.open("rb") as file:
                    version, size = _version(os.fstat(file.fileno()))
                    if size > self._limit:
                        reason = f"{size >> 20} MB are more than the {self._limit >> 20} MB that max_mb allows"
                        yield FetchFailure(key, version, reason)
                        continue
                    data = file.read()
            except FileNotFoundError:
                yield FetchFailure(key, "", "the file is gone, or its name is not valid UTF-8")
            except OSError as error:
                yield FetchFailure(key, "", f"cannot be read: {error.strerror}")
            else:
                media_type = media_type_of(key) or mimetypes.guess_type(key)[0] or "application/octet-stream"
                yield RawDocument(key, version, media_type, data)

    def _walk(self, folder: Path, prefix: str) -> Iterator[SourceItem]:
        try:
            entries = [entry for entry in os.scandir(folder) if not entry.name.startswith(".")]
        except OSError as error:
            raise SourceError(f"{folder}: cannot be listed: {error.strerror}") from error
        for entry in entries:
            # A name that is not UTF-8 cannot be a key; escaped it is listed, and becomes a failure when fetched.
            key = prefix + os.fsencode(entry.name).decode("utf-8", "backslashreplace")
            if entry.is_dir(follow_symlinks=False):
                if not self._exclude.match_file(f"{key}/"):
                    yield from self._walk(Path(entry.path), f"{key}/")
            elif self._is_wanted(key) and self._is_ours(entry):
                yield SourceItem(key, *_version(entry.stat()))

    def _is_wanted(self, key: str) -> bool:
        included = self._include.match_file(key) if self._include else media_type_of(key) is not None
        return included and not self._exclude.match_file(key)

    def _is_ours(self, entry: os.DirEntry[str]) -> bool:
        # A linked folder is not followed: inside the root its files are listed anyway, outside they are not ours.
        return entry.is_file() and (not entry.is_symlink() or self._inside(Path(entry.path)))

    def _inside(self, path: Path) -> bool:
        return path.resolve().is_relative_to(self._root.resolve())


def _version(status: os.stat_result) -> tuple[str, int]:
    return f"{status.st_size}-{status.st_mtime_ns}", status.st_size
