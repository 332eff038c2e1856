"""Rows of a table as IRIS is sent and sends them: Arrow in and out. No SQL, no connection."""

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from resources.errors import StoreError
from resources.store.iris.sql import KEY_BYTES, Column, Layout


def parameters(layout: Layout, rows: pa.Table, version: int) -> list[tuple[Any, ...]]:
    """Return what `Layout.put` is executed with, a tuple a row; StoreError names a key that is too long."""
    columns = [_sent(column, rows[column.field.name]) for column in layout.columns]
    columns.append([version] * rows.num_rows)
    if layout.vector:
        columns.append([vector_text(one) for one in rows["pooled"].to_pylist()])
    return list(zip(*columns, strict=True))


def check_keys(layout: Layout, rows: pa.Table) -> None:
    """Raise StoreError for a key or group that IRIS cannot hold."""
    for column in layout.columns:
        if column.kind.startswith(f"VARCHAR({KEY_BYTES})"):
            for value in rows[column.field.name].to_pylist():
                if value is None or not value or len(value.encode()) > KEY_BYTES or "\0" in value:
                    raise StoreError(
                        f"table {layout.table.name}: {column.field.name} {str(value)[:60]!r} is empty, holds a NUL, or "
                        f"is longer than the {KEY_BYTES} bytes that an IRIS key holds; shorten its name at the source"
                    )


def table(layout: Layout, columns: Sequence[Column], rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    """Return rows (key, columns, commit), as `Layout.page` selects them, as Arrow."""
    values = list(zip(*rows, strict=True))[1:-1] if rows else [()] * len(columns)
    arrays = [_received(column, one) for column, one in zip(columns, values, strict=True)]
    return pa.Table.from_arrays(arrays, schema=pa.schema([column.field for column in columns]))


def vector_text(vector: Sequence[float]) -> str:
    """Return a vector as `TO_VECTOR` reads it: 9 digits are exact for float32."""
    return ("%.9g," * len(vector))[:-1] % tuple(vector)


def _sent(column: Column, values: pa.ChunkedArray) -> list[Any]:
    kind = column.field.type
    if pa.types.is_fixed_size_list(kind):
        flat = values.combine_chunks().flatten().to_numpy()
        size = kind.list_size
        return [flat[start : start + size].tobytes() for start in range(0, len(flat), size)]
    plain: list[Any] = values.to_pylist()
    if pa.types.is_list(kind):
        return [None if one is None else json.dumps(one) for one in plain]
    return plain


def _received(column: Column, values: Sequence[Any]) -> pa.Array:
    kind = column.field.type
    if pa.types.is_fixed_size_list(kind):
        width = kind.list_size * 4
        if any(one is None or len(one) != width for one in values):
            raise StoreError(f"a vector in {column.name} has not the {width} bytes that it should have")
        flat = pa.Array.from_buffers(pa.float32(), len(values) * kind.list_size, [None, pa.py_buffer(b"".join(values))])
        return pa.FixedSizeListArray.from_arrays(flat, type=kind)
    if pa.types.is_list(kind):
        return pa.array([None if one is None else json.loads(one) for one in values], kind)
    return pa.array(values, kind)
