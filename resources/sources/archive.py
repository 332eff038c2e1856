"""A ZIP or tar archive, and the archives in it. Nothing is ever extracted to a path that the archive names.

Here: listing members within bounds, refusing those that are up to no good, and opening one. What an archive holds is
judged before it is unpacked as far as its directory says, and while it is unpacked in any case.
"""

import bz2
import gzip
import hashlib
import lzma
import re
import stat
import tarfile
import tempfile
import threading
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Protocol, cast

from pydantic import Field

from resources.errors import SourceError
from resources.identity import digest
from resources.sources.base import OpenDocument, SourceItem
from resources.sources.failures import (
    ChangedError,
    CorruptionError,
    GoneError,
    HostileError,
    ReadError,
    UnsupportedError,
)
from resources.sources.registry import register_source
from resources.sources.selection import FileOptions, Selection

DEPTH = 5
RATIO_MATTERS_FROM = 1 << 20
BLOCK = 1 << 20
OPEN_AT_A_TIME = 16
SPOOLED = 8 << 20

_NAMES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_COMPRESSED: tuple[tuple[bytes, Callable[[Any], Any]], ...] = (
    (b"\x1f\x8b", gzip.open),
    (b"BZh", bz2.open),
    (b"\xfd7zXZ\x00", lzma.open),
)
_BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError)


class ArchiveOptions(FileOptions):
    """`path`: the archive.

    Beyond `max_entries` members, `max_total_mb` unpacked, or `max_ratio` times its packed size, an archive is refused;
    nested ones count towards the outermost.
    """

    path: Path
    max_entries: int = Field(default=100_000, ge=1)
    max_total_mb: int = Field(default=16_384, ge=1)
    max_ratio: int = Field(default=200, ge=2)


@dataclass(frozen=True, slots=True)
class _Member:
    """A file in an archive; `refused` says why it is not to be read."""

    name: str
    size: int
    packed: int
    version: str
    checksum: str
    modified: str | None
    refused: ReadError | None
    inner: Any


class _Archive(Protocol):
    def members(self) -> Iterator[_Member]: ...

    def read(self, member: _Member) -> IO[bytes]: ...


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
        self._opened: OrderedDict[tuple[str, ...], tuple[_Archive, dict[str, _Member]]] = OrderedDict()

    def discover(self) -> Iterator[SourceItem]:
        """Yield every wanted member, ordered by key, those that will be refused included.

        SourceError when the archive cannot be read, or as a whole exceeds its bounds.
        """
        bounds = _Bounds(self._options)
        items = {item.key: item for item in self._list((), 1, bounds)}
        yield from (items[key] for key in sorted(items))

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
        with _broken_is_corrupt(item.key), archive.read(member) as stream:
            yield OpenDocument(cast(IO[bytes], _Measured(stream, member.size, item.key)), member.version)

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
            elif not self._selection.wants(key) and not isinstance(refused, _LeadsOutError):
                continue
            checksum = None if refused else member.checksum
            principals = self._options.principals
            yield SourceItem(key, member.version, member.size, member.modified, checksum, principals=principals)

    def _refusal(self, member: _Member, depth: int) -> ReadError | None:
        if member.refused is not None:
            return member.refused
        if member.size > RATIO_MATTERS_FROM and member.size > self._options.max_ratio * max(member.packed, 1):
            ratio = member.size // max(member.packed, 1)
            return HostileError(f"{member.name}: unpacks to {ratio:,} times its size; max_ratio is set lower")
        if depth >= DEPTH and member.name.lower().endswith(_NAMES):
            return HostileError(f"{member.name}: archives are nested more than {DEPTH} deep")
        return None

    def _archive(self, chain: tuple[str, ...]) -> tuple[_Archive, dict[str, _Member]]:
        """Return an opened archive and its members by name, kept until the file changes or others push it out."""
        with self._lock:
            path = self._options.path
            try:
                status = path.stat()
            except OSError as error:
                raise SourceError(f"{path}: no such archive; an existing file is expected there") from error
            if self._stamp != (stamp := (status.st_size, status.st_mtime_ns)):
                self._opened.clear()
                self._stamp = stamp
            if chain not in self._opened:
                self._opened[chain] = self._open_archive(chain)
                while len(self._opened) > OPEN_AT_A_TIME:
                    self._opened.popitem(last=False)
            self._opened.move_to_end(chain)
            return self._opened[chain]

    def _open_archive(self, chain: tuple[str, ...]) -> tuple[_Archive, dict[str, _Member]]:
        what = "!/".join((self._options.path.name, *chain))
        with _broken_is_corrupt(what):
            if not chain:
                file: IO[bytes] = self._options.path.open("rb")
            else:
                outer, members = self._archive(chain[:-1])
                member = members.get(chain[-1])
                if member is None:
                    raise GoneError(f"{what}: no longer there")
                with outer.read(member) as stream:
                    file = _spooled(stream, self._options.max_total_mb << 20, what)
            archive = self._recognise(file, what)
            return archive, {member.name: member for member in archive.members()}

    def _recognise(self, file: IO[bytes], what: str) -> _Archive:
        head = file.read(8)
        size = file.seek(0, 2)
        file.seek(0)
        if head.startswith(b"PK"):
            return _Zip(file)
        for magic, unpack in _COMPRESSED:
            if head.startswith(magic):
                limit = min(self._options.max_total_mb << 20, max(RATIO_MATTERS_FROM, size * self._options.max_ratio))
                with unpack(file) as stream:
                    return _Tar(_spooled(stream, limit, what))
        return _Tar(file)


class _LeadsOutError(HostileError):
    """A name that leads out of its archive: listed whatever was asked for, for somebody made it."""


class _Bounds:
    """What the members of an archive and of those in it add up to."""

    def __init__(self, options: ArchiveOptions) -> None:
        self._options = options
        self._entries = self._bytes = 0

    def count(self, member: _Member) -> None:
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


class _Zip:
    """The checksums in a ZIP's directory make its listing cheap: nothing is unpacked."""

    def __init__(self, file: IO[bytes]) -> None:
        self._zip = zipfile.ZipFile(file)

    def members(self) -> Iterator[_Member]:
        for info in self._zip.infolist():
            if not info.is_dir():
                written = "-".join(map(str, info.date_time))
                version = f"{info.CRC:08x}-{info.file_size}"
                yield _Member(
                    _printable(info.filename),
                    info.file_size,
                    info.compress_size,
                    version,
                    f"zip:{version}:{written}",
                    _time(info.date_time),
                    _refused_name(info.orig_filename) or _refused_zip(info),
                    info,
                )

    def read(self, member: _Member) -> IO[bytes]:
        try:
            return self._zip.open(member.inner)
        except NotImplementedError as error:
            raise UnsupportedError(f"{member.name}: {error}") from error


class _Tar:
    """A tar names no checksums, so its members are read, though not kept, to list them."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._tar = tarfile.TarFile(fileobj=file)

    def members(self) -> Iterator[_Member]:
        for info in self._tar:
            if not info.isdir():
                refused = _refused_name(info.name) or _refused_tar(info)
                version = "refused" if refused else self._digest(info)
                modified = datetime.fromtimestamp(max(0, int(info.mtime)), UTC).isoformat()
                yield _Member(
                    _printable(info.name), info.size, info.size, version, f"tar:{version}", modified, refused, info
                )

    def read(self, member: _Member) -> IO[bytes]:
        return cast(IO[bytes], _Slice(self._file, self._lock, member.inner.offset_data, member.size))

    def _digest(self, info: tarfile.TarInfo) -> str:
        state = hashlib.blake2b(digest_size=16)
        stream = _Slice(self._file, self._lock, info.offset_data, info.size)
        while block := stream.read(BLOCK):
            state.update(block)
        return state.hexdigest()


class _Slice:
    """A part of a file that several threads read."""

    def __init__(self, file: IO[bytes], lock: threading.Lock, start: int, size: int) -> None:
        self._file, self._lock, self._at, self._end = file, lock, start, start + size

    def __enter__(self) -> "_Slice":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def read(self, size: int = -1) -> bytes:
        wanted = self._end - self._at if size < 0 else min(size, self._end - self._at)
        with self._lock:
            before = self._file.tell()
            self._file.seek(self._at)
            block = self._file.read(wanted)
            self._file.seek(before)
        if len(block) < wanted:
            raise EOFError("the archive ends in the middle of a member")
        self._at += len(block)
        return block


class _Measured:
    """A stream that may not be longer than its archive's directory says."""

    def __init__(self, stream: IO[bytes], size: int, what: str) -> None:
        self._stream, self._left, self._what = stream, size, what

    def read(self, size: int = -1) -> bytes:
        block = self._stream.read(size)
        self._left -= len(block)
        if self._left < 0:
            raise HostileError(f"{self._what}: unpacks to more than its archive says")
        return block


@contextmanager
def _broken_is_corrupt(what: str) -> Iterator[None]:
    try:
        yield
    except ReadError:
        raise
    except RuntimeError as error:  # zipfile's word for a password that is missing
        raise UnsupportedError(f"{what}: {error}") from error
    except (FileNotFoundError, PermissionError) as error:
        raise SourceError(f"{what}: cannot be read: {error.strerror}") from error
    except _BROKEN as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise CorruptionError(f"{what}: damaged archive: {error}") from error


def _spooled(stream: IO[bytes], limit: int, what: str) -> IO[bytes]:
    """Copy a stream to a nameless file, which is in memory while it is small; refuse to go beyond `limit` bytes."""
    file = tempfile.SpooledTemporaryFile(SPOOLED)  # noqa: SIM115 - read as long as the archive in it
    while block := stream.read(BLOCK):
        if file.tell() + len(block) > limit:
            raise HostileError(f"{what}: unpacks to more than {limit >> 20} MB")
        file.write(block)
    file.seek(0)
    return cast(IO[bytes], file)


def _refused_name(name: str) -> ReadError | None:
    parts = re.split(r"[/\\]", name)
    if ".." in parts or name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name) or "\0" in name:
        return _LeadsOutError(f"{_printable(name)}: the name leads out of the archive")
    if "!/" in name:
        return HostileError(f"{_printable(name)}: the name poses as a member of another archive")
    return None


def _refused_zip(info: zipfile.ZipInfo) -> ReadError | None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        return HostileError(f"{_printable(info.filename)}: a link or a special file")
    if info.flag_bits & 1:
        return UnsupportedError(f"{_printable(info.filename)}: encrypted")
    return None


def _refused_tar(info: tarfile.TarInfo) -> ReadError | None:
    if not info.isreg():
        return HostileError(f"{_printable(info.name)}: a link or a special file")
    if info.issparse():
        return UnsupportedError(f"{_printable(info.name)}: a sparse file")
    return None


def _printable(name: str) -> str:
    escaped = (one if one.isprintable() else f"\\x{ord(one):02x}" for one in name)
    return "".join(escaped).replace("!/", "!\\x2f")


def _time(parts: tuple[int, ...]) -> str | None:
    try:
        return datetime(*parts).isoformat()  # type: ignore[arg-type]
    except ValueError:
        return None
