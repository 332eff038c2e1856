"""A corpus of Lance datasets, one per table, wherever they lie: what a folder (`lance_store`) and a bucket
(`object_store`) have in common.

A missing dataset is a fact (no rows, so everything is to be rebuilt); a dataset that is there and cannot be read is a
StoreError, never an empty table; a TableDamagedError when its
files are the reason (`damage`). Lance keeps every version, so live reads the version its manifest names while the
candidate moves on.
"""

import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from resources.errors import StoreError, TableDamagedError
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
from resources.store.files import Files
from resources.store.folders import Folders
from resources.store.lease import Lease
from resources.store.migrations import MARKER, downgrade, read_marker, upgrade, write_marker
from resources.store.rows_by_key import RowsByKey
from resources.store.snapshots import Snapshots
from resources.store.table_files import TableFiles
from resources.store.tables import Table

if TYPE_CHECKING:
    import lance

BATCH_ROWS = 2048
TAGS = "_refs/tags"


class LanceTables(ABC):
    """A corpus in a place of its own; see `CorpusStore` for what each method promises."""

    indexes: Folders
    reports: Folders
    place: str
    """Where the corpus lies, for a person."""

    def __init__(self, files: Files, corpus: str) -> None:
        self.corpus = corpus
        self.files = files
        self.lease = Lease(files, corpus)
        self.snapshots = Snapshots(files, corpus)
        self._by_key: dict[tuple[str, int], RowsByKey] = {}
        self._lock = threading.Lock()
        self._is_ours = False

    @abstractmethod
    def _table(self, name: str) -> TableFiles:
        """Return the files of a table as they are now."""

    @abstractmethod
    def _is_new(self) -> bool:
        """Whether the place holds nothing at all."""

    def _require_ours(self) -> None:
        """Raise StoreError for a place that is not ours, or of a newer software; looks once."""
        if not self._is_ours:
            self._check_marker()
            self._is_ours = True

    def _suspects(self) -> Collection[str]:
        return read_suspects(self.files)

    def _read(self, dataset: "lance.LanceDataset", columns: Sequence[str], *, row_ids: bool = False) -> pa.Table:
        """Return these columns of every row, in the dataset's order."""
        return dataset.to_table(columns=list(columns), with_row_id=row_ids)

    def _take(self, known: RowsByKey, places: "np.ndarray[Any, Any]", columns: Sequence[str]) -> pa.Table:
        """Return these columns of the rows at these places of the dataset's order."""
        return known.dataset._take_rows(known.row_ids[places].tolist(), columns=list(columns))

    def create(self) -> None:
        try:
            self.files.read(MARKER)
        except FileNotFoundError:
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
        """Raise StoreError for a place that is not ours, or of a software that is too new."""
        try:
            read_marker(self.files, self.corpus)
        except FileNotFoundError:
            if not self._is_new():
                raise StoreError(
                    f"corpus {self.corpus}: {self.place} holds files but no {MARKER}, so it is not ours; "
                    "choose another RAG_HOME, store or corpus name"
                ) from None

    def damage(self, table: Table, *, version: int | None = None) -> list[Damage]:
        there = self._table(table.name)
        if version == 0 or not there.exists():
            return []
        self._require_marker()
        broken: list[int] = []
        if version is None:
            dataset, broken = newest_readable(there)
        else:
            try:
                dataset = self._open(table, version)
            except TableDamagedError:
                dataset, broken = None, [version]
        newest = dataset.version if dataset is not None else 0
        if version is None and (named := _named(there)) > max([newest, *broken]):
            broken.append(named)
        found = [
            Damage(table.name, f"_versions/{one}", "(the manifest of a version) is missing or broken", 0, None)
            for one in broken
        ]
        if dataset is not None:
            suspects = self._suspects()
            found += damaged_fragments(dataset, there, table.name, suspects=suspects)
        return found

    def sound_rows(self, table: Table, columns: Sequence[str]) -> pa.Table:
        wanted = pa.schema([table.schema.field(name) for name in columns])
        dataset, _ = newest_readable(self._table(table.name))
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
        there = self._table(table.name)
        named = _named(there)
        if found:
            with _writing(self.corpus, table):
                dataset, broken = newest_readable(there)
                for number in broken:
                    there.delete(manifest_path(number))
                if dataset is None:
                    there.delete_all()
                    dataset = self._open_or_create(table)
                if fragments := {one.fragment for one in found if one.fragment is not None}:
                    drop(dataset, fragments)
                pass_over(there, max([named, *broken]))
        return found

    def version(self, table: Table) -> int:
        dataset = self._open(table, None)
        return dataset.version if dataset is not None else 0

    def rows(self, table: Table, columns: Sequence[str], *, version: int | None = None) -> pa.Table:
        dataset = self._open(table, version)
        wanted = pa.schema([table.schema.field(name) for name in columns])
        if dataset is None:
            return wanted.empty_table()
        with self._reading(table, dataset):
            return _with_nulls(self._read(dataset, _present(dataset, columns)), wanted)

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
            known = self._rows_by_key(table, dataset)
            row_ids = known.row_ids[known.find(keys)]
            for start in range(0, len(row_ids), BATCH_ROWS):
                chosen = row_ids[start : start + BATCH_ROWS].tolist()
                yield from _with_nulls(dataset._take_rows(chosen, columns=present), wanted).to_batches()

    def take(self, table: Table, columns: Sequence[str], keys: Sequence[str], *, version: int) -> pa.Table:
        known = self._by_key.get((table.name, version))
        dataset = known.dataset if known is not None else self._open(table, version)
        if dataset is None or not keys:
            return pa.schema([table.schema.field(name) for name in columns]).empty_table()
        with self._reading(table, dataset):
            known = known or self._rows_by_key(table, dataset)
            return self._take(known, known.find(keys), columns)

    def _rows_by_key(self, table: Table, dataset: "lance.LanceDataset") -> RowsByKey:
        """Return one version's rows by key; kept for the newest two versions asked for (live and candidate)."""
        at = (table.name, dataset.version)
        with self._lock:
            if at not in self._by_key:
                same = [one for one in self._by_key if one[0] == table.name]
                for old in same[:-1]:
                    del self._by_key[old]
                rows = self._read(dataset, [table.key], row_ids=True)
                self._by_key[at] = RowsByKey(dataset, rows[table.key], rows["_rowid"].to_numpy())
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
                pass_over(self._table(table.name), dataset.version)  # a version quotes the deletion that made it

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

    def drop(self, table: str) -> None:
        self._table(table).delete_all()

    def _open(self, table: Table, version: int | None) -> "lance.LanceDataset | None":
        self._require_ours()
        files = self._table(table.name)
        if version == 0 or (version is None and not files.exists()):
            return None
        try:
            return files.open(version)
        except (ValueError, OSError) as error:
            self._require_marker()
            kind = TableDamagedError if is_decoding(error) else StoreError
            raise kind(
                f"corpus {self.corpus}: table {table.name} cannot be "
                f"opened{f' at version {version}' if version else ''}: {_first_line(error)}"
            ) from error

    def _require_marker(self) -> None:
        """Raise StoreError when the whole corpus is out of reach, which is no damage of a table."""
        try:
            self.files.read(MARKER)
        except FileNotFoundError:
            raise StoreError(f"corpus {self.corpus}: {self.files.where(MARKER)} cannot be read") from None

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
                found = damaged_fragments(dataset, self._table(table.name), table.name, suspects=None)
                suspect(self.files, found)
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
        files = self._table(table.name)
        files.make_room()
        # Without retries only the first of several processes creates it; `write_dataset` would start it over.
        with suppress(OSError):
            return lance.LanceDataset.commit(
                files.uri,
                lance.LanceOperation.Overwrite(table.schema, []),
                max_retries=0,
                storage_options=files.options,
            )
        return lance.dataset(files.uri, storage_options=files.options)


def _named(there: TableFiles) -> int:
    """Return the newest version that a snapshot's label names, 0 without any."""
    numbers = []
    for tag in there.names(TAGS):
        with suppress(OSError, ValueError, KeyError, TypeError):
            numbers.append(int(json.loads(there.read(f"{TAGS}/{tag}"))["version"]))
    return max(numbers, default=0)


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
