"""Opens the ZIP files that office documents and e-books are, within bounds on entries, sizes and compression.

Nothing is ever written to a disk, so a member's path is only a name here. Not here: archives as a source of documents.
"""

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager

from resources.parsing.base import HostileError, ParseError

MAX_ENTRIES = 20_000
MAX_TOTAL_BYTES = 1 << 30
MAX_MEMBER_BYTES = 256 << 20
MAX_RATIO = 250
# A few kilobytes of repeated markup compress that well, too.
RATIO_FROM_BYTES = 16 << 20

_DAMAGED = (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, ValueError, OverflowError)


class Archive:
    """A ZIP file whose directory has been found to be within bounds."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.names = archive.namelist()

    def read(self, name: str) -> bytes:
        """Return a member's bytes; ParseError when it is missing, damaged or encrypted."""
        try:
            return self._archive.read(name)
        except KeyError as error:
            raise ParseError(f"damaged: the part {name} is missing") from error
        except RuntimeError as error:
            raise ParseError("encrypted: a password is needed", "unsupported") from error
        except zipfile.BadZipFile as error:
            if "overlap" in str(error).lower():
                raise HostileError("a ZIP bomb: its members overlap") from error
            raise ParseError(f"damaged: the part {name} cannot be unpacked: {error}") from error
        except Exception as error:  # zlib.error, lzma.LZMAError and others have no common base
            if isinstance(error, MemoryError):
                raise
            raise ParseError(f"damaged: the part {name} cannot be unpacked: {error}") from error

    def find(self, name: str) -> bytes | None:
        """Return a member's bytes, or None where there is no such member."""
        return self.read(name) if name in self.names else None


@contextmanager
def open_archive(data: bytes) -> Iterator[Archive]:
    """Open a ZIP file; ParseError when it is damaged, HostileError when unpacking it would exceed the bounds."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except _DAMAGED as error:
        raise ParseError(f"damaged: not a readable ZIP file: {error}") from error
    with archive:
        members = archive.infolist()
        total = sum(member.file_size for member in members)
        if len(members) > MAX_ENTRIES:
            raise HostileError(f"a ZIP bomb: {len(members):,} members, {MAX_ENTRIES:,} are allowed")
        if total > MAX_TOTAL_BYTES or any(member.file_size > MAX_MEMBER_BYTES for member in members):
            raise HostileError(f"a ZIP bomb: it unpacks to {total >> 20:,} MB")
        for member in members:
            if member.file_size > RATIO_FROM_BYTES and member.file_size > MAX_RATIO * max(member.compress_size, 1):
                raise HostileError(f"a ZIP bomb: {member.filename} unpacks to {member.file_size >> 20:,} MB")
        if total > max(RATIO_FROM_BYTES, MAX_RATIO * len(data)):
            raise HostileError(f"a ZIP bomb: it unpacks to {total >> 20:,} MB")
        yield Archive(archive)
