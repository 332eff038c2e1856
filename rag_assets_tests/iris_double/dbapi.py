"""The driver's DB-API over a SQLite file, with its quirks. Give this module where `iris.dbapi` is expected.

The file lies in the folder that IRIS_DOUBLE names, one a namespace, so that threads and processes share it.
`faults` makes connections break.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rag_assets_tests.iris_double import dialect
from rag_assets_tests.iris_double.lint import RefusedError, lint

apilevel, paramstyle, threadsafety = "2.0", "qmark", 1
LOCK_SECONDS = 10.0
LARGEST_VALUE = 1_400_000


class Error(Exception): ...  # fmt: skip


class InterfaceError(Error): ...  # fmt: skip


class DatabaseError(Error): ...  # fmt: skip


class OperationalError(DatabaseError): ...  # fmt: skip


class IntegrityError(DatabaseError): ...  # fmt: skip


class ProgrammingError(DatabaseError): ...  # fmt: skip


class DataError(DatabaseError): ...  # fmt: skip


class NativeCrashError(BaseException):
    """What the native driver does not survive: in a test, as loud as the end of the process."""


class Faults:
    """Break the connection at the statement, commits counted too, with this number from now; 0: never.

    `after`: the server has executed it, and only the answer is lost.
    """

    def __init__(self) -> None:
        self.left = 0
        self.after = False
        self.times = 1
        self.statements = 0

    def break_at(self, number: int, *, after: bool = False, times: int = 1) -> None:
        self.left, self.after, self.times = number, after, times

    def hit(self) -> bool:
        """Count a statement and return whether the connection breaks at it."""
        self.statements += 1
        if self.left > 0:
            self.left -= 1
            if self.left == 0:
                self.times -= 1
                self.left = 1 if self.times else 0
                return True
        return False


faults = Faults()


def connect(
    hostname: str, port: int, namespace: str, username: str, password: str, timeout: int = 10,
    sharedmemory: bool = True, logfile: str = "", sslconfig: str = "", autoCommit: bool = True,  # noqa: N803
) -> "Connection":  # fmt: skip
    if not (username and password):
        raise OperationalError("<COMMUNICATION ERROR> Invalid Message received; Details: Access Denied")
    return Connection(Path(os.environ["IRIS_DOUBLE"]) / f"{namespace}.sqlite", autoCommit)


class Connection:
    def __init__(self, path: Path, autocommit: bool) -> None:
        self.autocommit = autocommit
        self._lite = sqlite3.connect(path, timeout=LOCK_SECONDS, isolation_level=None, check_same_thread=False)
        self._lite.execute("PRAGMA journal_mode = WAL")
        self._lite.execute("PRAGMA synchronous = NORMAL")
        self._lite.execute(dialect.CATALOGUE)
        dialect.register(self._lite)
        self._process, self._busy, self._alive = os.getpid(), threading.Lock(), True
        self.read_committed = False

    def cursor(self) -> "Cursor":
        self._check()
        return Cursor(self)

    def commit(self) -> None:
        with self.statement():
            if self._lite.in_transaction:
                self._lite.execute("COMMIT")

    def rollback(self) -> None:
        self._check()
        if self._lite.in_transaction:
            self._lite.execute("ROLLBACK")

    def close(self) -> None:
        self._check()
        self._end()

    def _end(self) -> None:
        self._alive = False
        self._lite.close()

    def _check(self) -> None:
        if not self._alive:
            raise InterfaceError("Connection is closed")
        if self._process != os.getpid():
            raise NativeCrashError("a connection was used in another process than it was made in")

    @contextmanager
    def statement(self) -> Iterator[sqlite3.Connection]:
        """Execute one thing: for one thread at a time, and until the connection breaks."""
        self._check()
        if not self._busy.acquire(blocking=False):
            raise NativeCrashError("two threads use one connection")
        try:
            broken = faults.hit()
            if not broken or faults.after:
                yield self._lite
            if broken:
                if self._lite.in_transaction:
                    self._lite.execute("ROLLBACK")
                self._end()
                raise OperationalError("<COMMUNICATION LINK ERROR> Failed to receive message; Details: Error code: 104")
            if self.autocommit and self._lite.in_transaction:
                self._lite.execute("COMMIT")
        except RefusedError as error:
            raise ProgrammingError(str(error)) from None
        except sqlite3.Error as error:
            raise _translated(error) from error
        finally:
            self._busy.release()


class Stream:
    """A large value: to be read before its cursor is closed."""

    def __init__(self, cursor: "Cursor", value: Any) -> None:
        self._cursor, self._value = cursor, value

    def read(self) -> Any:
        self._cursor.require_open()
        return self._value


class DataRow(Sequence[Any]):
    """A row that dies with its cursor."""

    def __init__(self, cursor: "Cursor", values: Sequence[Any]) -> None:
        self._cursor, self._values = cursor, values

    def __getitem__(self, place: Any) -> Any:
        self._cursor.require_open()
        return self._values[place]

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[Any]:
        self._cursor.require_open()
        return iter(self._values)


class Cursor:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rows: list[tuple[Any, ...]] = []
        self._streams: list[bool] = []
        self._is_open = True
        self._count = 0
        self.rowcount, self.arraysize = -1, 1

    def setQueryTimeout(self, timeout: int) -> None:  # noqa: N802
        if not isinstance(timeout, int):
            raise TypeError("Value of 'query timeout' must be an int")

    def execute(self, operation: str, parameters: Sequence[Any] = ()) -> int:
        self.require_open()
        with self._connection.statement() as lite:
            streams = _streams(lite)
            lint(operation, len(parameters), streams)
            self._execute(lite, operation, parameters, streams)
        return self.rowcount

    def _execute(self, lite: sqlite3.Connection, text: str, parameters: Sequence[Any], streams: frozenset[str]) -> None:
        verb = text.split()[0].upper()
        _check_parameters(parameters)
        if text == "SET TRANSACTION ISOLATION LEVEL READ COMMITTED":
            self._connection.read_committed = True
            return
        if verb == "SELECT" and not self._connection.read_committed:
            raise RefusedError("this would read what others have not committed")
        if " AS HNSW" in text:
            raise RefusedError("HNSW index needs a vector of type DOUBLE or DECIMAL")
        if verb in ("INSERT", "UPDATE", "DELETE", "CREATE", "DROP") and not lite.in_transaction:
            lite.execute("BEGIN IMMEDIATE")
        try:
            done = lite.execute(dialect.translate(text), tuple(parameters))
        except sqlite3.OperationalError as error:
            if "no such table" in str(error) and verb == "SELECT":
                raise NativeCrashError(f"SELECT on a missing table: {text}") from None
            raise
        if verb == "CREATE":
            lite.executemany("INSERT INTO catalogue VALUES (?, ?, ?, ?, ?, ?, ?, ?)", dialect.described(text))
        if verb == "DROP":
            schema, _, table = text.split()[-1].partition(".")
            lite.execute("DELETE FROM catalogue WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?", (schema, table))
        self._rows = done.fetchall() if verb == "SELECT" else []
        self._streams = [one[0].lower() in streams for one in done.description or ()]
        self.rowcount = done.rowcount if verb in ("INSERT", "UPDATE") else -1

    def executemany(self, operation: str, seq_of_parameters: Sequence[Sequence[Any]]) -> tuple[Any, ...]:
        """Return a number for each row that was done, and a message for each that was not: it need not raise."""
        self.require_open()
        results: list[Any] = []
        with self._connection.statement() as lite:
            streams = _streams(lite)
            for parameters in seq_of_parameters:
                lint(operation, len(parameters), streams)
                try:
                    self._execute(lite, operation, parameters, streams)
                    results.append(1)
                except sqlite3.Error as error:
                    results.append(str(_translated(error)))
        return tuple(results)

    def fetchone(self) -> DataRow | None:
        return next(iter(self.fetchmany(1)), None)

    def fetchmany(self, size: int | None = None) -> tuple[DataRow, ...]:
        self.require_open()
        wanted = size or self.arraysize
        taken, self._rows = self._rows[:wanted], self._rows[wanted:]
        return tuple(DataRow(self, self._delivered(row)) for row in taken)

    def fetchall(self) -> tuple[DataRow, ...]:
        return self.fetchmany(len(self._rows) or 1)

    def _delivered(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        """Hand large values out now as such, now as streams: both happen."""
        self._count += 1
        if self._count % 2:
            return row
        return tuple(
            Stream(self, one) if is_stream and one is not None else one
            for one, is_stream in zip(row, self._streams, strict=True)
        )

    def close(self) -> None:
        self._is_open = False

    def require_open(self) -> None:
        if not self._is_open:
            raise InterfaceError("Cursor is closed")


def _streams(lite: sqlite3.Connection) -> frozenset[str]:
    found = lite.execute("SELECT DISTINCT COLUMN_NAME FROM catalogue WHERE kind LIKE 'LONGVAR%'")
    return frozenset(one.lower() for (one,) in found)


def _check_parameters(parameters: Sequence[Any]) -> None:
    for one in parameters:
        if type(one) not in (str, bytes, int, float, type(None)):
            raise InterfaceError(f"a parameter of type {type(one).__name__} cannot be bound")
        if isinstance(one, bytes) and len(one) > LARGEST_VALUE:
            raise RefusedError("a bound value this long fails", -400)


def _translated(error: sqlite3.Error) -> DatabaseError:
    text = str(error)
    for part, code, kind in (
        ("UNIQUE", -119, IntegrityError), ("NOT NULL", -108, IntegrityError), ("CHECK", -104, DataError),
        ("already exists", -201, ProgrammingError), ("locked", -110, OperationalError),
        ("no such table", -30, ProgrammingError), ("no such column", -29, ProgrammingError),
    ):  # fmt: skip
        if part in text:
            return kind(f"[SQLCODE: <{code}>:<{text}>]\n[Location: <Execute>]")
    return OperationalError(f"[SQLCODE: <-400>:<{text}>]")
