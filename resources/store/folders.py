"""Folders that are read in place: index generations, which are mapped into memory, and reports, which people open.

A folder is made in `local`, never changed afterwards, and named for its content. Where a corpus lies elsewhere, `local`
is a copy of what is used here. Not here: what the files mean (`resources.index`, `resources.evaluation`).
"""

import shutil
from pathlib import Path
from typing import Protocol


class Folders(Protocol):
    """Immutable folders by name. Every method raises StoreError when the place cannot be read or written."""

    local: Path
    """Where folders are made and read; it need not exist yet."""

    def fetch(self, name: str) -> Path:
        """Return the folder as far as there is one: nothing at the path, when there is none."""
        ...

    def keep(self, name: str) -> None:
        """Keep the folder that was made under this name in `local`; another one of that name makes way."""
        ...

    def names(self) -> list[str]:
        """Return the folders that are kept; drafts are not."""
        ...

    def lacks(self, name: str) -> list[str]:
        """Return what of a folder is not kept although it is read here, a line each; reads none of its files."""
        ...

    def delete(self, name: str) -> None:
        """Delete a folder, if it is there."""
        ...


class LocalFolders:
    """Folders that lie where they are read."""

    def __init__(self, local: Path) -> None:
        self.local = local

    def fetch(self, name: str) -> Path:
        return self.local / name

    def keep(self, name: str) -> None:
        pass

    def names(self) -> list[str]:
        found = self.local.iterdir() if self.local.is_dir() else ()
        return sorted(one.name for one in found if one.is_dir() and not one.name.startswith("."))

    def lacks(self, name: str) -> list[str]:
        return []

    def delete(self, name: str) -> None:
        if (self.local / name).is_dir():
            shutil.rmtree(self.local / name)
