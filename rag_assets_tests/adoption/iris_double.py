"""A stand-in for IRIS's driver, as far as reading goes: it refuses what IRIS refuses and has the driver's quirks.

SQLite executes. `fetchmany` gives one row unless told otherwise, long texts are streams that die with their cursor,
vectors come as text, TOP is there and LIMIT is not, strings compare without case, and nothing but SELECT is taken.
"""

import re
import sqlite3

SCHEMAS = "CREATE TABLE INFORMATION_SCHEMA.{}"
LONG = ("text_content", "chunk_text")


class DriverError(Exception):
    """What the driver raises."""


class Stream:
    """A long text; can be read while its cursor is open."""

    def __init__(self, text, cursor):
        self._text, self._cursor = text, cursor

    def read(self):
        if self._cursor.closed:
            raise DriverError("the stream is gone")
        return self._text


class Cursor:
    def __init__(self, database, log):
        self._cursor, self._log, self.closed = database.cursor(), log, False

    def execute(self, text, values=()):
        self._log.append(text)
        if not text.startswith("SELECT ") or ";" in text or re.search(r"\bLIMIT\b", text):
            raise DriverError("[SQLCODE: <-1>] not a SELECT that IRIS takes")
        if top := re.match(r"SELECT TOP (\d+) ", text):
            text = "SELECT " + text[top.end() :] + f" LIMIT {top[1]}"
        try:
            self._cursor.execute(text, values)
        except sqlite3.Error as error:
            raise DriverError(f"[SQLCODE: <-30>] {error}") from error

    def fetchmany(self, size=1):
        names = [one[0] for one in self._cursor.description]
        return [
            tuple(
                Stream(value, self) if name in LONG and value is not None else value
                for name, value in zip(names, row, strict=True)
            )
            for row in self._cursor.fetchmany(size)
        ]

    def close(self):
        self.closed = True
        self._cursor.close()


class Connection:
    """A namespace with the schema RAG. `log`: every text that was sent."""

    def __init__(self, tables):
        """`tables`: name → (columns: name → type as INFORMATION_SCHEMA has it, rows)."""
        self.log, self.closed = [], False
        self._database = sqlite3.connect(":memory:")
        for schema in ("RAG", "INFORMATION_SCHEMA"):
            self._database.execute(f"ATTACH ':memory:' AS {schema}")
        self._database.execute(SCHEMAS.format("TABLES (TABLE_SCHEMA, TABLE_NAME)"))
        self._database.execute(
            SCHEMAS.format("COLUMNS (TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, DATA_TYPE, ORDINAL_POSITION)")
        )
        for name, (columns, rows) in tables.items():
            declared = ", ".join(f"{one} COLLATE NOCASE" for one in columns)
            self._database.execute(f"CREATE TABLE RAG.{name} ({declared})")
            self._database.execute("INSERT INTO INFORMATION_SCHEMA.TABLES VALUES ('RAG', ?)", (name,))
            for at, (column, kind) in enumerate(columns.items()):
                one = ("RAG", name, column, kind, at)
                self._database.execute("INSERT INTO INFORMATION_SCHEMA.COLUMNS VALUES (?, ?, ?, ?, ?)", one)
            marks = ", ".join("?" * len(columns))
            self._database.executemany(f"INSERT INTO RAG.{name} VALUES ({marks})", rows)

    def cursor(self):
        return Cursor(self._database, self.log)

    def close(self):
        self.closed = True
        self._database.close()
