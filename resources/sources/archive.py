"""A ZIP or tar archive, and the archives in it, as a source.

Here: listing members within bounds, and opening one. Not here: what the formats are (`archive_formats`).
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from pydantic import Field

from resources.errors import SourceError
from resources.identity import digest
from resources.sources.archive_formats import (
    RATIO_MATTERS_FROM,
    Archive,
    LeadsOutError,
    Measured,
    Member,
    broken_is_corrupt,
    open_archive,
    spooled,
)
from resources.sources.base import OpenDocument, SourceItem
from resources.sources.failures import ChangedError, GoneError, HostileError, ReadError
from resources.sources.registry import register_source
from resources.sources.selection import FileOptions, Selection

DEPTH = 5
OPEN_AT_A_TIME = 16
LISTINGS_KEPT = 16
_NAMES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")


class ArchiveOptions(FileOptions):
    """`path`: the archive.

    Beyond `max_entries` members, `max_total_mb` unpacked, or `max_ratio` times its packed size, an archive is refused;
    nested ones count towards the outermost.
    """

    path: Path
    max_entries: int = Field(default=100_000, ge=1)
    max_total_mb: int = Field(default=16_384, ge=1)
    max_ratio: int = Field(default=200, ge=2)


@register_source("archive")
class ArchiveSource:
    """Keys are the members' names; those of an archive within it follow its own name and `!/`."""

    Options = ArchiveOptions
    location = "path"
    type = "archive"
    keeps_originals = False

    def __init__(self, name: str, options: ArchiveOptions) -> None:
        self.name = name
        self.fingerprint = digest("archive")
        self.pace = options.pace
        self._options = options
        self._selection = Selection(options)
        self._lock = threading.RLock()
        self._stamp: tuple[int, int] | None = None
        self._opened: OrderedDict[tuple[str, ...], tuple[Archive, dict[str, Member]]] = OrderedDict()

    def discover(self) -> Iterator[SourceItem]:
        """Yield every wanted member, ordered by key, those that will be refused included.

        SourceError when the archive cannot be read, or as a whole exceeds its bounds.
        """
        status = self._status()
        known = f"{status.st_dev}:{status.st_ino}:{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}"
        yield from _LISTINGS.get(f"{known}:{self._options.model_dump_json()}", self._listed)

    def _listed(self) -> tuple[SourceItem, ...]:
        items = {item.key: item for item in self._list((), 1, _Bounds(self._options))}
        return tuple(items[key] for key in sorted(items))

    @contextmanager
    def open(self, item: SourceItem) -> Iterator[OpenDocument]:
        """Open a member as the archive holds it now."""
        *chain, name = item.key.split("!/")
        archive, members = self._archive(tuple(chain))
        member = members.get(name)
        if member is None:
            raise GoneError(f"{item.key}: no longer in {self._options.path.name}")
        if refused := self._refusal(member, len(chain) + 1):
            raise refused
        if member.name.lower().endswith(_NAMES):
            for _ in self._list((*chain, name), len(chain) + 2, _Bounds(self._options)):
                pass
            raise ChangedError(f"{item.key}: could not be listed, and now can")
        with broken_is_corrupt(item.key), archive.read(member) as stream:
            yield OpenDocument(cast(IO[bytes], Measured(stream, member.size, item.key)), member.version)

    def _list(self, chain: tuple[str, ...], depth: int, bounds: "_Bounds") -> Iterator[SourceItem]:
        _, members = self._archive(chain)
        for member in members.values():
            bounds.count(member)
            key = "!/".join((*chain, member.name))
            refused = self._refusal(member, depth)
            if member.name.lower().endswith(_NAMES):
                # An archive that cannot be listed is listed as itself, and becomes a failure when opened.
                try:
                    if refused is None:
                        yield from list(self._list((*chain, member.name), depth + 1, bounds))
                        continue
                except ReadError as error:
                    refused = error
            elif not self._selection.wants(key) and not isinstance(refused, LeadsOutError):
                continue
            checksum = None if refused else member.checksum
            principals = self._options.principals
            yield SourceItem(key, member.version, member.size, member.modified, checksum, principals=principals)

    def _refusal(self, member: Member, depth: int) -> ReadError | None:
        if member.refused is not None:
            return member.refused
        if member.size > RATIO_MATTERS_FROM and member.size > self._options.max_ratio * max(member.packed, 1):
            ratio = member.size // max(member.packed, 1)
            return HostileError(f"{member.name}: unpacks to {ratio:,} times its size; max_ratio is set lower")
        if depth >= DEPTH and member.name.lower().endswith(_NAMES):
            return HostileError(f"{member.name}: archives are nested more than {DEPTH} deep")
        return None

    def _archive(self, chain: tuple[str, ...]) -> tuple[Archive, dict[str, Member]]:
        """Return an opened archive and its members by name, kept until the file changes or others push it out."""
        with self._lock:
            status = self._status()
            if self._stamp != (stamp := (status.st_size, status.st_mtime_ns)):
                self._opened.clear()
                self._stamp = stamp
            if chain not in self._opened:
                self._opened[chain] = self._open_archive(chain)
                while len(self._opened) > OPEN_AT_A_TIME:
                    self._opened.popitem(last=False)
            self._opened.move_to_end(chain)
            return self._opened[chain]

    def _status(self) -> os.stat_result:
        path = self._options.path
        try:
            return path.stat()
        except OSError as error:
            raise SourceError(f"{path}: no such archive; an existing file is expected there") from error

    def _open_archive(self, chain: tuple[str, ...]) -> tuple[Archive, dict[str, Member]]:
        what = "!/".join((self._options.path.name, *chain))
        with broken_is_corrupt(what):
            if not chain:
                file: IO[bytes] = self._options.path.open("rb")
            else:
                outer, members = self._archive(chain[:-1])
                member = members.get(chain[-1])
                if member is None:
                    raise GoneError(f"{what}: no longer there")
                with outer.read(member) as stream:
                    file = spooled(stream, self._options.max_total_mb << 20, what)
            options = self._options
            archive = open_archive(file, what, max_bytes=options.max_total_mb << 20, max_ratio=options.max_ratio)
            return archive, {member.name: member for member in archive.members()}


class _Listings:
    """The listings of the archives listed last: a tar is read whole to list it, and most looks find it unchanged."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[SourceItem, ...]] = OrderedDict()

    def get(self, key: str, make: Callable[[], tuple[SourceItem, ...]]) -> tuple[SourceItem, ...]:
        """Return the listing under `key`, made unless it is known."""
        with self._lock:
            found = self._kept.get(key)
        if found is None:
            found = make()
        with self._lock:
            self._kept[key] = found
            self._kept.move_to_end(key)
            while len(self._kept) > LISTINGS_KEPT:
                self._kept.popitem(last=False)
        return found


_LISTINGS = _Listings()


class _Bounds:
    """What the members of an archive and of those in it add up to."""

    def __init__(self, options: ArchiveOptions) -> None:
        self._options = options
        self._entries = self._bytes = 0

    def count(self, member: Member) -> None:
        self._entries += 1
        self._bytes += member.size
        if self._entries > self._options.max_entries:
            raise HostileError(
                f"{self._options.path.name}: more members than max_entries ({self._options.max_entries})"
            )
        if self._bytes > self._options.max_total_mb << 20:
            raise HostileError(
                f"{self._options.path.name}: more unpacked than max_total_mb ({self._options.max_total_mb})"
            )
