"""A table of InterSystems IRIS, such as the `RAG` schemas of iris-vector-rag, over any DB-API connection.

Which columns there are is asked of INFORMATION_SCHEMA. Vectors show there as character columns, so a column is one when
its first value reads as one. Only SELECT is ever sent. Not yet run against a live IRIS.
"""

import os
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa

from resources.adoption.roles import NAMES
from resources.adoption.table import Column, Kind, Roles, at_path, batch_of, parse_vector
from resources.errors import AdoptionError
from resources.store.iris.connection import load_driver

CHUNKS = "DocumentChunks"
DOCUMENTS = "SourceDocuments"
AT_ONCE = 500
_NAME = re.compile(r"[A-Za-z%_][A-Za-z0-9_]*")


class IrisTable:
    """One table; `schema` as it is written. The connection becomes this table's, and is closed with it."""

    def __init__(self, connection: Any, schema: str, table: str) -> None:
        self._connection, self._schema, self._table = connection, schema, table
        self.name = f"{schema}.{table}"
        if not _NAME.fullmatch(schema) or not _NAME.fullmatch(table):
            raise AdoptionError(f"{self.name}: a table's name is SCHEMA.TABLE, of letters, digits and _")
        if not self._columns:
            known = ", ".join(self._tables()) or "none"
            raise AdoptionError(f"there is no table {self.name}; schema {schema} has: {known}")

    def columns(self) -> Sequence[Column]:
        return self._columns

    @cached_property
    def _columns(self) -> tuple[Column, ...]:
        query = (
            "SELECT COLUMN_NAME, DATA_TYPE FROM INFORMATION_SCHEMA.COLUMNS "
            "WHERE UPPER(TABLE_SCHEMA) = ? AND UPPER(TABLE_NAME) = ? ORDER BY ORDINAL_POSITION"
        )
        found = self._select(query, [self._schema.upper(), self._table.upper()])
        return tuple(self._column(str(name), str(kind).lower()) for name, kind in found if _NAME.fullmatch(str(name)))

    def documents(self, roles: Roles) -> str | None:
        """Know iris-vector-rag's own pair of tables."""
        if self._table.upper() != CHUNKS.upper() or "document" not in roles:
            return None
        if DOCUMENTS.upper() not in [one.upper() for one in self._tables()]:
            return None
        names = [one.name.lower() for one in IrisTable(self._connection, self._schema, DOCUMENTS).columns()]
        return f"{self._schema}.{DOCUMENTS}.{'doc_id' if 'doc_id' in names else 'id'}"

    def dimension(self, roles: Roles) -> int | None:
        """Leave it open: the catalogue does not tell."""
        return None

    def count(self) -> int:
        return int(self._select(f"SELECT COUNT(*) FROM {self.name}")[0][0])

    def scan(self, roles: Roles, rows: int) -> Iterator[pa.RecordBatch]:
        for fetched in self._stream(self._query(roles), [], rows):
            yield self._batch(roles, fetched)

    def take(self, roles: Roles, keys: Sequence[str]) -> pa.RecordBatch:
        """Ask for the keys, and leave out rows whose keys are equal but for case."""
        found: list[tuple[Any, ...]] = []
        for start in range(0, len(keys), AT_ONCE):
            some = keys[start : start + AT_ONCE]
            marks = ", ".join("?" * len(some))
            found += self._select(f"{self._query(roles)} WHERE {roles['key']} IN ({marks})", some)
        at, wanted = list(roles).index("key"), set(keys)
        return self._batch(roles, [row for row in found if str(row[at]) in wanted])

    def document_ids(self, documents: str, rows: int) -> Iterator[list[str]]:
        table, _, column = documents.rpartition(".")
        if not all(map(_NAME.fullmatch, [*table.split("."), column])):
            raise AdoptionError(f"--documents {documents}: SCHEMA.TABLE.COLUMN is expected")
        for fetched in self._stream(f"SELECT {column} FROM {table}", [], rows):
            yield [str(one) for (one,) in fetched if one is not None]

    def close(self) -> None:
        self._connection.close()

    def _query(self, roles: Roles) -> str:
        known = {one.name for one in self._columns}
        wanted = [column if column in known else column.partition(".")[0] for column in roles.values()]
        return f"SELECT {', '.join(wanted)} FROM {self.name}"

    def _batch(self, roles: Roles, fetched: Sequence[tuple[Any, ...]]) -> pa.RecordBatch:
        known = {one.name for one in self._columns}
        rows = [
            {
                role: value if column in known else at_path(value, column.split(".")[1:])
                for (role, column), value in zip(roles.items(), row, strict=True)
            }
            for row in fetched
        ]
        return batch_of(rows)

    def _column(self, name: str, kind: str) -> Column:
        words: dict[str, Kind] = {"int": "number", "numeric": "number", "char": "text", "text": "text", "time": "time"}
        found: Kind = next((words[word] for word in words if word in kind), "other")
        if name.lower() in NAMES["vector"] or "vector" in kind:
            first = self._select(f"SELECT TOP 1 {name} FROM {self.name} WHERE {name} IS NOT NULL")
            vector = parse_vector(first[0][0]) if first else None
            if vector is not None and len(vector) > 1:
                return Column(name, f"{len(vector)} numbers", "vector")
        return Column(name, kind, found)

    def _tables(self) -> list[str]:
        query = "SELECT TABLE_NAME FROM INFORMATION_SCHEMA.TABLES WHERE UPPER(TABLE_SCHEMA) = ? ORDER BY TABLE_NAME"
        return [str(name) for (name,) in self._select(query, [self._schema.upper()])]

    def _select(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return [row for fetched in self._stream(query, values, AT_ONCE) for row in fetched]

    def _stream(self, query: str, values: Sequence[Any], rows: int) -> Iterator[list[tuple[Any, ...]]]:
        """Yield rows, copied while the cursor is open: values that are streams die with it."""
        try:
            cursor = self._connection.cursor()
            try:
                cursor.execute(query, tuple(values))
                while fetched := cursor.fetchmany(rows):
                    yield [tuple(one.read() if hasattr(one, "read") else one for one in row) for row in fetched]
            finally:
                cursor.close()
        except AdoptionError:
            raise
        except Exception as error:  # whichever driver's: DB-API has no class that all share
            raise AdoptionError(f"{self.name} cannot be read: {' '.join(str(error).split())}") from error


def open_iris(url: str, table: str | None) -> IrisTable:
    """Connect to `iris://HOST:1972/NAMESPACE`; user and password are IRIS_USERNAME and IRIS_PASSWORD.

    `table` is `SCHEMA.TABLE`, by default `RAG.DocumentChunks`.
    """
    driver = load_driver()
    parts = urlsplit(url)
    user, password = os.environ.get("IRIS_USERNAME"), os.environ.get("IRIS_PASSWORD")
    if not parts.hostname or not parts.path.strip("/") or parts.username or not user or not password:
        raise AdoptionError("IRIS is given as iris://HOST:1972/NAMESPACE, with IRIS_USERNAME and IRIS_PASSWORD set")
    schema, _, name = (table or f"RAG.{CHUNKS}").rpartition(".")
    where = {"hostname": parts.hostname, "port": parts.port or 1972, "namespace": parts.path.strip("/")}
    try:
        connection = driver.connect(**where, username=user, password=password, timeout=10, autoCommit=False)
    except driver.Error as error:
        raise AdoptionError(f"IRIS at {parts.netloc} cannot be reached: {' '.join(str(error).split())}") from error
    try:
        return IrisTable(connection, schema or "RAG", name)
    except AdoptionError:
        connection.close()
        raise
