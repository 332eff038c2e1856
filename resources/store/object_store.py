"""A corpus in a bucket: Lance datasets, files and folders below one URL, with a cache on this machine.

What its tables do: `lance_tables`. Nothing is asked of the bucket before something is read or written.
"""

from collections.abc import Collection, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from resources.errors import StoreError
from resources.identity import set_digest
from resources.store.cache import Cache
from resources.store.cached_columns import ROW_ID, CachedColumns
from resources.store.cached_folders import CachedFolders
from resources.store.damage import versions
from resources.store.folders import Folders
from resources.store.lance_tables import LanceTables
from resources.store.lease import FOLDER as LEASE
from resources.store.object_table_files import OPENED, ObjectTableFiles, Opened
from resources.store.objects import Bucket
from resources.store.rows_by_key import RowsByKey
from resources.store.snapshots import Snapshots
from resources.store.table_files import TableFiles
from resources.store.tables import Table

if TYPE_CHECKING:
    import lance

SUFFIX = ".lance"


class ObjectStore(LanceTables):
    """A corpus below `url`; see `CorpusStore` for what each method promises. `local`: its folder on this machine."""

    def __init__(self, url: str, corpus: str, local: Path, *, cache_bytes: int) -> None:
        self.bucket = Bucket(f"{url.rstrip('/')}/{corpus}")
        super().__init__(self.bucket, corpus)
        self.place = self.bucket.url
        self.audits = local / "audits"
        self._cache = cache = Cache(local / "cache", cache_bytes)
        wanted = partial(_of_live, self.snapshots)
        self.indexes: Folders = CachedFolders(self.bucket, "indexes", cache, wanted)
        self.reports: Folders = CachedFolders(self.bucket, "reports", cache, wanted)
        self._columns = CachedColumns(cache)
        self._opened: Opened = {}
        self._mapped: dict[tuple[str, int, tuple[str, ...]], pa.Table] = {}

    def tables(self) -> list[str]:
        return sorted({path.split(f"{SUFFIX}/")[0] for path in self.bucket.look() if f"{SUFFIX}/" in path})

    def versions(self, table: Table) -> list[int]:
        return sorted(versions(self._table(table.name)))

    def mark(self, *, leave_out: Collection[str] = ()) -> str | None:
        try:
            found = self.bucket.look()
        except StoreError:
            return None
        lines = (
            f"{path}:{one.size}:{one.tag}"
            for path, one in found.items()
            if path not in leave_out and not path.startswith(f"{LEASE}/")
        )
        return set_digest(lines) if found else None

    def size(self) -> int:
        return sum(self.bucket.list().values())

    def _table(self, name: str) -> TableFiles:
        return ObjectTableFiles(self.bucket, f"{name}{SUFFIX}", self._opened, self._cache)

    def _is_new(self) -> bool:
        return not self.bucket.list()

    def _require_marker(self) -> None:
        """Nothing: the listing that found the table came from the bucket itself."""

    def _suspects(self) -> Collection[str]:
        """Return those that were known at the first look; later ones are found again, or by the next process."""
        return self._known_suspects

    @cached_property
    def _known_suspects(self) -> Collection[str]:
        return super()._suspects()

    def _read(self, dataset: "lance.LanceDataset", columns: Sequence[str], *, row_ids: bool = False) -> pa.Table:
        if not self._columns.keeps(dataset.schema, columns):
            return super()._read(dataset, columns, row_ids=row_ids)
        rows = self._columns.read(dataset, columns)
        return rows if row_ids else rows.drop_columns([ROW_ID])

    def _take(self, known: RowsByKey, places: "np.ndarray[Any, Any]", columns: Sequence[str]) -> pa.Table:
        dataset = known.dataset
        if not self._columns.keeps(dataset.schema, columns):
            return super()._take(known, places, columns)
        at = (dataset.uri, dataset.version, tuple(columns))
        if at not in self._mapped:
            with self._lock:
                while len(self._mapped) >= OPENED:
                    self._mapped.pop(next(iter(self._mapped)))
            self._mapped[at] = self._read(dataset, columns)
        return self._mapped[at].take(pa.array(places))


def _of_live(snapshots: Snapshots) -> list[str]:
    live = snapshots.live()
    return [one for one in (live.dense, live.bm25, live.report) if one] if live is not None else []
