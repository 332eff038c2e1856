"""The formats of archives: what a ZIP or a tar says of its members, which of them are refused, and reading one.

Nothing is ever extracted to a path that an archive names. What a member holds is judged before it is unpacked as far as
the archive's directory says, and while it is unpacked in any case. Not here: archives as a source (`archive`).
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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, Any, Protocol, cast

from resources.errors import SourceError
from resources.sources.failures import CorruptionError, HostileError, ReadError, UnsupportedError

RATIO_MATTERS_FROM = 1 << 20
BLOCK = 1 << 20
SPOOLED = 8 << 20
_COMPRESSED: tuple[tuple[bytes, Callable[[Any], Any]], ...] = (
    (b"\x1f\x8b", gzip.open),
    (b"BZh", bz2.open),
    (b"\xfd7zXZ\x00", lzma.open),
)
_BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError)


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive; `refused` says why it is not to be read."""

    name: str
    size: int
    packed: int
    version: str
    checksum: str
    modified: str | None
    refused: ReadError | None
    inner: Any


class Archive(Protocol):
    """An opened archive."""

    def members(self) -> Iterator[Member]: ...

    def read(self, member: Member) -> IO[bytes]: ...


class LeadsOutError(HostileError):
    """A name that leads out of its archive: listed whatever was asked for, for somebody made it."""


def open_archive(file: IO[bytes], what: str, *, max_bytes: int, max_ratio: int) -> Archive:
    """Open what a file holds, known by its first bytes: a ZIP, or a tar, compressed or not.

    A compressed tar is unpacked first, to at most `max_bytes` and `max_ratio` times its size.
    """
    head = file.read(8)
    size = file.seek(0, 2)
    file.seek(0)
    if head.startswith(b"PK"):
        return ZipArchive(file)
    for magic, unpack in _COMPRESSED:
        if head.startswith(magic):
            limit = min(max_bytes, max(RATIO_MATTERS_FROM, size * max_ratio))
            with unpack(file) as stream:
                return TarArchive(spooled(stream, limit, what))
    return TarArchive(file)


class ZipArchive:
    """The checksums in a ZIP's directory make its listing cheap: nothing is unpacked."""

    def __init__(self, file: IO[bytes]) -> None:
        self._zip = zipfile.ZipFile(file)

    def members(self) -> Iterator[Member]:
        for info in self._zip.infolist():
            if not info.is_dir():
                written = "-".join(map(str, info.date_time))
                version = f"{info.CRC:08x}-{info.file_size}"
                yield Member(
                    _printable(info.filename),
                    info.file_size,
                    info.compress_size,
                    version,
                    f"zip:{version}:{written}",
                    _time(info.date_time),
                    _refused_name(info.orig_filename) or _refused_zip(info),
                    info,
                )

    def read(self, member: Member) -> IO[bytes]:
        try:
            return self._zip.open(member.inner)
        except NotImplementedError as error:
            raise UnsupportedError(f"{member.name}: {error}") from error


class TarArchive:
    """A tar names no checksums, so its members are read, though not kept, to list them."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._tar = tarfile.TarFile(fileobj=file)

    def members(self) -> Iterator[Member]:
        for info in self._tar:
            if not info.isdir():
                refused = _refused_name(info.name) or _refused_tar(info)
                version = "refused" if refused else self._digest(info)
                modified = datetime.fromtimestamp(max(0, int(info.mtime)), UTC).isoformat()
                yield Member(
                    _printable(info.name), info.size, info.size, version, f"tar:{version}", modified, refused, info
                )

    def read(self, member: Member) -> IO[bytes]:
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


class Measured:
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
def broken_is_corrupt(what: str) -> Iterator[None]:
    """Turn what the formats' libraries raise into the errors of sources; `what` names the archive or the member."""
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


def spooled(stream: IO[bytes], limit: int, what: str) -> IO[bytes]:
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
        return LeadsOutError(f"{_printable(name)}: the name leads out of the archive")
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
