"""The SQL that is sent to IRIS as SQLite executes it, and the catalogue that INFORMATION_SCHEMA shows."""

import functools
import re
import sqlite3
from array import array
from typing import Any

CATALOGUE = """
CREATE TABLE IF NOT EXISTS catalogue (TABLE_SCHEMA TEXT, TABLE_NAME TEXT, COLUMN_NAME TEXT, DATA_TYPE TEXT,
 CHARACTER_MAXIMUM_LENGTH INT, IS_NULLABLE TEXT, ORDINAL_POSITION INT, kind TEXT,
 UNIQUE (TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME))
"""
_INFORMATION = {
    "INFORMATION_SCHEMA.TABLES": "(SELECT DISTINCT TABLE_SCHEMA, TABLE_NAME FROM catalogue)",
    "INFORMATION_SCHEMA.COLUMNS": "catalogue",
}
_CREATE_TABLE = re.compile(r"\s*CREATE TABLE (\w+)\.(\w+) \((.*)\)\s*$", re.S)
_PUT = re.compile(r"INSERT OR UPDATE INTO (\S+) \(([^)]*)\) (VALUES .*)", re.S)
SUBSCRIPT_BYTES = 470


def register(connection: sqlite3.Connection) -> None:
    """Give a connection IRIS's collation and functions."""
    connection.create_collation("SQLUPPER", lambda a, b: (_upper(a) > _upper(b)) - (_upper(a) < _upper(b)))
    connection.create_function("TO_VECTOR", 2, _to_vector, deterministic=True)
    connection.create_function("VECTOR_DOT_PRODUCT", 2, _dot, deterministic=True)
    connection.create_function("vector_size", 1, _vector_size, deterministic=True)


def _upper(text: str) -> str:
    return text.rstrip(" ").upper()


def _to_vector(text: str, kind: str) -> bytes:
    if not isinstance(text, str):
        raise TypeError("TO_VECTOR takes text")
    return array("f" if kind == "FLOAT" else "d", map(float, text.strip("[]").split(","))).tobytes()


def _vector_size(value: bytes | None) -> int:
    return len(value) // 4 if value is not None else 0


def _dot(one: bytes, other: bytes) -> float:
    return sum(a * b for a, b in zip(array("f", one), array("f", other), strict=True))


@functools.lru_cache(1024)
def translate(text: str) -> str:
    """Return the statement for SQLite."""
    if found := _CREATE_TABLE.match(text):
        columns = [_column(one) for one in columns_of(found[3])]
        return f'CREATE TABLE "{found[1]}.{found[2]}" ({", ".join(columns)})'
    if text.startswith("CREATE INDEX"):
        text = text.replace(" ON TABLE ", " ON ", 1)
    if found := _PUT.match(text):
        names = [one.strip() for one in found[2].split(",")]
        changes = ", ".join(f"{one} = excluded.{one}" for one in names)
        text = f"INSERT INTO {found[1]} ({found[2]}) {found[3]} ON CONFLICT DO UPDATE SET {changes}"
    for name, shown in _INFORMATION.items():
        text = text.replace(name, shown)
    text = re.sub(r"%EXACT\((\w+)\)", r"\1 COLLATE BINARY", text)
    text = re.sub(r"\b(FLOAT|DOUBLE)\)", r"'\1')", text)
    text = re.sub(r"\b(?!excluded\b)([A-Za-z]\w*)\.([A-Za-z]\w*)\b(?!\()", r'"\1.\2"', text)
    text = text.replace("CHARACTER_LENGTH(", "length(")
    if top := re.match(r"\s*SELECT TOP (\d+) ", text):
        return f"SELECT {text[top.end() :]} LIMIT {top[1]}"
    return text


def columns_of(body: str) -> list[str]:
    """Return the parts of a table's definition, columns and keys."""
    return [one.strip() for one in re.split(r",\s*(?![^()]*\))", body)]


def _column(text: str) -> str:
    """Return a column's definition with the checks that IRIS makes; a key's parts stay within a subscript."""
    if text.startswith("PRIMARY KEY"):
        return text
    name, kind = text.split()[:2]
    if kind.startswith("VECTOR"):
        size = re.search(r"(\d+)\)", text)
        return f"{name} BLOB CHECK ({name} IS NULL OR vector_size({name}) = {size[1] if size else 0})"
    rest = " NOT NULL" if "NOT NULL" in text else ""
    if limit := re.match(r"VARCHAR\((\d+)\)", kind):
        collation = "BINARY" if "%EXACT" in text else "SQLUPPER"
        key = f" AND length(CAST({name} AS BLOB)) <= {SUBSCRIPT_BYTES}" if rest else ""
        fits = f"typeof({name}) IN ('text', 'null') AND length({name}) <= {limit[1]}{key}"
        return f"{name} TEXT COLLATE {collation}{rest} CHECK ({name} IS NULL OR ({fits}))"
    types = {"LONGVARCHAR": "text", "LONGVARBINARY": "blob", "INTEGER": "integer", "BIGINT": "integer"}
    bound = f" AND ({name} BETWEEN -2147483648 AND 2147483647)" if kind == "INTEGER" else ""
    return f"{name}{rest} CHECK ({name} IS NULL OR (typeof({name}) = '{types[kind]}'{bound}))"


def described(text: str) -> list[tuple[Any, ...]]:
    """Return the catalogue's rows for the table that a statement creates; a vector shows as varchar there."""
    found = _CREATE_TABLE.match(text)
    rows: list[tuple[Any, ...]] = []
    for position, one in enumerate(columns_of(found[3]) if found else ()):
        if found and not one.startswith("PRIMARY KEY"):
            name, kind = one.split()[:2]
            size = re.search(r"\((\d+)\)", kind)
            shown = "varchar" if kind.startswith("VECTOR") else kind.split("(")[0].lower()
            nullable = "NO" if "NOT NULL" in one else "YES"
            rows.append((found[1], found[2], name, shown, int(size[1]) if size else None, nullable, position + 1, kind))
    return rows
