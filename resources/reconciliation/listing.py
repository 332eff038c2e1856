"""What the sources list now, and how a source's document is named in the corpus.

Reads sources only, never the store.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import structlog

from resources.corpus import Corpus
from resources.parsing.registry import parser_fingerprint
from resources.reconciliation.suppression import without_suppressed
from resources.sources.base import EvaluationSource, Source, SourceItem
from resources.sources.failures import ReadError
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

log = structlog.get_logger(__name__)
_ITEM = LISTING.names[2:]
LISTING_NAMES = pa.schema([LISTING.field(name) for name in ("document_id", "source", "version")])


def document_id(source: Source, key: str) -> str:
    """Return the id of a source's document: unique within a corpus, and the same wherever the corpus is built."""
    return f"{source.name}:{key}"


def document_fingerprint(corpus: Corpus, source: Source, media_type: str) -> str:
    """Return what a document of this type should carry: the source's options, the parser that reads it, the limit."""
    parser = parser_fingerprint(media_type, corpus.settings.parsing)
    return f"{source.fingerprint}:{parser}:{corpus.settings.max_characters}"


def judged_sources(corpus: Corpus) -> list[str]:
    """Return the names of the sources whose documents are judged one by one."""
    return [source.name for source in corpus.sources if isinstance(source, EvaluationSource)]


@dataclass(frozen=True)
class Listing:
    """What the sources list now, as LISTING has it.

    `empty` names the sources that list nothing, `unreachable` those that cannot be listed, with the reason.
    """

    table: pa.Table
    empty: frozenset[str]
    unreachable: Mapping[str, ReadError]

    def with_unreachable(self, stored: pa.Table) -> pa.Table:
        """Return document_id, source and version as listed, and as stored of sources that cannot be listed.

        What cannot be seen is taken to be as it was, so a target counts it and nothing of it is removed.
        """
        names = ["document_id", "source", "version"]
        unseen = stored.filter(pc.is_in(stored["source"], pa.array(list(self.unreachable), pa.string())))
        parts = (self.table.select(names), unseen.select(names))
        return pa.concat_tables([part.cast(LISTING_NAMES) for part in parts])

    def items(self, source: str, ids: Collection[str]) -> list[SourceItem]:
        """Return what a source lists of these documents, in the order of their ids."""
        ours = self.table.filter(pc.equal(self.table["source"], source))
        chosen = ours.filter(pc.is_in(ours["document_id"], pa.array(list(ids), pa.string())))
        rows = chosen.sort_by("document_id").select(_ITEM).to_pylist()
        return [SourceItem(**row | {"principals": _principals(row["principals"])}) for row in rows]


def _principals(listed: list[str] | None) -> tuple[str, ...] | None:
    return None if listed is None else tuple(listed)


_run: ContextVar[str | None] = ContextVar("run", default=None)
_last: dict[tuple[str, str, Path], Listing] = {}


@contextmanager
def listing_once(run: str) -> Iterator[None]:
    """List each source once for all the steps of a run that this process takes, those that cannot be listed included.

    So shards and checks speak of the same documents, and an outage is waited for once. Another process lists anew.
    """
    token = _run.set(run)
    try:
        yield
    finally:
        _run.reset(token)


_listed_by: ContextVar[Callable[[Corpus], Listing] | None] = ContextVar("listed_by", default=None)


@contextmanager
def listing_by(read: Callable[[Corpus], Listing]) -> Iterator[None]:
    """Let `read` list the sources for every look within the block, by `list_sources` when it sees fit."""
    token = _listed_by.set(read)
    try:
        yield
    finally:
        _listed_by.reset(token)


def read_listing(corpus: Corpus) -> Listing:
    """Return what the sources of the corpus list, as the block decides that this is in (`listing_once`, `listing_by`).

    What was erased is left out, whenever that was.
    """
    listed_by = _listed_by.get()
    if listed_by is not None:
        found = listed_by(corpus)
        return replace(found, table=without_suppressed(corpus.store, found.table))
    run = _run.get()
    key = (run or "", corpus.name, corpus.base)
    known = _last.get(key) if run is not None else None
    found = known or list_sources(corpus)
    if run is not None and known is None:
        _last.clear()
        _last[key] = found
    return replace(found, table=without_suppressed(corpus.store, found.table))


def list_sources(corpus: Corpus) -> Listing:
    """List every source of the corpus, several at a time; one that cannot be listed does not keep the others."""
    with ThreadPoolExecutor(SOURCES_AT_A_TIME) as threads:
        listed = list(threads.map(_listed, corpus.sources))
    found = list(zip(corpus.sources, listed, strict=True))
    unreachable = {source.name: items for source, items in found if isinstance(items, ReadError)}
    for name, error in unreachable.items():
        log.warning("a source cannot be listed", source=name, failure=error.kind, reason=str(error))
    tables = [_table(source, items) for source, items in found if not isinstance(items, ReadError)]
    empty = frozenset(source.name for source, items in found if items == [])
    return Listing(pa.concat_tables([LISTING.empty_table(), *tables]), empty, unreachable)


def _listed(source: Source) -> list[SourceItem] | ReadError:
    try:
        return list_source(source)
    except ReadError as error:
        return error


def _table(source: Source, items: Sequence[SourceItem]) -> pa.Table:
    columns: dict[str, list[Any]] = {name: [getattr(item, name) for item in items] for name in _ITEM}
    ids = [document_id(source, item.key) for item in items]
    return pa.table({"document_id": ids, "source": [source.name] * len(items), **columns}, schema=LISTING)
