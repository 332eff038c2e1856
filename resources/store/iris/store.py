"""The `CorpusStore` in IRIS: versions by commit numbers, one transaction a document, scans in pages by key.

Readers see committed rows only, but several statements are no snapshot there: a scan pins the version it began with,
and looks for rows that moved to the history under its hands. What the database guards itself is not ours: `damage` is
always empty, and `rewrite` has nothing to do. Not here: SQL (`sql`), retries (`connection`), files (`files`).
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import structlog

from resources.errors import StoreError
from resources.identity import digest
from resources.store.damage import Damage
from resources.store.files import Files
from resources.store.folders import Folders
from resources.store.iris import rows as arrow
from resources.store.iris import sql
from resources.store.iris.connection import (
    NOT_UNIQUE,
    ConnectionLostError,
    LockedError,
    Pool,
    Row,
    Session,
    StatementError,
    execute_unless_there,
    read_address,
)
from resources.store.iris.files import IrisFiles
from resources.store.iris.sql import FileTables, Layout, Registry
from resources.store.kept_folders import KeptFolders
from resources.store.lease import FOLDER as LEASE
from resources.store.lease import Lease
from resources.store.snapshots import Snapshots
from resources.store.tables import CHUNKS, DOCUMENTS, QUARANTINE, SCHEMA_VERSION, Table, token_embeddings

COMMIT_ROWS = 500
PAGE_ROWS = 2048
LARGE_ROWS = 128
KEPT = "kept-"

log = structlog.get_logger(__name__)
T = TypeVar("T")


class IrisStore:
    """A corpus in an SQL schema of its own; see `CorpusStore` for what each method promises.

    `local`: the folder here for copies of index generations and reports. `driver`: the DB-API module, the installed one
    when None.
    """

    def __init__(self, url: str, corpus: str, local: Path, driver: ModuleType | None = None) -> None:
        self.corpus = corpus
        self.pool = Pool(read_address(url), driver)
        self.schema = self.pool.address.schema
        self._files = IrisFiles(self.pool, self._is_there, self.create)
        self.files: Files = self._files
        self.lease = Lease(self.files, corpus)
        self.snapshots = Snapshots(self.files, corpus)
        self.indexes: Folders = KeptFolders(self.files, "indexes", local / "indexes")
        self.reports: Folders = KeptFolders(self.files, "reports", local / "reports")
        self.audits = local / "audits"
        self._registry = Registry(self.schema)
        self._marked = False

    def create(self) -> None:
        if self._is_there():
            return

        def work(session: Session) -> None:
            execute_unless_there(session, [*FileTables(self.schema).create(), *self._registry.create()])
            if not session.select(self._registry.marker()):
                try:
                    session.execute(self._registry.claim(), (self.corpus, SCHEMA_VERSION))
                except StatementError as error:
                    if error.code != NOT_UNIQUE:  # else somebody was faster, and `_is_there` says who
                        raise
            session.commit()

        self._run("the schema cannot be made", work)
        self._is_there()

    def upgrade(self) -> None:
        """Refuse what is not ours; there is no older schema yet."""
        self._is_there()

    def downgrade(self, to: int) -> None:
        if to != SCHEMA_VERSION:
            raise StoreError(
                f"corpus {self.corpus}: no software of schema version {to} knows IRIS; there is no way back"
            )

    def schema_version(self) -> int | None:
        return SCHEMA_VERSION if self._is_there() else None

    def _is_there(self) -> bool:
        """Whether the schema is ours; StoreError when it is somebody else's, or of a newer software."""
        if not self._marked:
            names = self._run("the schema cannot be looked at", self._table_names)
            if names and "ragassetsfiles" not in names:
                raise StoreError(
                    f"corpus {self.corpus}: schema {self.schema} of {self.pool.address} holds tables of other software "
                    f"({', '.join(sorted(names)[:3])}); choose another `schema=` in the URL"
                )
            found = (
                self._run("its marker cannot be read", lambda session: session.select(self._registry.marker()))
                if "ragassetscorpus" in names
                else []
            )
            for corpus, schema_version in found:
                if corpus != self.corpus:
                    raise StoreError(f"corpus {self.corpus}: {self.pool.address} is the store of corpus {corpus}")
                if schema_version > SCHEMA_VERSION:
                    raise StoreError(
                        f"corpus {self.corpus}: its store has schema version {schema_version}, this software knows "
                        f"{SCHEMA_VERSION}; upgrade rag-assets"
                    )
            self._marked = bool(found)
        return self._marked

    def _table_names(self, session: Session) -> set[str]:
        return {name.lower() for (name,) in session.select(sql.TABLES, (self.schema.upper(),))}

    def damage(self, table: Table, *, version: int | None = None) -> list[Damage]:
        return []

    def sound_rows(self, table: Table, columns: Sequence[str]) -> pa.Table:
        return self.rows(table, columns)

    def drop_damaged(self, table: Table) -> list[Damage]:
        return []

    def rewrite(self, table: Table) -> None:
        """Do nothing: a deleted row is in no file of ours. Journals and backups are the database's own."""

    def needs_compacting(self, table: Table) -> bool:
        return False

    def compact(self, table: Table) -> None:
        """Do nothing: the database joins its own files."""

    def version(self, table: Table) -> int:
        return self._versions(table)[0]

    def _versions(self, table: Table) -> tuple[int, int]:
        """Return the newest version of a table and the oldest that can be read; zeros when it does not exist."""
        if not self._is_there():
            return 0, 0
        found = self._run(
            f"table {table.name} cannot be read",
            lambda session: session.select(self._registry.versions(), (table.name,)),
        )
        return (found[0][0], found[0][1]) if found else (0, 0)

    def rows(self, table: Table, columns: Sequence[str], *, version: int | None = None) -> pa.Table:
        schema = pa.schema([table.schema.field(name) for name in columns])
        return pa.Table.from_batches(self.batches(table, columns, version=version), schema)

    def batches(
        self, table: Table, columns: Sequence[str], *, version: int | None = None, keys: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        wanted = self._pinned(table, version)
        if wanted:
            lay = sql.layout(self.schema, table)
            found = self._pages(lay, columns, wanted) if keys is None else self._of_keys(lay, columns, wanted, keys)
            for page in found:
                yield from page.combine_chunks().to_batches()

    def take(self, table: Table, columns: Sequence[str], keys: Sequence[str], *, version: int) -> pa.Table:
        batches = self.batches(table, columns, version=version, keys=keys)
        return pa.Table.from_batches(batches, pa.schema([table.schema.field(name) for name in columns]))

    def _pinned(self, table: Table, version: int | None) -> int:
        """Return the version to read, 0 for none; StoreError for one that cannot be read any more, or not yet."""
        if version == 0:
            return 0
        newest, oldest = self._versions(table)
        if version is None:
            return newest
        if not oldest <= version <= newest and version not in self._kept(table):
            raise StoreError(
                f"corpus {self.corpus}: table {table.name} cannot be opened at version {version}: not there"
            )
        return version

    def versions(self, table: Table) -> list[int]:
        newest, oldest = self._versions(table)
        return sorted({*self._kept(table), *range(oldest, newest + 1)}) if newest else []

    def _kept(self, table: Table) -> set[int]:
        """Return the versions that were kept when others were forgotten."""
        return {version for label, version in self._labels(table) if label.startswith(KEPT)}

    def _labels(self, table: Table) -> list[Row]:
        what = f"the labels of {table.name} cannot be read"
        return self._run(what, lambda session: session.select(self._registry.labels(), (table.name,)))

    def _pages(self, lay: Layout, columns: Sequence[str], version: int) -> Iterator[pa.Table]:
        """Yield all rows of a version: pages of current rows by key, each with what the history has in its range."""
        chosen = [lay.column(name) for name in columns]
        size = LARGE_ROWS if any(one.is_stream for one in chosen) else PAGE_ROWS
        after: tuple[str, ...] = ()
        while True:
            page = self._select(lay, lay.page(chosen, size, after=bool(after)), after)
            until = (page[-1][0],) if len(page) == size else ()
            mine = [row for row in page if row[-1] <= version]
            yield arrow.table(lay, chosen, mine)
            if self.version(lay.table) != version:
                yield from self._history(lay, chosen, version, size, after, until, {row[0] for row in mine})
            if not until:
                return
            after = until

    def _history(
        self,
        lay: Layout,
        chosen: Sequence[sql.Column],
        version: int,
        size: int,
        after: tuple[str, ...],
        until: tuple[str, ...],
        seen: set[str],
    ) -> Iterator[pa.Table]:
        while True:
            text = lay.history_page(chosen, size, after=bool(after), until=bool(until))
            page = self._select(lay, text, (version, version, *after, *until))
            yield arrow.table(lay, chosen, [row for row in page if row[0] not in seen])
            if len(page) < size:
                return
            after = (page[-1][0],)

    def _of_keys(self, lay: Layout, columns: Sequence[str], version: int, keys: Sequence[str]) -> Iterator[pa.Table]:
        chosen = [lay.column(name) for name in columns]
        size = LARGE_ROWS if any(one.is_stream for one in chosen) else COMMIT_ROWS
        for some in _slices(dict.fromkeys(keys), size):
            filled = _filled(some)
            page = self._select(lay, lay.rows_of(chosen, len(filled)), filled)
            mine = [row for row in page if row[-1] <= version]
            if self.version(lay.table) != version:
                seen = {row[0] for row in mine}
                older = self._select(lay, lay.history_of(chosen, len(filled)), (version, version, *filled))
                mine += [row for row in older if row[0] not in seen]
            yield arrow.table(lay, chosen, mine)

    def _select(self, lay: Layout, text: str, parameters: Sequence[Any]) -> list[Row]:
        return self._run(f"table {lay.table.name} cannot be read", lambda session: session.select(text, parameters))

    def upsert(self, table: Table, rows: pa.Table) -> None:
        """Insert or replace rows by key, in commits of at most `COMMIT_ROWS` rows."""
        if rows.num_rows:
            lay, rows = self._ready(table, rows)
            for start in range(0, rows.num_rows, COMMIT_ROWS):
                self._commit(lay, partial(self._put, lay, rows.slice(start, COMMIT_ROWS)))

    def replace(self, table: Table, rows: pa.Table, *, column: str, values: Sequence[str]) -> None:
        """Make `rows` the only rows whose `column` is in `values`, in one commit a value."""
        if not values or not (rows.num_rows or self.version(table)):
            return
        lay, rows = self._ready(table, rows)
        for value in dict.fromkeys(values):
            some = rows.filter(pc.equal(rows[column], value))

            def work(session: Session, version: int, value: str = value, some: pa.Table = some) -> None:
                for start in range(0, some.num_rows, COMMIT_ROWS):
                    self._put(lay, some.slice(start, COMMIT_ROWS), session, version)
                session.execute(lay.keep(lay.of_group(column)), (version, value, version))
                session.execute(lay.delete(lay.of_group(column)), (value, version))

            self._commit(lay, work)
        self.upsert(table, rows.filter(pc.invert(pc.is_in(rows[column], pa.array(values, rows[column].type)))))

    def delete(self, table: Table, keys: Sequence[str]) -> None:
        """Delete rows by key, in commits of at most `COMMIT_ROWS` rows."""
        if keys and self.version(table):
            lay = sql.layout(self.schema, table)
            for some in _slices(dict.fromkeys(keys), COMMIT_ROWS):

                def work(session: Session, version: int, some: Sequence[str] = some) -> None:
                    filled = _filled(some)
                    session.execute(lay.keep(lay.of_keys(len(filled))), (version, *filled))
                    session.execute(lay.delete(lay.of_keys(len(filled))), filled)

                self._commit(lay, work)

    def _ready(self, table: Table, rows: pa.Table) -> tuple[Layout, pa.Table]:
        """Make the table unless it is there, and check what is to be written before anything is."""
        lay = sql.layout(self.schema, table)
        try:
            rows = rows.cast(table.schema)
        except (ValueError, TypeError) as error:
            raise StoreError(f"corpus {self.corpus}: table {table.name} cannot be written: {error}") from error
        arrow.check_keys(lay, rows)
        if not self.version(table):
            self.create()
            self._run(f"table {table.name} cannot be made", lambda session: self._make(session, lay))
        return lay, rows

    def _make(self, session: Session, lay: Layout) -> None:
        execute_unless_there(session, lay.create())
        if lay.vector:
            try:
                session.execute(lay.create_vector_index())
                session.commit()
            except StatementError as error:
                session.rollback()
                log.warning("IRIS makes no HNSW index; nothing of ours needs it", table=lay.name, reason=str(error))
        try:
            session.execute(self._registry.add_table(), (lay.table.name,))
        except StatementError as error:
            if error.code != NOT_UNIQUE:
                raise
            return  # another process was faster
        for text in lay.clear():  # what a `drop` that was killed has left
            session.execute(text)
        session.commit()

    def _commit(self, lay: Layout, work: Callable[[Session, int], None]) -> None:
        """Do `work` under the next version of its table, in one transaction."""

        def transaction(session: Session) -> None:
            session.execute(self._registry.next_version(), (lay.table.name,))
            ((version, _),) = session.select(self._registry.versions(), (lay.table.name,))
            work(session, version)
            session.commit()

        self._run(f"table {lay.table.name} cannot be written", transaction)

    def _put(self, lay: Layout, rows: pa.Table, session: Session, version: int) -> None:
        keys = rows[lay.table.key].to_pylist()
        filled = _filled(keys)
        session.execute(lay.keep(lay.of_keys(len(filled))), (version, *filled))
        session.execute_many(lay.put(), arrow.parameters(lay, rows, version), keys)

    def retain(self, table: Table, version: int, label: str) -> None:
        if self.version(table):
            self._write(
                f"table {table.name} cannot be labelled", (self._registry.label(), (table.name, label, version))
            )

    def forget_versions(self, table: Table, *, keep: Collection[int] | None = None) -> None:
        there = self.versions(table)
        if not there:
            return
        kept, newest = sorted(set(there[:-1]).intersection(keep or ())), there[-1]
        labels = [one for one in self._labels(table) if one[1] in (*kept, newest) and not one[0].startswith(KEPT)]
        what = f"older versions of {table.name} cannot be deleted"
        self._write(
            what,
            (self._registry.forget(), (newest, table.name)),
            (self._registry.drop_labels(), (table.name,)),
            *(
                (self._registry.label(), (table.name, label, version))
                for label, version in (*labels, *((f"{KEPT}{one}", one) for one in kept))
            ),
        )
        lay = sql.layout(self.schema, table)
        bounds = (newest, *(one for version in kept for one in (version, version)))
        while old := self._select(lay, lay.old_keys(COMMIT_ROWS, len(kept)), bounds):
            filled = _filled(list(dict.fromkeys(key for (key,) in old)))
            self._write(what, (lay.forget(len(filled), len(kept)), (*filled, *bounds)))

    def tables(self) -> list[str]:
        if not self._is_there():
            return []
        found = self._run("its tables cannot be listed", lambda session: session.select(self._registry.known()))
        return sorted(name for (name,) in found)

    def drop(self, table: str) -> None:
        if table in self.tables():
            what = f"table {table} cannot be deleted"
            self._write(what, (self._registry.drop_table(), (table,)), (self._registry.drop_labels(), (table,)))
            self._write(what, *((text, ()) for text in sql.layout(self.schema, _named(table)).drop()))

    def mark(self, *, leave_out: Collection[str] = ()) -> str | None:
        if not self._is_there():
            return None
        state = self._run(
            "its state cannot be read",
            lambda session: [row for text in self._registry.state() for row in session.select(text)],
        )
        files = [one for one in self._files.marks() if one[0] not in leave_out and not one[0].startswith(f"{LEASE}/")]
        return digest(*(repr(one) for one in (*state, *files)))

    def size(self) -> int:
        """Return the bytes of files, texts and vectors; what the database adds is its own."""
        texts = [text for name in self.tables() for text in sql.layout(self.schema, _named(name)).sizes()]
        counted = self._run(
            "its size cannot be read", lambda session: [session.select(text)[0][0] or 0 for text in texts]
        )
        return sum(map(int, counted)) + sum(self.files.list().values())

    def _write(self, what: str, *statements: tuple[str, Sequence[Any]]) -> None:
        """Run statements in one transaction."""

        def work(session: Session) -> None:
            for text, parameters in statements:
                session.execute(text, parameters)
            session.commit()

        self._run(what, work)

    def _run(self, what: str, work: Callable[[Session], T]) -> T:
        with self._errors(what):
            return self.pool.run(work)

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except (ConnectionLostError, LockedError) as error:
            raise StoreError(
                f"corpus {self.corpus}: {what}: IRIS at {self.pool.address} does not answer: {error}"
            ) from error
        except StatementError as error:
            raise StoreError(f"corpus {self.corpus}: {what}: {error}") from error


def _named(name: str) -> Table:
    """Return the table of a name; its vectors' dimension does not matter to whoever asks."""
    known = {one.name: one for one in (DOCUMENTS, CHUNKS, QUARANTINE)}
    return known.get(name) or token_embeddings(name.partition("/")[2], 1)


def _slices(keys: Collection[str], size: int) -> Iterator[list[str]]:
    left = iter(keys)
    while some := list(islice(left, size)):
        yield some


def _filled(keys: Sequence[str]) -> list[str]:
    """Return keys for a list of one of the usual sizes: the last one is repeated."""
    return [*keys, *[keys[-1]] * (sql.in_size(len(keys)) - len(keys))]
