"""What becomes of one document, as a row of the `documents` table: parsed, or unread, with its history of failures."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import structlog

from resources.corpus import Corpus
from resources.identity import digest
from resources.parsing.base import READABLE, ParsedDocument
from resources.reconciliation.duplicates import simhash
from resources.reconciliation.listing import document_fingerprint, document_id
from resources.reconciliation.waiting import next_try
from resources.sources.base import FetchFailure, Source, SourceItem
from resources.store.tables import DOCUMENTS

Row = dict[str, Any]

log = structlog.get_logger(__name__)


class RowMaker:
    """Makes rows for these documents, knowing how often each failed before."""

    def __init__(self, corpus: Corpus, ids: Sequence[str]) -> None:
        self._corpus = corpus
        stored = corpus.store.rows(DOCUMENTS, ("document_id", "attempts", "text_hash"))
        wanted = set(ids)
        pairs = zip(*(stored[name].to_pylist() for name in ("document_id", "attempts", "text_hash")), strict=True)
        known = [row for row in pairs if row[0] in wanted]
        self._attempts = {one: attempts for one, attempts, _ in known if attempts}
        self._readable = {one for one, _, text in known if text is not None}

    def parsed(self, source: Source, item: SourceItem, document: ParsedDocument) -> Row:
        """Return the row of a document that was fetched, whatever its parser made of it."""
        limit = self._corpus.settings.max_characters
        status, reason, failure = str(document.status), document.reason, document.failure
        if len(document.text) > limit:
            status, failure = "failed", "unsupported"
            reason = f"{len(document.text):,} characters of text are more than the {limit:,} that max_characters allows"
        ok = status in READABLE
        row = self._row(source, item, document.version, document.media_type) | {
            "status": status,
            "reason": reason,
            "bytes": document.bytes,
            "characters": len(document.text),
            "text_hash": digest("document", document.title or "", document.text) if ok else None,
            "title": document.title,
            "text": document.text if ok else None,
            "metadata": json.dumps(document.metadata, ensure_ascii=False, sort_keys=True),
            "content_hash": document.content_hash,
            "simhash": simhash(document.text) if ok else None,
        }
        return row | (self._failed(row["document_id"], failure) if failure else {})

    def unread(self, source: Source, item: SourceItem, failure: FetchFailure) -> Row:
        """Return the row of a document that could not be fetched; the text of an earlier version is kept."""
        one = document_id(source, item.key)
        failed = {"reason": failure.reason, **self._failed(one, failure.kind)}
        if one in self._readable:
            log.warning("a document cannot be fetched; its last version is kept", document=one, reason=failure.reason)
            [batch] = self._corpus.store.batches(DOCUMENTS, DOCUMENTS.schema.names, keys=[one])
            [row] = batch.to_pylist()
            return {**row, **failed}
        empty = {"status": "unread", "bytes": 0, "characters": 0}
        return self._row(source, item, item.version, "") | empty | failed

    def _failed(self, one: str, failure: str) -> Row:
        attempts = self._attempts.get(one, 0) + 1
        return {"failure": failure, "attempts": attempts, "next_try": next_try(failure, attempts, datetime.now(UTC))}

    def _row(self, source: Source, item: SourceItem, version: str, media_type: str) -> Row:
        same = version == item.version
        return {
            "document_id": document_id(source, item.key),
            "source": source.name,
            "key": item.key,
            "version": version,
            "fingerprint": document_fingerprint(self._corpus, source, media_type),
            "media_type": media_type,
            "modified": item.modified,
            "checksum": item.checksum if same else None,
            "url": item.url,
            "principals": list(item.principals) if item.principals is not None else None,
        }
