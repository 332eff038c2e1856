"""The corpus's files as rows of two tables: whole or not there, created once through the primary key.

Content is cut into pieces below what a parameter may hold. A reader that sees a file change under its hands begins
again. Not here: index generations and reports as folders (`resources.store.kept_folders`).
"""

import time
from collections.abc import Callable
from typing import TypeVar

from resources.errors import StoreError
from resources.store.iris.connection import (
    NOT_UNIQUE,
    ConnectionLostError,
    LockedError,
    Pool,
    Session,
    StatementError,
)
from resources.store.iris.sql import KEY_BYTES, FileTables

PIECE_BYTES = 512 << 10
READ_ATTEMPTS = 20

T = TypeVar("T")


Mark = tuple[str, int, int]
Marks = list[Mark]


class IrisFiles:
    """See `Files` for what each method promises. `prepare` makes the tables before the first file is written."""

    def __init__(self, pool: Pool, is_there: Callable[[], bool], prepare: Callable[[], None]) -> None:
        self._pool = pool
        self._is_there = is_there
        self._prepare = prepare
        self._sql = FileTables(pool.address.schema)

    def read(self, path: str) -> bytes:
        content = (
            self._guarded(path, "read", lambda session: self._content(session, path)) if self._is_there() else None
        )
        if content is None:
            raise FileNotFoundError(self.where(path))
        return content

    def write(self, path: str, content: bytes) -> None:
        def work(session: Session) -> None:
            self._put(session, path, content)
            session.commit()

        self._writing(path, work)

    def create(self, path: str, content: bytes) -> bool:
        attempts = 0

        def work(session: Session) -> bool:
            nonlocal attempts
            attempts += 1
            mark = time.time_ns()
            try:
                session.execute(self._sql.add(), (len(content), mark, path))
            except StatementError as error:
                if error.code != NOT_UNIQUE:
                    raise
                return attempts > 1 and self._content(session, path) == content  # the answer to a commit was lost
            self._put_pieces(session, path, mark, content)
            session.commit()
            return True

        return self._writing(path, work)

    def update(self, path: str, change: Callable[[bytes | None], bytes | None]) -> None:
        def work(session: Session) -> None:
            there = session.execute(self._sql.lock(), (path,)) > 0
            after = change(self._content(session, path) if there else None)
            if after is not None:
                self._put(session, path, after, only_if_new=not there)
                session.commit()

        self._writing(path, work)

    def list(self, folder: str = "") -> dict[str, int]:
        return {path: size for path, size, _ in self.marks(folder)}

    def marks(self, folder: str = "") -> Marks:
        """Return path, bytes and mark of the last writing of every file below a folder."""
        if not self._is_there():
            return []
        below = (f"{folder}/", f"{folder}0") if folder else ()  # "0" follows "/"
        found = self._guarded(folder, "listed", lambda session: session.select(self._sql.all(below=bool(below)), below))
        return [(path, size, written) for path, size, written in found]

    def delete(self, path: str) -> None:
        def work(session: Session) -> None:
            session.execute(self._sql.drop(), (path,))
            session.execute(self._sql.drop_pieces(), (path,))
            session.commit()

        if self._is_there():
            self._guarded(path, "deleted", work)

    def where(self, path: str) -> str:
        return f"{self._pool.address}#{path}"

    def _put(self, session: Session, path: str, content: bytes, *, only_if_new: bool = False) -> None:
        mark = time.time_ns()
        values = (len(content), mark, path)
        if only_if_new or not session.execute(self._sql.change(), values) > 0:
            try:
                session.execute(self._sql.add(), values)
            except StatementError as error:
                if error.code == NOT_UNIQUE:
                    raise LockedError(f"{path} was created by another transaction meanwhile") from None
                raise
        self._put_pieces(session, path, mark, content)

    def _put_pieces(self, session: Session, path: str, mark: int, content: bytes) -> None:
        session.execute(self._sql.drop_pieces(), (path,))
        for number, start in enumerate(range(0, len(content), PIECE_BYTES)):
            session.execute(self._sql.put_piece(), (path, mark, number, content[start : start + PIECE_BYTES]))

    def _content(self, session: Session, path: str) -> bytes | None:
        for _ in range(READ_ATTEMPTS):
            found = session.select(self._sql.one(), (path,))
            if not found:
                return None
            size, mark = found[0]
            pieces = []
            for number in range(-(-size // PIECE_BYTES)):
                pieces += [one for (one,) in session.select(self._sql.piece(), (path, mark, number))]
            if sum(map(len, pieces)) == size:
                return b"".join(pieces)
        raise StoreError(f"{self.where(path)} cannot be read: its pieces do not make up its {size} bytes")

    def _writing(self, path: str, work: Callable[[Session], T]) -> T:
        if not path or len(path.encode()) > KEY_BYTES:
            raise StoreError(f"{self.where(path[:60])} cannot be written: a path has 1 to {KEY_BYTES} bytes")
        self._prepare()
        return self._guarded(path, "written", work)

    def _guarded(self, path: str, verb: str, work: Callable[[Session], T]) -> T:
        try:
            return self._pool.run(work)
        except (ConnectionLostError, LockedError, StatementError) as error:
            raise StoreError(f"{self.where(path)} cannot be {verb}: {error}") from error
