"""What the sources list now, and how a source's document is named in the corpus.

Reads sources only, never the store.
"""

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from resources.corpus import Corpus
from resources.parsing.base import parser_fingerprint
from resources.sources.base import Source, SourceItem
from resources.sources.fetching import SOURCES_AT_A_TIME, list_source

LISTING = pa.schema(
    [
        ("document_id", pa.string()),
        ("source", pa.string()),
        ("key", pa.string()),
        ("version", pa.string()),
        ("size", pa.int64()),
        ("modified", pa.string()),
        ("checksum", pa.string()),
        ("url", pa.string()),
        ("principals", pa.list_(pa.string())),
    ]
)
_ITEM = LISTING.names[2:]


def document_id(source: Source, key: str) -> str:
    """Return the id of a source's document: unique within a corpus, and the same wherever the corpus is built."""
    return f"{source.name}:{key}"


def document_fingerprint(corpus: Corpus, source: Source, media_type: str) -> str:
    """Return what a document of this type should carry: the source's options, the parser that reads it, the limit."""
    parser = parser_fingerprint(media_type, corpus.settings.parsing)
    return f"{source.fingerprint}:{parser}:{corpus.settings.max_characters}"


@dataclass(frozen=True)
class Listing:
    """What the sources list now, as LISTING has it. `empty` names the sources that list nothing."""

    table: pa.Table
    empty: frozenset[str]

    def items(self, source: str, ids: Collection[str]) -> list[SourceItem]:
        """Return what a source lists of these documents, in the order of their ids."""
        ours = self.table.filter(pc.equal(self.table["source"], source))
        chosen = ours.filter(pc.is_in(ours["document_id"], pa.array(list(ids), pa.string())))
        rows = chosen.sort_by("document_id").select(_ITEM).to_pylist()
        return [SourceItem(**row | {"principals": _principals(row["principals"])}) for row in rows]


def _principals(listed: list[str] | None) -> tuple[str, ...] | None:
    return None if listed is None else tuple(listed)


def read_listing(corpus: Corpus) -> Listing:
    """List every source of the corpus; SourceError when one cannot be reached."""
    with ThreadPoolExecutor(SOURCES_AT_A_TIME) as threads:
        listed = list(threads.map(list_source, corpus.sources))
    tables = [_table(source, items) for source, items in zip(corpus.sources, listed, strict=True)]
    empty = (source.name for source, items in zip(corpus.sources, listed, strict=True) if not items)
    return Listing(pa.concat_tables([LISTING.empty_table(), *tables]), frozenset(empty))


def _table(source: Source, items: Sequence[SourceItem]) -> pa.Table:
    columns: dict[str, list[Any]] = {name: [getattr(item, name) for item in items] for name in _ITEM}
    ids = [document_id(source, item.key) for item in items]
    return pa.table({"document_id": ids, "source": [source.name] * len(items), **columns}, schema=LISTING)
