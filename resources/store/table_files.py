"""The files of one Lance table, as far as Lance does not see to them itself: which there are, and how long they are.

A folder of this machine is asked file by file, which costs a `stat` each; elsewhere one listing answers for the whole
table (`object_store`). Not here: what the files mean (`damage`).
"""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from resources.errors import StoreError

if TYPE_CHECKING:
    import lance

VERSIONS = "_versions"


class TableFiles(Protocol):
    """Files by path in the table. Every method raises StoreError when the place cannot be read or written."""

    uri: str
    options: dict[str, str] | None
    """What Lance needs besides the URI to reach the table."""

    def exists(self) -> bool:
        """Whether the table has any version; cheap."""
        ...

    def make_room(self) -> None:
        """Make what has to be there before the table is created."""
        ...

    def open(self, version: int | None = None) -> "lance.LanceDataset":
        """Open a version, None: the newest. Raises what Lance raises."""
        ...

    def names(self, folder: str) -> list[str]:
        """Return the files in a folder, in no order; none when there is no such folder."""
        ...

    def size(self, file: str) -> int | None:
        """Return the bytes of a file, None when it is missing."""
        ...

    def read(self, file: str) -> bytes:
        """Return the content of a small file; FileNotFoundError when it is missing."""
        ...

    def probe(self, file: str) -> None:
        """Read a file through, if it is there, so that a refusal is told from content that cannot be understood."""
        ...

    def delete(self, file: str) -> None:
        """Delete a file, if it is there."""
        ...

    def delete_all(self) -> None:
        """Delete the table, its versions first."""
        ...


class LocalTableFiles:
    """A table in a folder of this machine."""

    options: dict[str, str] | None = None

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.uri = str(folder)

    def open(self, version: int | None = None) -> "lance.LanceDataset":
        import lance

        return lance.dataset(self.folder, version=version)

    def exists(self) -> bool:
        return (self.folder / VERSIONS).is_dir()

    def make_room(self) -> None:
        self.folder.parent.mkdir(parents=True, exist_ok=True)

    def names(self, folder: str) -> list[str]:
        there = self.folder / folder
        return [one.name for one in there.iterdir()] if there.is_dir() else []

    def size(self, file: str) -> int | None:
        try:
            return (self.folder / file).stat().st_size
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"{self.folder / file} cannot be read: {error.strerror}") from error

    def read(self, file: str) -> bytes:
        return (self.folder / file).read_bytes()

    def probe(self, file: str) -> None:
        try:
            with (self.folder / file).open("rb") as content:
                while content.read(1 << 20):
                    pass
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreError(f"{self.folder / file} cannot be read: {error.strerror}") from error

    def delete(self, file: str) -> None:
        (self.folder / file).unlink(missing_ok=True)

    def delete_all(self) -> None:
        if self.folder.is_dir():
            shutil.rmtree(self.folder)
