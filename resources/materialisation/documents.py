"""The `documents` asset: what the sources list is fetched, parsed and stored; what they no longer list is removed.

Its phases: initialise and discover (`plan`: sources are opened and listed, removals and moves take effect), ingest
(`do`: fetched by threads, parsed by processes), complete (`seal`); the asset's checks are the audit. Every outcome is a
row. Not here: how a source is read (`resources.sources`), a format parsed, or a row made (`rows`).
"""

from collections.abc import Iterator
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import structlog

from resources.corpus import Corpus
from resources.errors import StoreError
from resources.identity import set_digest
from resources.materialisation import moves, originals
from resources.materialisation.base import Materialised, share, some
from resources.materialisation.recovery import recover_documents
from resources.materialisation.rows import Row, RowMaker
from resources.observability.logging import in_this_context
from resources.observability.progress import SourceProgress, track, track_sources
from resources.parsing.base import READABLE, RawDocument
from resources.parsing.pool import parser_pool
from resources.reconciliation.listing import document_id
from resources.reconciliation.observe import SystemState
from resources.sources.base import FetchFailure, Source, SourceItem
from resources.sources.fetching import ByteBudget, fetch_all
from resources.store.tables import DOCUMENTS
from resources.store.writer import CorpusWriter

COMMIT_ROWS = 512
COMMIT_CHARACTERS = 16 << 20
STATUSES = ("ok", "partial", "empty", "failed", "hostile", "unread", "forgotten")

Jobs = list[tuple[Source, list[SourceItem]]]

log = structlog.get_logger(__name__)


def plan(corpus: Corpus, writer: CorpusWriter) -> int:
    """Remove what is gone, from live first, give what moved its new place, and count what is to be fetched."""
    recover_documents(corpus, writer)
    state = SystemState(corpus)
    log.info("phase", phase="discover", listed=state.listing.table.num_rows, sources=len(corpus.sources))
    diff = state.documents
    if state.live is not None:
        writer.remove_documents(_served(state, diff.gone))
    moved = moves.find(state)
    for rows in commits(moves.rows(corpus, moved)):
        writer.upsert(DOCUMENTS, pa.Table.from_pylist(rows, schema=DOCUMENTS.schema))
    writer.delete(DOCUMENTS, diff.gone)
    return writer.allowance.shards(len(set(diff.fetch).difference(moved)))


def _served(state: SystemState, ids: list[str]) -> list[str]:
    """Return those documents that live may serve; all of them when live cannot be read."""
    tables = state.live_tables
    if tables is None:
        return ids
    found = tables.documents.filter(pc.is_in(tables.documents["status"], pa.array(READABLE)))["document_id"].to_pylist()
    return sorted(set(ids).intersection(found))


def do(corpus: Corpus, writer: CorpusWriter, shard: int, shards: int) -> None:
    """Fetch, parse and store this shard's documents."""
    state = SystemState(corpus)
    again = set(state.documents.retry)
    ours = sorted(share(state.documents.fetch, shard, shards), key=lambda one: (one in again, one))
    wanted = writer.allowance.documents(ours, shards)
    jobs = [(source, state.listing.items(source.name, wanted)) for source in corpus.sources]
    with track("documents", sum(len(items) for _, items in jobs)) as progress:
        for rows in commits(_ingest(corpus, state, jobs)):
            writer.upsert(DOCUMENTS, pa.Table.from_pylist(rows, schema=DOCUMENTS.schema))
            progress.advance(len(rows))
            writer.allowance.check()


def _ingest(corpus: Corpus, state: SystemState, jobs: Jobs) -> Iterator[Row]:
    """Yield a row for every listed document: parsed, or why there is nothing to parse."""
    maker = RowMaker(corpus, [document_id(source, item.key) for source, items in jobs for item in items])
    listed = {document_id(source, item.key): (source, item) for source, items in jobs for item in items}
    failures: SimpleQueue[Row] = SimpleQueue()
    sizes = {source.name: (len(items), sum(item.size or 0 for item in items)) for source, items in jobs}
    with track_sources("ingest", sizes) as progress, parser_pool(corpus.settings.parsing) as pool:
        raws = in_this_context(_raws(corpus, jobs, maker, failures, progress))
        for parsed in pool.parse(raws):
            yield from _drained(failures)
            source, item = listed[parsed.key]
            yield maker.parsed(source, item, parsed)
        yield from _drained(failures)


def _raws(
    corpus: Corpus,
    jobs: Jobs,
    maker: RowMaker,
    failures: "SimpleQueue[Row]",
    progress: SourceProgress,
) -> Iterator[RawDocument]:
    """Yield documents under their corpus-wide ids, and put failures aside."""
    budget = ByteBudget(corpus.settings.parsing.in_flight_mb << 20)
    for source, item, fetched in fetch_all(jobs, budget=budget):
        if isinstance(fetched, FetchFailure):
            failures.put(maker.unread(source, item, fetched))
        else:
            if corpus.settings.keep_originals or source.keeps_originals:
                originals.keep(corpus, fetched.data)
            yield replace(fetched, key=document_id(source, item.key))
        progress.advance(source.name, 1, 0 if isinstance(fetched, FetchFailure) else len(fetched.data))


def _drained(failures: "SimpleQueue[Row]") -> Iterator[Row]:
    while True:
        try:
            yield failures.get_nowait()
        except Empty:
            return


def commits(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """Group rows so that a commit is bounded in rows and in text, whatever the size of a document."""
    group: list[Row] = []
    characters = 0
    for row in rows:
        group.append(row)
        characters += row["characters"]
        if len(group) >= COMMIT_ROWS or characters >= COMMIT_CHARACTERS:
            yield group
            group, characters = [], 0
    if group:
        yield group


def seal(corpus: Corpus, writer: CorpusWriter) -> Materialised:
    """Count the outcomes. A document that changed while it was read is found by the next look."""
    columns = ("document_id", "source", "status", "text_hash", "characters", "bytes")
    stored = corpus.store.rows(DOCUMENTS, columns)
    state = SystemState(corpus)
    left = state.documents.missing
    if left and writer.allowance.max_documents is None:
        raise StoreError(f"corpus {corpus.name}: {len(left)} documents are listed but were not stored: {some(left)}")
    texts = [
        f"{one}:{text}"
        for one, text in zip(stored["document_id"].to_pylist(), stored["text_hash"].to_pylist(), strict=True)
    ]
    counts = _outcomes(stored)
    log.info("phase", phase="complete", documents=stored.num_rows, sources=counts)
    return Materialised(
        stored.num_rows,
        set_digest(texts),
        {
            **{status: sum(one.get(status, 0) for one in counts.values()) for status in STATUSES},
            "duplicates": stored.num_rows - stored["text_hash"].null_count - state.searchable.num_rows,
            "characters": pc.sum(stored["characters"]).as_py() or 0,
            "bytes": pc.sum(stored["bytes"]).as_py() or 0,
            "short_of_target": state.documents.short,
            "unreachable_sources": len(state.listing.unreachable),
        },
    )


def _outcomes(stored: pa.Table) -> dict[str, dict[str, Any]]:
    """Return how many documents of each source came out how."""
    counts: dict[str, dict[str, Any]] = {}
    grouped = stored.group_by(["source", "status"]).aggregate([("document_id", "count")])
    for row in grouped.to_pylist():
        counts.setdefault(row["source"], {})[row["status"]] = row["document_id_count"]
    return counts
