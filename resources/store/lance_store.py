"""The embedded store: a folder per corpus, one Lance dataset per table.

A missing dataset is a fact (no rows, so everything is to be rebuilt); a dataset that is there and cannot be read is a
StoreError, never an empty table; a TableDamagedError when its
files are the reason (`damage`). Lance keeps every version, so live reads the version its manifest names while the
candidate moves on.
"""

import json
import os
import shutil
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from resources.alignment import Ids
from resources.errors import StoreError, TableDamagedError
from resources.identity import set_digest
from resources.store import compaction
from resources.store.damage import (
    Damage,
    damaged_fragments,
    drop,
    is_decoding,
    manifest_path,
    newest_readable,
    pass_over,
    read_suspects,
    suspect,
)
from resources.store.files import LOCK, Files, LocalFiles
from resources.store.folders import Folders, LocalFolders
from resources.store.lease import FOLDER as LEASE
from resources.store.lease import Lease
from resources.store.migrations import MARKER, downgrade, read_marker, upgrade, write_marker
from resources.store.snapshots import Snapshots
from resources.store.tables import Table

if TYPE_CHECKING:
    import lance

BATCH_ROWS = 2048


class LanceStore:
    """A corpus in a folder of its own; see `CorpusStore` for what each method promises."""

    def __init__(self, folder: Path, corpus: str) -> None:
        self.folder = folder
        self.corpus = corpus
        self.files: Files = LocalFiles(folder)
        self.lease = Lease(self.files, corpus)
        self.snapshots = Snapshots(self.files, corpus)
        self.indexes: Folders = LocalFolders(folder / "indexes")
        self.reports: Folders = LocalFolders(folder / "reports")
        self._by_key: dict[tuple[str, int], _RowsByKey] = {}
        self._lock = threading.Lock()
        if folder.exists():
            self._check_marker()

    @property
    def audits(self) -> Path:
        return self.folder / "audits"

    def create(self) -> None:
        if not (self.folder / MARKER).exists():
            write_marker(self.files, self.corpus)

    def upgrade(self) -> None:
        upgrade(self)

    def downgrade(self, to: int) -> None:
        downgrade(self, to)

    def schema_version(self) -> int | None:
        try:
            return read_marker(self.files, self.corpus).schema_version
        except FileNotFoundError:
            return None

    def add_columns(self, table: Table, names: tuple[str, ...]) -> None:
        dataset = self._open(table, None)
        if dataset is not None:
            present = set(dataset.schema.names)
            if lacking := [table.schema.field(name) for name in names if name not in present]:
                with _writing(self.corpus, table):
                    dataset.add_columns(pa.schema(lacking))

    def drop_columns(self, table: Table, names: tuple[str, ...]) -> None:
        dataset = self._open(table, None)
        if dataset is not None and (present := _present(dataset, names)):
            with _writing(self.corpus, table):
                dataset.drop_columns(present)

    def _check_marker(self) -> None:
        """Raise StoreError for a folder that is not ours, or of a software that is too new."""
        try:
            read_marker(self.files, self.corpus)
        except FileNotFoundError:
            if any(self.folder.iterdir()):
                raise StoreError(
                    f"corpus {self.corpus}: {self.folder} holds files but no {MARKER}, so it is not ours; "
                    "choose another RAG_HOME or corpus name"
                ) from None

    def damage(self, table: Table, *, version: int | None = None) -> list[Damage]:
        path = self._path(table)
        if version == 0 or not (path / "_versions").is_dir():
            return []
        self._require_marker()
        broken: list[int] = []
        if version is None:
            dataset, broken = newest_readable(path)
        else:
            try:
                dataset = self._open(table, version)
            except TableDamagedError:
                dataset, broken = None, [version]
        newest = dataset.version if dataset is not None else 0
        if version is None and (named := self._named(table)) > max([newest, *broken]):
            broken.append(named)
        found = [
            Damage(table.name, f"_versions/{one}", "(the manifest of a version) is missing or broken", 0, None)
            for one in broken
        ]
        if dataset is not None:
            suspects = read_suspects(self.folder)
            found += damaged_fragments(dataset, path, table.name, suspects=suspects)
        return found

    def sound_rows(self, table: Table, columns: Sequence[str]) -> pa.Table:
        wanted = pa.schema([table.schema.field(name) for name in columns])
        dataset, _ = newest_readable(self._path(table))
        if dataset is None:
            return wanted.empty_table()
        lost = {one.fragment for one in self.damage(table)}
        fragments = [one for one in dataset.get_fragments() if one.fragment_id not in lost]
        if not fragments:
            return wanted.empty_table()
        with self._reading(table, dataset):
            return _with_nulls(
                dataset.scanner(columns=_present(dataset, columns), fragments=fragments).to_table(), wanted
            )

    def drop_damaged(self, table: Table) -> list[Damage]:
        found = self.damage(table)
        path, named = self._path(table), self._named(table)
        if found:
            with _writing(self.corpus, table):
                dataset, broken = newest_readable(path)
                for number in broken:
                    manifest_path(path, number).unlink(missing_ok=True)
                if dataset is None:
                    shutil.rmtree(path)
                    dataset = self._open_or_create(table)
                if fragments := {one.fragment for one in found if one.fragment is not None}:
                    drop(dataset, fragments)
                pass_over(path, max([named, *broken]))
        return found

    def _named(self, table: Table) -> int:
        """Return the newest version that a snapshot's label names, 0 without any."""
        tags = self._path(table) / "_refs" / "tags"
        numbers = []
        for tag in tags.glob("*.json") if tags.is_dir() else ():
            with suppress(OSError, ValueError, KeyError, TypeError):
                numbers.append(int(json.loads(tag.read_bytes())["version"]))
        return max(numbers, default=0)

    def version(self, table: Table) -> int:
        dataset = self._open(table, None)
        return dataset.version if dataset is not None else 0

    def rows(self, table: Table, columns: Sequence[str], *, version: int | None = None) -> pa.Table:
        dataset = self._open(table, version)
        wanted = pa.schema([table.schema.field(name) for name in columns])
        if dataset is None:
            return wanted.empty_table()
        with self._reading(table, dataset):
            return _with_nulls(dataset.to_table(columns=_present(dataset, columns)), wanted)

    def batches(
        self, table: Table, columns: Sequence[str], *, version: int | None = None, keys: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        dataset = self._open(table, version)
        if dataset is None:
            return
        with self._reading(table, dataset):
            wanted, present = pa.schema([table.schema.field(name) for name in columns]), _present(dataset, columns)
            if keys is None:
                for batch in dataset.to_batches(columns=present, batch_size=BATCH_ROWS):
                    yield _with_nulls(batch, wanted)
                return
            row_ids = self._rows_by_key(table, dataset).find(keys)
            for start in range(0, len(row_ids), BATCH_ROWS):
                chosen = row_ids[start : start + BATCH_ROWS].tolist()
                yield from _with_nulls(dataset._take_rows(chosen, columns=present), wanted).to_batches()

    def take(self, table: Table, columns: Sequence[str], keys: Sequence[str], *, version: int) -> pa.Table:
        known = self._by_key.get((table.name, version))
        dataset = known.dataset if known is not None else self._open(table, version)
        if dataset is None or not keys:
            return pa.schema([table.schema.field(name) for name in columns]).empty_table()
        with self._reading(table, dataset):
            row_ids = (known or self._rows_by_key(table, dataset)).find(keys)
            return dataset._take_rows(row_ids.tolist(), columns=list(columns))

    def _rows_by_key(self, table: Table, dataset: "lance.LanceDataset") -> "_RowsByKey":
        """Return one version's rows by key; kept for the newest two versions asked for (live and candidate)."""
        at = (table.name, dataset.version)
        with self._lock:
            if at not in self._by_key:
                same = [one for one in self._by_key if one[0] == table.name]
                for old in same[:-1]:
                    del self._by_key[old]
                self._by_key[at] = _RowsByKey(dataset, table.key)
            return self._by_key[at]

    def upsert(self, table: Table, rows: pa.Table) -> None:
        if rows.num_rows:
            self._merge(table, rows, None)

    def replace(self, table: Table, rows: pa.Table, *, column: str, values: Sequence[str]) -> None:
        if values:
            self._merge(table, rows, _is_in(column, values))

    def _merge(self, table: Table, rows: pa.Table, delete_where: str | None) -> None:
        with _writing(self.corpus, table):
            merge = (
                self._open_or_create(table)
                .merge_insert(table.key)
                .when_matched_update_all()
                .when_not_matched_insert_all()
            )
            if delete_where is not None:
                merge = merge.when_not_matched_by_source_delete(delete_where)
            merge.execute(rows.cast(table.schema))

    def delete(self, table: Table, keys: Sequence[str]) -> None:
        dataset = self._open(table, None) if keys else None
        if dataset is not None:
            with _writing(self.corpus, table):
                dataset.delete(_is_in(table.key, keys))

    def retain(self, table: Table, version: int, label: str) -> None:
        dataset = self._open(table, None)
        if dataset is not None:
            with _writing(self.corpus, table):
                tag = dataset.tags.update if label in dataset.tags.list() else dataset.tags.create
                tag(label, version)

    def rewrite(self, table: Table) -> None:
        dataset = self._open(table, None)
        if dataset is not None:
            with _writing(self.corpus, table):
                dataset.optimize.compact_files(materialize_deletions=True, materialize_deletions_threshold=0.0)
                pass_over(self._path(table), dataset.version)  # a version quotes the deletion that made it

    def needs_compacting(self, table: Table) -> bool:
        dataset = self._open(table, None)
        return dataset is not None and compaction.is_due(dataset)

    def compact(self, table: Table) -> None:
        dataset = self._open(table, None)
        if dataset is not None:
            with _writing(self.corpus, table):
                compaction.compact(dataset)

    def versions(self, table: Table) -> list[int]:
        dataset = self._open(table, None)
        if dataset is None:
            return []
        with self._reading(table, dataset):
            return sorted(one["version"] for one in dataset.versions())

    def forget_versions(self, table: Table, *, keep: Collection[int] | None = None) -> None:
        dataset = self._open(table, None)
        if dataset is None:
            return
        with _writing(self.corpus, table):
            labels = {label: tag["version"] for label, tag in dataset.tags.list().items()}
            kept = set(keep or ())
            for version in kept - set(labels.values()):
                dataset.tags.create(f"kept-{version}", version)
            for label, version in labels.items():
                if version not in kept:
                    dataset.tags.delete(label)
            dataset.cleanup_old_versions(
                older_than=timedelta(0), delete_unverified=keep is None, error_if_tagged_old_versions=False
            )

    def tables(self) -> list[str]:
        folders = [one for one in self.folder.rglob("*.lance") if one.is_dir()]  # their data files are called so too
        return sorted(one.relative_to(self.folder).with_suffix("").as_posix() for one in folders)

    def drop(self, table: str) -> None:
        path = self.folder / f"{table}.lance"
        if path.is_dir():
            shutil.rmtree(path)

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

    def _path(self, table: Table) -> Path:
        return self.folder / f"{table.name}.lance"

    def _open(self, table: Table, version: int | None) -> "lance.LanceDataset | None":
        import lance

        path = self._path(table)
        if version == 0 or (version is None and not (path / "_versions").is_dir()):
            return None
        try:
            return lance.dataset(path, version=version)
        except (ValueError, OSError) as error:
            self._require_marker()
            kind = TableDamagedError if is_decoding(error) else StoreError
            raise kind(
                f"corpus {self.corpus}: table {table.name} cannot be "
                f"opened{f' at version {version}' if version else ''}: {_first_line(error)}"
            ) from error

    def _require_marker(self) -> None:
        """Raise StoreError when the whole corpus is out of reach, which is no damage of a table."""
        if not (self.folder / MARKER).is_file():
            raise StoreError(f"corpus {self.corpus}: {self.folder / MARKER} cannot be read")

    @contextmanager
    def _reading(self, table: Table, dataset: "lance.LanceDataset") -> Iterator[None]:
        """Turn what Lance raises into a StoreError; one that names the damaged files, and has them looked at from now
        on, when those are the reason.
        """
        try:
            yield
        except GeneratorExit:
            raise
        except BaseException as error:
            message = f"corpus {self.corpus}: table {table.name} cannot be read"
            if is_decoding(error):
                self._require_marker()
                found = damaged_fragments(dataset, self._path(table), table.name, suspects=None)
                suspect(self.folder, found)
                if found:
                    raise TableDamagedError(
                        f"{message}: {'; '.join(str(one) for one in found[:3])}. The next run drops these rows and "
                        "makes them again: rag-assets ensure search-ready --auto-fix"
                    ) from error
            if isinstance(error, (OSError, ValueError, RuntimeError)):
                raise StoreError(f"{message}: {_first_line(error)}") from error
            raise

    def _open_or_create(self, table: Table) -> "lance.LanceDataset":
        import lance

        dataset = self._open(table, None)
        if dataset is not None:
            return dataset
        path = self._path(table)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Without retries only the first of several processes creates it; `write_dataset` would start it over.
        with suppress(OSError):
            return lance.LanceDataset.commit(path, lance.LanceOperation.Overwrite(table.schema, []), max_retries=0)
        return lance.dataset(path)


def _present(dataset: "lance.LanceDataset", columns: Sequence[str]) -> list[str]:
    """Return those columns that this version of the table has; an older schema may lack some."""
    there = set(dataset.schema.names)
    return [name for name in columns if name in there]


def _with_nulls(rows: Any, wanted: pa.Schema) -> Any:
    """Return rows (a table or a batch) with the columns of `wanted`, null where an older schema lacks them."""
    if rows.schema.names == wanted.names:
        return rows
    columns = [
        rows.column(field.name) if field.name in rows.schema.names else pa.nulls(rows.num_rows, field.type)
        for field in wanted
    ]
    return type(rows).from_arrays(columns, schema=wanted)


class _RowsByKey:
    """Where the rows of one version of a table are: about 40 bytes a row, and a random read needs no scan."""

    def __init__(self, dataset: "lance.LanceDataset", key: str) -> None:
        rows = dataset.to_table(columns=[key], with_row_id=True)
        self.dataset = dataset
        self._row_ids = rows["_rowid"].to_numpy()
        self._digests = ids if (ids := Ids(rows[key])).are_digests else None
        if self._digests is None:
            keys = np.array([one.encode() for one in rows[key].to_pylist()], dtype=np.bytes_)
            order = np.argsort(keys, kind="stable")
            self._keys, self._row_ids = keys[order], self._row_ids[order]

    def find(self, keys: Sequence[str]) -> "np.ndarray[Any, np.dtype[np.uint64]]":
        """Return the row ids of those keys that exist, in the order of the rows."""
        if self._digests is not None:
            places = Ids(pa.chunked_array([pa.array(keys, pa.string())])).places_in(self._digests)
            at = places[places >= 0]
        else:
            wanted = np.array([key.encode() for key in keys], dtype=np.bytes_)
            near = np.minimum(np.searchsorted(self._keys, wanted), max(len(self._keys) - 1, 0))
            at = near[self._keys[near] == wanted] if len(self._keys) else near[:0]
        row_ids: np.ndarray[Any, np.dtype[np.uint64]] = np.unique(self._row_ids[at])
        return row_ids


class _Guard:
    """Turn what Lance raises into a StoreError that names the corpus and the table."""

    def __init__(self, corpus: str, table: Table, verb: str) -> None:
        self.message = f"corpus {corpus}: table {table.name} cannot be {verb}"

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, (OSError, ValueError, RuntimeError)):
            raise StoreError(f"{self.message}: {_first_line(error)}") from error


def _writing(corpus: str, table: Table) -> _Guard:
    return _Guard(corpus, table, "written")


def _first_line(error: BaseException) -> str:
    return str(error).split(", /")[0].splitlines()[0] if str(error) else type(error).__name__


def _is_in(column: str, values: Sequence[str]) -> str:
    quoted = ", ".join("'" + value.replace("'", "''") + "'" for value in values)
    return f"{column} IN ({quoted})"
