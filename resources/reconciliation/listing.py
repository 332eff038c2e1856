"""What the sources list now, and how a source's document is named in the corpus.

Reads sources only, never the store.
"""

from dataclasses import dataclass

import pyarrow as pa

from resources.corpus import Corpus
from resources.parsing.base import parser_fingerprint
from resources.sources.base import Source

LISTING = pa.schema(
    [("document_id", pa.string()), ("source", pa.string()), ("key", pa.string()), ("version", pa.string())]
)


def document_id(source: Source, key: str) -> str:
    """Return the id of a source's document: unique within a corpus, and the same wherever the corpus is built."""
    return f"{source.name}:{key}"


def document_fingerprint(corpus: Corpus, source: Source, media_type: str) -> str:
    """Return what a document of this type should carry: the source's options, the parser that reads it, the limit."""
    parser = parser_fingerprint(media_type, corpus.settings.parsing)
    return f"{source.fingerprint}:{parser}:{corpus.settings.max_characters}"


@dataclass(frozen=True)
class Listing:
    """What the sources list now: document_id, source, key, version. `empty` names the sources that list nothing."""

    table: pa.Table
    empty: frozenset[str]


def read_listing(corpus: Corpus) -> Listing:
    """List every source of the corpus; SourceError when one cannot be reached."""
    rows: dict[str, list[str]] = {name: [] for name in LISTING.names}
    empty = set()
    for source in corpus.sources:
        before = len(rows["key"])
        for item in source.discover():
            rows["document_id"].append(document_id(source, item.key))
            rows["source"].append(source.name)
            rows["key"].append(item.key)
            rows["version"].append(item.version)
        if len(rows["key"]) == before:
            empty.add(source.name)
    return Listing(pa.table(rows, schema=LISTING), frozenset(empty))
