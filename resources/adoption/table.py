"""What a foreign table is to the audit: columns by role, and rows in bounded batches. Each database has its module.

Nothing here, and nothing in those modules, can write: connections are opened read-only where the database knows that.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

import numpy as np
import pyarrow as pa

Role = Literal["key", "document", "text", "vector", "ordinal", "hash", "changed", "embedded"]
Roles = Mapping[str, str]
"""Role → column. A column may be a path into a JSON column: `metadata.source`."""
Kind = Literal["vector", "text", "json", "number", "time", "other"]

ROLES: dict[str, str] = {
    "key": "what identifies a row",
    "document": "the document that the row was cut from",
    "text": "what was embedded",
    "vector": "the embedding",
    "ordinal": "the row's number within its document",
    "hash": "md5, sha1 or sha256 of the text that was embedded",
    "changed": "when the text was changed last",
    "embedded": "when it was embedded",
}
NEEDED = ("key", "text", "vector")

SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("document", pa.string()),
        ("text", pa.large_string()),
        ("vector", pa.large_list(pa.float32())),
        ("ordinal", pa.int64()),
        ("hash", pa.string()),
        ("changed", pa.float64()),
        ("embedded", pa.float64()),
    ]
)
"""A batch: a role that is not mapped, or a value that is not there, is null. Times are seconds since 1970."""


@dataclass(frozen=True)
class Column:
    """A column as the catalogue describes it. `type` is the database's own word; `is_key`: it alone identifies rows.

    `keys`: what the first rows of a JSON column hold.
    """

    name: str
    type: str
    kind: Kind
    is_key: bool = False
    keys: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name} ({self.type}{': ' if self.keys else ''}{', '.join(self.keys)})"


class ForeignTable(Protocol):
    """One table or collection. Every method raises AdoptionError when it cannot be read."""

    name: str

    def columns(self) -> Sequence[Column]:
        """Return what the catalogue says, in its order."""
        ...

    def documents(self, roles: Roles) -> str | None:
        """Return where the documents' own table keeps their ids (`TABLE.COLUMN`), when the catalogue tells."""
        ...

    def dimension(self, roles: Roles) -> int | None:
        """Return the dimension that the vector column declares, None when it leaves it open."""
        ...

    def count(self) -> int:
        """Return the number of rows."""
        ...

    def scan(self, roles: Roles, rows: int) -> Iterator[pa.RecordBatch]:
        """Yield every row once, at most `rows` at a time, as `SCHEMA`."""
        ...

    def take(self, roles: Roles, keys: Sequence[str]) -> pa.RecordBatch:
        """Return the rows with these keys, in any order, as `SCHEMA`."""
        ...

    def document_ids(self, documents: str, rows: int) -> Iterator[list[str]]:
        """Yield the ids in the documents' own table (`TABLE.COLUMN`), at most `rows` at a time."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


def batch_of(rows: Sequence[Mapping[str, Any]]) -> pa.RecordBatch:
    """Make a batch of rows (role → value as a driver returns it)."""
    arrays = []
    for name, kind in zip(SCHEMA.names, SCHEMA.types, strict=True):
        values: list[Any] = [_CONVERT[name](one.get(name)) for one in rows]
        arrays.append(_vectors(values) if name == "vector" else pa.array(values, kind))
    return pa.record_batch(arrays, schema=SCHEMA)


def _vectors(vectors: Sequence[np.ndarray | None]) -> pa.Array:
    """Return float32 vectors of any lengths as one array; None becomes null."""
    lengths = [0 if one is None else len(one) for one in vectors]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    present = [one for one in vectors if one is not None]
    values = np.concatenate(present) if present else np.empty(0, np.float32)
    mask = pa.array([one is None for one in vectors], pa.bool_())
    return pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(values, pa.float32()), mask=mask)


def parse_vector(value: Any) -> np.ndarray | None:
    """Return a vector as float32 from what drivers make of one: a list, an array, or text (`[0.1,0.2]`, `0.1,0.2`).

    None when there is none; an empty array when the value is no vector at all.
    """
    if value is None or isinstance(value, np.ndarray):
        return value
    try:
        if hasattr(value, "read"):
            value = value.read()
        if isinstance(value, str):
            numbers = value.strip().strip("[]{}()")
            return np.array(numbers.split(","), np.float32) if numbers else np.empty(0, np.float32)
        vector = np.array(value, np.float32)
    except (TypeError, ValueError):
        return np.empty(0, np.float32)
    return vector if vector.ndim == 1 else np.empty(0, np.float32)


def at_path(value: Any, path: Sequence[str]) -> Any:
    """Return what lies under a path in JSON, as text or parsed; None when there is nothing."""
    for name in path:
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError:
                return None
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def _text(value: Any) -> str | None:
    if hasattr(value, "read"):
        value = value.read()
    if value is None or isinstance(value, str):
        return value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _number(value: Any) -> int | None:
    try:
        return None if value is None else int(value)
    except (TypeError, ValueError):
        return None


def _time(value: Any) -> float | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    return float(value) if isinstance(value, int | float) else None


_CONVERT: dict[str, Callable[[Any], Any]] = {
    "key": _text,
    "document": _text,
    "text": _text,
    "vector": parse_vector,
    "ordinal": _number,
    "hash": _text,
    "changed": _time,
    "embedded": _time,
}
