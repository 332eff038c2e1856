"""The embedded store: a folder per corpus, with everything in it. What its tables do: `lance_tables`."""

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from resources.identity import set_digest
from resources.store.files import LOCK, LocalFiles
from resources.store.folders import Folders, LocalFolders
from resources.store.lance_tables import LanceTables
from resources.store.lease import FOLDER as LEASE
from resources.store.table_files import LocalTableFiles


class LanceStore(LanceTables):
    """A corpus in a folder of its own; see `CorpusStore` for what each method promises."""

    def __init__(self, folder: Path, corpus: str) -> None:
        super().__init__(LocalFiles(folder), corpus)
        self.folder = folder
        self.place = str(folder)
        self.indexes: Folders = LocalFolders(folder / "indexes")
        self.reports: Folders = LocalFolders(folder / "reports")
        if folder.exists():
            self._require_ours()

    @property
    def audits(self) -> Path:
        return self.folder / "audits"

    def tables(self) -> list[str]:
        folders = [one for one in self.folder.rglob("*.lance") if one.is_dir()]  # their data files are called so too
        return sorted(one.relative_to(self.folder).with_suffix("").as_posix() for one in folders)

    def mark(self, *, leave_out: Collection[str] = ()) -> str | None:
        try:
            return set_digest(self._marks({LEASE, *leave_out}))
        except OSError:
            return None

    def _marks(self, leave_out: Collection[str]) -> Iterator[str]:
        """Yield a line for each file: name, inode, size, time of the last change of content and of the inode."""
        out, pending = {str(self.folder / one) for one in leave_out}, [str(self.folder)]
        while pending:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if entry.path in out or entry.name == LOCK:
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    else:
                        stat = entry.stat(follow_symlinks=False)
                        yield f"{entry.path}:{stat.st_ino}:{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ctime_ns}"

    def size(self) -> int:
        """Return the bytes the corpus takes on disk."""
        return sum(file.stat().st_size for file in self.folder.rglob("*") if file.is_file())

    def _table(self, name: str) -> LocalTableFiles:
        return LocalTableFiles(self.folder / f"{name}.lance")

    def _is_new(self) -> bool:
        return not self.folder.is_dir() or not any(self.folder.iterdir())
