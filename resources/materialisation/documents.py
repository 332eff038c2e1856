"""The `documents` asset: what the sources list is fetched, parsed and stored; what they no longer list is removed.

Every outcome is a row: ok, partial, empty, failed (cannot be parsed), hostile or unread (could not be fetched, tried
again next time; a version that was read before is kept meanwhile).
Removals take effect on live at once, before anything is rebuilt. Not here: how a source is read or a format parsed.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import structlog

from resources.corpus import Corpus
from resources.errors import StoreError
from resources.identity import digest, set_digest
from resources.materialisation.base import Materialised, shards_for, share, some
from resources.observability.progress import track
from resources.parsing.base import READABLE, parse
from resources.reconciliation.listing import document_fingerprint, document_id
from resources.reconciliation.observe import SystemState
from resources.sources.base import FetchFailure, RawDocument, Source
from resources.sources.fetching import ByteBudget, fetch_all
from resources.store.tables import DOCUMENTS
from resources.store.writer import CorpusWriter

PER_SHARD = 20_000
COMMIT_ROWS = 512
COMMIT_CHARACTERS = 16 << 20

Row = dict[str, Any]

log = structlog.get_logger(__name__)


def plan(corpus: Corpus, writer: CorpusWriter) -> int:
    """Remove what is gone, from live first, and count what is to be fetched."""
    state = SystemState(corpus)
    diff = state.documents
    writer.remove_documents(_served(state, diff.gone))
    writer.delete(DOCUMENTS, diff.gone)
    return shards_for(len(diff.fetch), PER_SHARD)


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
    wanted = share(state.documents.fetch, shard, shards)
    with track("documents", len(wanted)) as progress:
        for rows in _commits(_rows(corpus, state, wanted)):
            writer.upsert(DOCUMENTS, pa.Table.from_pylist(rows, schema=DOCUMENTS.schema))
            progress.advance(len(rows))


def _rows(corpus: Corpus, state: SystemState, wanted: Sequence[str]) -> Iterator[Row]:
    kept = set(state.searchable["document_id"].to_pylist())
    budget = ByteBudget(corpus.settings.parsing.in_flight_mb << 20)
    jobs = [(source, state.listing.items(source.name, wanted)) for source in corpus.sources]
    for source, item, raw in fetch_all(jobs, budget=budget):
        if not isinstance(raw, FetchFailure):
            yield _parsed(corpus, source, raw)
        elif (one := document_id(source, raw.key)) in kept:
            log.warning("a document cannot be fetched; its last version is kept", document=one, reason=raw.reason)
        else:
            yield _unread(corpus, source, raw, item.version)


def _parsed(corpus: Corpus, source: Source, raw: RawDocument) -> Row:
    document, limit = parse(raw, corpus.settings.parsing), corpus.settings.max_characters
    status: str = document.status
    reason = document.reason
    if len(document.text) > limit:
        status = "failed"
        reason = f"{len(document.text):,} characters of text are more than the {limit:,} that max_characters allows"
    ok = status in READABLE
    return _row(corpus, source, raw.key, raw.version, document.media_type) | {
        "status": status,
        "reason": reason,
        "bytes": len(raw.data),
        "characters": len(document.text),
        "text_hash": digest("document", document.title or "", document.text) if ok else None,
        "title": document.title,
        "text": document.text if ok else None,
        "metadata": json.dumps(document.metadata, ensure_ascii=False, sort_keys=True),
    }


def _unread(corpus: Corpus, source: Source, failure: FetchFailure, listed: str) -> Row:
    outcome = {"status": "unread", "reason": failure.reason, "bytes": 0, "characters": 0}
    return _row(corpus, source, failure.key, listed, "") | outcome


def _row(corpus: Corpus, source: Source, key: str, version: str, media_type: str) -> Row:
    return {
        "document_id": document_id(source, key),
        "source": source.name,
        "key": key,
        "version": version,
        "fingerprint": document_fingerprint(corpus, source, media_type),
        "media_type": media_type,
    }


def _commits(rows: Iterator[Row]) -> Iterator[list[Row]]:
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
    stored = corpus.store.rows(DOCUMENTS, ("document_id", "status", "text_hash", "characters", "bytes"))
    state = SystemState(corpus)
    if left := state.documents.missing:
        raise StoreError(f"corpus {corpus.name}: {len(left)} documents are listed but were not stored: {some(left)}")
    statuses = stored["status"].to_pylist()
    texts = [
        f"{one}:{text}"
        for one, text in zip(stored["document_id"].to_pylist(), stored["text_hash"].to_pylist(), strict=True)
    ]
    return Materialised(
        stored.num_rows,
        set_digest(texts),
        {
            **{status: statuses.count(status) for status in ("ok", "partial", "empty", "failed", "hostile", "unread")},
            "characters": pc.sum(stored["characters"]).as_py() or 0,
            "bytes": pc.sum(stored["bytes"]).as_py() or 0,
            "short_of_target": state.documents.short,
        },
    )
