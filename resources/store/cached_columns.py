"""Columns of remote tables, kept here by fragment: what looks and queries read again and again, read once.

Lance's files are never changed and never named alike, so a fragment's columns are known by the names of its files. A
new version costs reading its new fragments. Columns of bulk (documents' text, vectors) are not kept. Not here: which
version is read, and whether its files are still there (`object_store`).
"""

import os
import threading
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from resources.identity import digest
from resources.store.cache import Cache

if TYPE_CHECKING:
    import lance

FOLDER = "columns"
READERS = 8
ROW_ID = "_rowid"


class CachedColumns:
    """Arrow files in a folder of the cache, one for each fragment and choice of columns, mapped into memory."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._folder = cache.folder / FOLDER

    @staticmethod
    def keeps(schema: pa.Schema, columns: Sequence[str]) -> bool:
        """Whether these columns are small enough to be kept."""
        kinds = [schema.field(one).type for one in columns]
        return not any(pa.types.is_large_string(one) or pa.types.is_binary(one) or _is_vector(one) for one in kinds)

    def read(self, dataset: "lance.LanceDataset", columns: Sequence[str]) -> pa.Table:
        """Return these columns and the row id of every row, in the dataset's order; reads what is not here yet."""
        wanted = {self._file(one, columns): one for one in dataset.get_fragments()}
        missing = [file for file in wanted if not file.is_file()]
        if missing:
            self._folder.mkdir(parents=True, exist_ok=True)
            with ThreadPoolExecutor(READERS) as pool:
                list(pool.map(lambda file: _keep(file, wanted[file], columns), missing))
            self._evict(wanted)
        tables = [_mapped(file) for file in wanted]
        if not tables:
            return dataset.schema.empty_table().select(list(columns)).append_column(ROW_ID, pa.array([], pa.uint64()))
        return pa.concat_tables(tables)

    def _file(self, fragment: "lance.LanceFragment", columns: Sequence[str]) -> Path:
        metadata = fragment.metadata
        deleted = metadata.deletion_file
        names = [one.path for one in metadata.files]
        names.append(deleted.path(metadata.id) if deleted is not None else "")
        return self._folder / f"{digest('columns', *names, *columns)}.arrow"

    def _evict(self, wanted: Collection[Path]) -> None:
        if self._cache.is_full():
            others = {one: one.stat().st_mtime for one in self._folder.glob("*.arrow") if one not in wanted}
            for one in sorted(others, key=lambda one: others[one]):
                if self._cache.is_full():
                    one.unlink(missing_ok=True)


def _keep(file: Path, fragment: "lance.LanceFragment", columns: Sequence[str]) -> None:
    rows = fragment.to_table(columns=list(columns), with_row_id=True)
    draft = file.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
    with pa.OSFile(str(draft), "wb") as out, pa.ipc.new_file(out, rows.schema) as writer:
        writer.write_table(rows)
    draft.replace(file)


def _mapped(file: Path) -> pa.Table:
    with suppress(OSError):
        os.utime(file)
    return pa.ipc.open_file(pa.memory_map(str(file))).read_all()


def _is_vector(kind: pa.DataType) -> bool:
    return bool(pa.types.is_fixed_size_list(kind))
