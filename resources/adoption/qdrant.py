"""A Qdrant collection: a server, or a folder of the client's local mode. Only reading calls are made.

Payload fields are the columns, as the first points have them. A folder is opened by one process at a time, lies in
memory as a whole while it is open, and holds pickled points: open none that a stranger made.
"""

import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa

from resources.adoption.table import Column, Kind, Roles, at_path, batch_of
from resources.errors import AdoptionError

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

POINT_ID = "id"
UNNAMED = "vector"
SEEN_POINTS = 200
T = TypeVar("T")


def open_qdrant(location: str, collection: str | None) -> "QdrantTable":
    """Open `PATH`, `http://HOST:6333` or `https://…` (its key in QDRANT_API_KEY), and choose the collection."""
    try:
        from qdrant_client import QdrantClient
    except ImportError as error:
        raise AdoptionError("Qdrant needs the extra `qdrant`: pip install 'rag-assets[qdrant]'") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that local mode is not for many points, which its owner knows
        if "://" in location:
            key = os.environ.get("QDRANT_API_KEY")
            client = QdrantClient(url=location, api_key=key, timeout=60, check_compatibility=False)
        else:
            folder = Path(location).expanduser()
            if not (folder / "meta.json").is_file():
                raise AdoptionError(f"{folder} is no folder of Qdrant's local mode: it has no meta.json")
            client = _asked(location, lambda: QdrantClient(path=str(folder)))
    try:
        return QdrantTable(client, _choose(client, location, collection))
    except AdoptionError:
        client.close()
        raise


def _choose(client: "QdrantClient", location: str, collection: str | None) -> str:
    names = sorted(one.name for one in _asked(location, client.get_collections).collections)
    if collection in names:
        return str(collection)
    if collection is None and len(names) == 1:
        return names[0]
    problem = "which collection? Give --collection NAME" if collection is None else f"there is no {collection!r}"
    raise AdoptionError(f"Qdrant at {location}: {problem}; there are: {', '.join(names) or 'none'}")


class QdrantTable:
    """The points of one collection."""

    def __init__(self, client: "QdrantClient", collection: str) -> None:
        self._client, self.name = client, collection
        vectors = self._ask(lambda: client.get_collection(collection)).config.params.vectors
        named = vectors if isinstance(vectors, Mapping) else {UNNAMED: vectors}
        self._sizes = {name: int(one.size) for name, one in named.items() if one is not None}
        self._is_named = isinstance(vectors, Mapping)

    def columns(self) -> Sequence[Column]:
        payloads = [one.payload or {} for one in self._page(None, SEEN_POINTS, False)[0]]
        fields: dict[str, Any] = {}
        for payload in payloads:
            for name, value in payload.items():
                if fields.get(name) is None:
                    fields[name] = value
        return [
            Column(POINT_ID, "point id", "other", is_key=True),
            *(Column(name, f"{size} numbers", "vector") for name, size in self._sizes.items()),
            *(_column(name, value) for name, value in sorted(fields.items()) if name not in (POINT_ID, *self._sizes)),
        ]

    def documents(self, _: Roles) -> str | None:
        """Know no other collection: Qdrant has no foreign keys."""
        return None

    def dimension(self, roles: Roles) -> int | None:
        return self._sizes.get(roles["vector"])

    def count(self) -> int:
        return int(self._ask(lambda: self._client.count(self.name, exact=True)).count)

    def scan(self, roles: Roles, rows: int) -> Iterator[pa.RecordBatch]:
        """Scroll in the order of point ids."""
        offset = None
        while True:
            points, offset = self._page(offset, rows, True)
            if points:
                yield self._batch(roles, points)
            if offset is None:
                return

    def take(self, roles: Roles, keys: Sequence[str]) -> pa.RecordBatch:
        ids: list[int | str] = [int(one) if one.isdigit() else one for one in keys]
        found = self._ask(lambda: self._client.retrieve(self.name, ids, with_payload=True, with_vectors=True))
        return self._batch(roles, found)

    def document_ids(self, documents: str, rows: int) -> Iterator[list[str]]:
        """Read a payload field of another collection: `COLLECTION.FIELD`."""
        collection, _, field = documents.partition(".")
        offset = None
        while True:
            points, offset = self._page(offset, rows, False, collection)
            yield [str(value) for one in points if (value := _field(one, field)) is not None]
            if offset is None:
                return

    def close(self) -> None:
        self._client.close()

    def _page(self, offset: Any, points: int, vectors: bool, collection: str | None = None) -> tuple[list[Any], Any]:
        name = collection or self.name
        return self._ask(
            lambda: self._client.scroll(name, limit=points, offset=offset, with_payload=True, with_vectors=vectors)
        )

    def _batch(self, roles: Roles, points: Sequence[Any]) -> pa.RecordBatch:
        return batch_of([{role: self._value(one, column) for role, column in roles.items()} for one in points])

    def _value(self, point: Any, column: str) -> Any:
        if column in self._sizes:
            vector = point.vector
            return (vector or {}).get(column) if self._is_named else vector
        return _field(point, column)

    def _ask(self, call: Callable[[], T]) -> T:
        return _asked(self.name if hasattr(self, "name") else "", call)


def _asked(what: str, call: Callable[[], T]) -> T:
    """Make one call to the client; whatever it raises becomes one line."""
    import httpx
    from qdrant_client.http.exceptions import ApiException

    try:
        return call()
    except (ApiException, httpx.HTTPError, ValueError, RuntimeError, OSError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise AdoptionError(f"Qdrant, {what}: {said}") from error


def _field(point: Any, column: str) -> Any:
    if column == POINT_ID:
        return point.id
    payload = point.payload or {}
    if column in payload:
        return payload[column]
    return at_path(payload, column.split("."))


def _column(name: str, value: Any) -> Column:
    keys: tuple[str, ...] = ()
    if isinstance(value, str) and value.startswith("{"):
        try:
            parsed = json.loads(value)
        except ValueError:
            parsed = None
        value = parsed if isinstance(parsed, dict) else value
    if isinstance(value, dict):
        keys = tuple(sorted(value))
    kinds: dict[type, Kind] = {str: "text", dict: "json", int: "number"}
    return Column(name, type(value).__name__, kinds.get(type(value), "other"), keys=keys)
