"""A PostgreSQL table, with pgvector's types or plain arrays of numbers. Every session is read-only, so that the server
itself refuses whatever would write.

One transaction at REPEATABLE READ: the audit judges one state of the table, whatever is written meanwhile.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, LiteralString

import numpy as np
import pyarrow as pa

from resources.adoption.table import Column, Kind, Roles, batch_of, parse_vector
from resources.errors import AdoptionError

if TYPE_CHECKING:
    import psycopg
    from psycopg import sql

VECTORS = ("vector", "halfvec", "sparsevec")
ARRAYS = ("real[]", "double precision[]", "numeric[]")
LANGCHAIN = "langchain_pg_embedding"
SEEN_ROWS = 200


def open_postgres(url: str, table: str | None, collection: str | None) -> "PostgresTable":
    """Connect and choose the table: the one named, else the only one with a vector column."""
    try:
        import psycopg
    except ImportError as error:
        raise AdoptionError("PostgreSQL needs the extra `pgvector`: pip install 'rag-assets[pgvector]'") from error
    try:
        connection = psycopg.connect(url, application_name="rag-assets", connect_timeout=10)
        connection.read_only = True
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    except psycopg.Error as error:
        raise AdoptionError(f"PostgreSQL cannot be reached: {_said(error)}") from error
    try:
        return PostgresTable(connection, *_choose(connection, table), collection)
    except psycopg.Error as error:
        connection.close()
        raise AdoptionError(f"PostgreSQL: {_said(error)}") from error
    except AdoptionError:
        connection.close()
        raise


class PostgresTable:
    """A table or view. `collection`: of a LangChain table, the one collection that is meant."""

    def __init__(self, connection: "psycopg.Connection[Any]", schema: str, table: str, collection: str | None) -> None:
        self._connection, self._schema, self._table = connection, schema, table
        self._collection = self._collection_id(collection) if collection is not None else None
        self.name = f"{schema}.{table}" + (f" ({collection})" if collection else "")

    def columns(self) -> Sequence[Column]:
        return self._columns

    @cached_property
    def _columns(self) -> tuple[Column, ...]:
        """Ask pg_attribute, which knows pgvector's dimensions; look into JSON columns."""
        found = self._all(
            "SELECT a.attname, format_type(a.atttypid, a.atttypmod), EXISTS (SELECT FROM pg_index i "
            "WHERE i.indrelid = a.attrelid AND i.indisprimary AND i.indnkeyatts = 1 AND a.attnum = i.indkey[0]) "
            "FROM pg_attribute a WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped "
            "ORDER BY a.attnum",
            [self._quoted],
        )
        return tuple(Column(name, kind, _kind(kind), is_key, self._keys(name, kind)) for name, kind, is_key in found)

    def documents(self, roles: Roles) -> str | None:
        """Follow the foreign key of the document column."""
        found = self._all(
            "SELECT c.confrelid::regclass::text, f.attname FROM pg_constraint c "
            "JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1] "
            "JOIN pg_attribute f ON f.attrelid = c.confrelid AND f.attnum = c.confkey[1] "
            "WHERE c.contype = 'f' AND c.conrelid = %s::regclass AND cardinality(c.conkey) = 1 AND a.attname = %s",
            [self._quoted, roles.get("document")],
        )
        return ".".join(found[0]) if found else None

    def dimension(self, roles: Roles) -> int | None:
        """Read the type modifier: `vector(384)`."""
        declared = next((one.type for one in self._columns if one.name == roles["vector"]), "")
        inside = declared.partition("(")[2].rstrip(")")
        return int(inside) if declared.startswith(VECTORS) and inside else None

    def count(self) -> int:
        from psycopg import sql

        return int(self._all(sql.SQL("SELECT count(*) FROM {}{}").format(self._from, self._where()))[0][0])

    def scan(self, roles: Roles, rows: int) -> Iterator[pa.RecordBatch]:
        """Stream through a server-side cursor."""
        import psycopg

        query = self._select(roles, self._where())
        try:
            with self._connection.cursor(name="rag_assets_scan") as cursor:
                cursor.execute(query, binary=True)
                while fetched := cursor.fetchmany(rows):
                    yield _batch(roles, fetched)
        except psycopg.Error as error:
            raise AdoptionError(f"{self.name} cannot be read: {_said(error)}") from error

    def take(self, roles: Roles, keys: Sequence[str]) -> pa.RecordBatch:
        from psycopg import sql

        kind = next((one.type for one in self._columns if one.name == roles["key"]), "text")
        wanted = sql.SQL("{} = ANY ({}::text[]{})").format(
            self._value(roles["key"]),
            list(keys),
            sql.SQL(f"::{kind}[]"),  # type: ignore[arg-type]  # the catalogue's own word
        )
        return _batch(roles, self._all(self._select(roles, self._where(wanted)), binary=True))

    def document_ids(self, documents: str, rows: int) -> Iterator[list[str]]:
        import psycopg
        from psycopg import sql

        table, _, column = documents.rpartition(".")
        try:
            with self._connection.cursor(name="rag_assets_documents") as cursor:
                query = sql.SQL("SELECT {}::text FROM {}")
                cursor.execute(query.format(sql.Identifier(column), sql.Identifier(*table.split("."))))
                while fetched := cursor.fetchmany(rows):
                    yield [one for (one,) in fetched if one is not None]
        except psycopg.Error as error:
            raise AdoptionError(f"documents {documents} cannot be read: {_said(error)}") from error

    def close(self) -> None:
        self._connection.close()

    @property
    def _quoted(self) -> str:
        return self._from.as_string(self._connection)

    @property
    def _from(self) -> "sql.Identifier":
        from psycopg import sql

        return sql.Identifier(self._schema, self._table)

    def _where(self, *conditions: "sql.Composable") -> "sql.Composable":
        from psycopg import sql

        mine = [sql.SQL("collection_id = {}").format(self._collection)] if self._collection else []
        every = [*mine, *conditions]
        return sql.SQL(" WHERE ") + sql.SQL(" AND ").join(every) if every else sql.SQL("")

    def _select(self, roles: Roles, where: "sql.Composable") -> "sql.Composed":
        """Compose a query of one column a role, in the order of `roles`."""
        from psycopg import sql

        types = {one.name: one.type for one in self._columns}
        values: list[sql.Composable] = []
        for role, column in roles.items():
            value, kind = self._value(column), types.get(column, "")
            if role in ("changed", "embedded") and _kind(kind) == "time":
                values.append(sql.SQL("extract(epoch from {})::float8").format(value))
            elif role == "vector" and _kind(kind) == "vector":
                values.append(value if kind.startswith("vector") else sql.SQL(_PLAIN[_base(kind)]).format(value))
            else:
                values.append(sql.SQL("{}::text").format(value))
        return sql.SQL("SELECT {} FROM {}{}").format(sql.SQL(", ").join(values), self._from, where)

    def _value(self, column: str) -> "sql.Composable":
        from psycopg import sql

        name, _, path = column.partition(".")
        if column in {one.name for one in self._columns} or not path:
            return sql.Identifier(column)
        return sql.SQL("({}::jsonb #>> {})").format(sql.Identifier(name), path.split("."))

    def _keys(self, column: str, kind: str) -> tuple[str, ...]:
        from psycopg import sql

        if _kind(kind) != "json":
            return ()
        query = (
            "SELECT DISTINCT jsonb_object_keys(value) FROM (SELECT {}::jsonb AS value FROM {} LIMIT {}) AS seen "
            "WHERE jsonb_typeof(value) = 'object' ORDER BY 1"
        )
        found = self._all(sql.SQL(query).format(sql.Identifier(column), self._from, SEEN_ROWS))
        return tuple(name for (name,) in found)

    def _collection_id(self, collection: str) -> str:
        if self._table != LANGCHAIN:
            raise AdoptionError(f"--collection is for Qdrant and {LANGCHAIN}; {self._table} is one table: leave it out")
        known = self._all("SELECT name, uuid FROM langchain_pg_collection ORDER BY name")
        for name, found in known:
            if name == collection:
                return str(found)
        names = ", ".join(name for name, _ in known) or "none"
        raise AdoptionError(f"{self._table}: there is no collection {collection!r}; there are: {names}")

    def _all(self, query: Any, values: Sequence[Any] = (), *, binary: bool = False) -> list[tuple[Any, ...]]:
        import psycopg

        try:
            with self._connection.cursor(binary=binary) as cursor:
                return cursor.execute(query, values or None).fetchall()
        except psycopg.Error as error:
            raise AdoptionError(f"PostgreSQL: {_said(error)}") from error


_PLAIN: dict[str, LiteralString] = {
    "halfvec": "{}::vector",
    "sparsevec": "{}::vector",
    "real[]": "{}",
    "double precision[]": "{}::real[]",
    "numeric[]": "{}::real[]",
}


def _choose(connection: "psycopg.Connection[Any]", table: str | None) -> tuple[str, str]:
    with connection.cursor() as cursor:
        found = cursor.execute(
            "SELECT n.nspname, c.relname, bool_or(format_type(a.atttypid, NULL) = ANY (%s)) FROM pg_class c "
            "JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid "
            "WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema') "
            "AND a.attnum > 0 GROUP BY 1, 2 ORDER BY 1, 2",
            [[*VECTORS, *ARRAYS]],
        ).fetchall()
    holding = [(str(schema), str(name)) for schema, name, holds in found if holds]
    listed = ", ".join(f"{schema}.{name}" for schema, name in holding) or "none"
    if table is None:
        if len(holding) == 1:
            return holding[0]
        raise AdoptionError(f"which table? Give --table NAME; tables with a vector column: {listed}")
    schema, _, name = table.rpartition(".")
    chosen = [one for one in found if one[1] == name and (not schema or one[0] == schema)]
    if len(chosen) != 1:
        problem = "there is no such table" if not chosen else f"several schemas have it; write {chosen[0][0]}.{name}"
        raise AdoptionError(f"table {table}: {problem}; tables with a vector column: {listed}")
    return str(chosen[0][0]), str(chosen[0][1])


def _base(kind: str) -> str:
    return kind.partition("(")[0].strip() if not kind.endswith("[]") else kind


def _kind(kind: str) -> Kind:
    base = _base(kind)
    if base in VECTORS or kind in ARRAYS:
        return "vector"
    if base in ("text", "character varying", "character", "citext"):
        return "text"
    if base in ("json", "jsonb"):
        return "json"
    if base in ("smallint", "integer", "bigint", "numeric"):
        return "number"
    return "time" if base.startswith(("timestamp", "date")) else "other"


def _batch(roles: Roles, fetched: Sequence[tuple[Any, ...]]) -> pa.RecordBatch:
    at = list(roles).index("vector")
    rows: list[Mapping[str, Any]] = [
        dict(zip(roles, [*row[:at], _vector(row[at]), *row[at + 1 :]], strict=True)) for row in fetched
    ]
    return batch_of(rows)


def _vector(value: Any) -> np.ndarray | None:
    """Read pgvector's binary form: two bytes of dimension, two unused, then big-endian float32."""
    if isinstance(value, bytes | memoryview):
        return np.frombuffer(value, ">f4", offset=4).astype(np.float32)
    return parse_vector(value)


def _said(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
