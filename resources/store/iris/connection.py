"""Connections to IRIS: the address, a bounded pool, retries, and what the driver does differently from others.

The driver reports rows that failed in a batch as strings beside the counts, hands out large values as objects that die
with their cursor, and starts in autocommit with READ UNCOMMITTED; this module is the only one that knows. Not here: SQL
texts (`sql`), and what is stored (`store`).
"""

import importlib
import os
import queue
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

import structlog
import tenacity

from resources.errors import SettingsError, StoreError
from resources.store.iris import sql

POOL_SIZE = 4
CONNECT_SECONDS = 10
STATEMENT_SECONDS = 300
ATTEMPTS = 6
LONGEST_WAIT = 10.0
FETCH_ROWS = 500

EXISTS = -201
NOT_UNIQUE = -119
_TRY_AGAIN = {-110, -111, -112, -114}
_SQLCODE = re.compile(r"SQLCODE:\s*<?(-?\d+)")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*")

log = structlog.get_logger(__name__)
T = TypeVar("T")
Row = tuple[Any, ...]


class ConnectionLostError(Exception):
    """The server cannot be reached, or no longer; whatever was not committed is undone."""


class LockedError(Exception):
    """Another transaction holds a row for longer than the server waits."""


class StatementError(Exception):
    """The server refused a statement. `code`: its SQLCODE, None when it named none."""

    def __init__(self, message: str, code: int | None) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Address:
    """Where a corpus lies in IRIS. User and password come from the URL or from IRIS_USERNAME and IRIS_PASSWORD."""

    host: str
    port: int
    namespace: str
    schema: str
    username: str = field(repr=False)
    password: str = field(repr=False)

    def __str__(self) -> str:
        return f"iris://{self.host}:{self.port}/{self.namespace}?schema={self.schema}"


def read_address(url: str) -> Address:
    """Read `iris://host:port/NAMESPACE?schema=RAG`; SettingsError says what is wrong, without quoting a password."""
    shape = "a store in IRIS is given as iris://HOST:PORT/NAMESPACE?schema=SCHEMA"
    try:
        parts = urlsplit(url)
        port, options = parts.port or 1972, parse_qs(parts.query, strict_parsing=bool(parts.query))
    except ValueError as error:
        raise SettingsError(f"{shape}: {error}") from None
    namespace, schemas = parts.path.strip("/"), options.pop("schema", ["RAG"])
    if parts.scheme != "iris" or not parts.hostname or not namespace or "/" in namespace:
        raise SettingsError(f"{shape}; host and namespace must be there")
    if options or len(schemas) != 1 or not _NAME.fullmatch(schemas[0]):
        raise SettingsError(f"{shape}; the only option is `schema`, a name of letters and digits")
    username = unquote(parts.username or "") or os.environ.get("IRIS_USERNAME", "")
    password = unquote(parts.password or "") or os.environ.get("IRIS_PASSWORD", "")
    if not username or not password:
        raise SettingsError(
            f"IRIS at {parts.hostname}:{port} needs a user and a password: set IRIS_USERNAME and IRIS_PASSWORD"
        )
    return Address(parts.hostname, port, namespace, schemas[0], username, password)


def load_driver() -> ModuleType:
    """Return the driver's DB-API module; SettingsError says how to install it."""
    try:
        return importlib.import_module("iris.dbapi")
    except ImportError as error:
        raise SettingsError("IRIS needs its driver: pip install 'rag-assets[iris]'") from error


class Session:
    """One connection, for one thread at a time, always within a transaction that its user commits."""

    def __init__(self, driver: ModuleType, connection: Any) -> None:
        self._driver = driver
        self._connection = connection

    def execute(self, text: str, parameters: Sequence[Any] = ()) -> int:
        """Run a statement that returns no rows; return how many an UPDATE changed, -1 for a DELETE."""
        with self._cursor() as cursor:
            cursor.execute(text, tuple(parameters))
            changed: int = cursor.rowcount
            return changed

    def select(self, text: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Return all rows, copied: text as str, bytes as bytes."""
        found: list[Row] = []
        with self._cursor() as cursor:
            cursor.execute(text, tuple(parameters))
            while rows := cursor.fetchmany(FETCH_ROWS):
                found += [tuple(_copied(value) for value in row) for row in rows]
        return found

    def execute_many(self, text: str, rows: Sequence[Row], names: Sequence[str]) -> None:
        """Run a statement once a row; StatementError says which of `names` failed, also when the driver does not."""
        with self._cursor() as cursor:
            results = cursor.executemany(text, rows)
        if not isinstance(results, Sequence) or isinstance(results, str) or len(results) != len(rows):
            raise StatementError(f"{len(rows)} rows were sent, and the driver answered {str(results)[:80]!r}", None)
        for name, result in zip(names, results, strict=True):
            if not isinstance(result, int):
                raise _named(str(result), f"row {name}: ")

    def commit(self) -> None:
        """Make what was done durable and visible."""
        with self._errors():
            self._connection.commit()

    def rollback(self) -> None:
        """Undo what was not committed."""
        with self._errors():
            self._connection.rollback()

    def close(self) -> None:
        """Give the connection up, whatever state it is in."""
        try:
            self._connection.close()
        except self._driver.Error:
            log.debug("a connection to IRIS could not be closed")

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        with self._errors():
            cursor = self._connection.cursor()
            try:
                cursor.setQueryTimeout(STATEMENT_SECONDS)
                yield cursor
            finally:
                cursor.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except self._driver.Error as error:
            raise _named(str(error), "", isinstance(error, self._driver.InterfaceError)) from error


class Pool:
    """A bounded number of connections, shared by the threads of one process."""

    def __init__(self, address: Address, driver: ModuleType | None = None) -> None:
        self.address = address
        self._driver = driver
        self._start()

    def _start(self) -> None:
        self._process = os.getpid()
        self._idle: queue.LifoQueue[Session] = queue.LifoQueue()
        self._free = threading.BoundedSemaphore(POOL_SIZE)

    def run(self, work: Callable[[Session], T]) -> T:
        """Return what `work` returns; it is called again, on another connection, when one was lost or a row locked.

        `work` commits, or nothing happened: what it did not commit is undone. Raises ConnectionLostError and
        LockedError when that went on, StatementError at once.
        """
        for attempt in tenacity.Retrying(
            retry=tenacity.retry_if_exception_type((ConnectionLostError, LockedError)),
            stop=tenacity.stop_after_attempt(ATTEMPTS),
            wait=tenacity.wait_random_exponential(0.1, LONGEST_WAIT),
            before_sleep=_tell,
            reraise=True,
        ):
            with attempt, self._session() as session:
                return work(session)
        raise AssertionError("unreachable: the last attempt raises")

    @contextmanager
    def _session(self) -> Iterator[Session]:
        if self._process != os.getpid():
            self._start()
        with self._free:
            session = self._take()
            try:
                yield session
                session.rollback()
            except ConnectionLostError:
                session.close()
                raise
            except BaseException:
                self._undo(session)
                raise
            self._idle.put(session)

    def _undo(self, session: Session) -> None:
        try:
            session.rollback()
        except (ConnectionLostError, StatementError):
            session.close()
        else:
            self._idle.put(session)

    def _take(self) -> Session:
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            return self._connect()

    def _connect(self) -> Session:
        driver = self._driver or load_driver()
        at = self.address
        try:
            connection = driver.connect(
                at.host, at.port, at.namespace, at.username, at.password, timeout=CONNECT_SECONDS, autoCommit=False
            )
        except driver.Error as error:
            raise _named(str(error), "", lost=True) from error
        session = Session(driver, connection)
        if connection.autocommit is not False:
            session.close()
            raise StoreError(f"IRIS at {at} does not leave autocommit, so nothing can be written as a whole")
        session.execute(sql.READ_COMMITTED)
        return session

    def close(self) -> None:
        """Close the connections that are not in use."""
        while not self._idle.empty():
            self._idle.get_nowait().close()


def _copied(value: Any) -> Any:
    """Return a value that outlives its cursor: large ones come as such, or as an object to be read."""
    if hasattr(value, "read"):
        value = value.read()
    return bytes(value) if isinstance(value, (bytearray, memoryview)) else value


def _named(message: str, about: str, lost: bool = False) -> Exception:
    """Return the error that a message of the server or the driver stands for."""
    found = _SQLCODE.search(message)
    code = int(found[1]) if found else None
    line = about + " ".join(message.split())[:300]
    if code in _TRY_AGAIN:
        return LockedError(line)
    if "COMMUNICATION LINK" in message or (lost and code is None and "denied" not in message.lower()):
        return ConnectionLostError(line)
    return StatementError(line, code)


def _tell(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.warning("IRIS did not answer; trying again", attempt=state.attempt_number, reason=str(error))


def execute_unless_there(session: Session, statements: Iterable[str]) -> None:
    """Run statements that create something; what is there already stays as it is."""
    for text in statements:
        try:
            session.execute(text)
        except StatementError as error:
            if error.code != EXISTS:
                raise
        session.commit()
