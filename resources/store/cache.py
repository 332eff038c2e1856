"""How much a remote corpus may keep on this machine: copies of index generations, reports, and columns of tables.

Every cache deletes what it used longest ago as long as all of them together take too much. Not here: what they hold.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cache:
    """The corpus's folder on this machine, and the bytes that what is kept there may take."""

    folder: Path
    max_bytes: int

    def is_full(self) -> bool:
        """Whether what is kept takes more than it may."""
        return self.bytes() > self.max_bytes

    def bytes(self) -> int:
        """Return what is kept; a file that several copies share counts once."""
        found: dict[int, int] = {}
        for path in self.folder.rglob("*"):
            try:
                stat = path.lstat()
            except FileNotFoundError:  # evicted by another process meanwhile
                continue
            if path.is_file():
                found[stat.st_ino] = stat.st_size
        return sum(found.values())
