"""Documents that could not be read, as a person sees them: which, why, since how many attempts; try again, or give up.

They are rows of the documents table and nothing else. When a failure is tried again by itself is said in
`resources.reconciliation.waiting`.
"""

from collections.abc import Callable, Collection
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from resources.corpus import Corpus
from resources.errors import RagAssetsError
from resources.parsing.base import READABLE
from resources.store.snapshots import now
from resources.store.tables import DOCUMENTS
from resources.store.writer import CorpusWriter

COLUMNS = ("document_id", "source", "status", "failure", "reason", "attempts", "next_try")
LISTED = ("partial", "empty", "failed", "hostile", "unread", "forgotten")


def quarantined(corpus: Corpus) -> list[dict[str, Any]]:
    """Return every document that was not read as it should be, with the reason; `ok` ones whose next version failed
    are among them.
    """
    rows = corpus.store.rows(DOCUMENTS, COLUMNS)
    wrong = pc.or_(pc.is_in(rows["status"], pa.array(LISTED)), pc.is_valid(rows["failure"]))
    found: list[dict[str, Any]] = rows.filter(wrong).sort_by("document_id").to_pylist()
    return found


def retry(corpus: Corpus, writer: CorpusWriter, ids: Collection[str]) -> list[str]:
    """Make these documents (all that failed, without any) due now, and return their ids."""
    failed = [one for one in quarantined(corpus) if one["status"] not in ("partial", "empty", "forgotten")]
    return _change(corpus, writer, ids or [one["document_id"] for one in failed], _due)


def forget(corpus: Corpus, writer: CorpusWriter, ids: Collection[str]) -> list[str]:
    """Stop trying these documents, and counting them as failed, until they change at their source; return their ids."""
    return _change(corpus, writer, ids, _given_up)


def _due(row: dict[str, Any]) -> dict[str, Any]:
    status = "unread" if row["status"] == "forgotten" else row["status"]
    return row | {"status": status, "next_try": now()}


def _given_up(row: dict[str, Any]) -> dict[str, Any]:
    if row["status"] in READABLE:
        raise RagAssetsError(f"{row['document_id']} can be read; to be rid of it, remove or exclude it at its source")
    return row | {"status": "forgotten", "next_try": None}


def _change(
    corpus: Corpus, writer: CorpusWriter, ids: Collection[str], change: Callable[[dict[str, Any]], dict[str, Any]]
) -> list[str]:
    if not ids:
        return []
    batches = corpus.store.batches(DOCUMENTS, DOCUMENTS.schema.names, keys=sorted(set(ids)))
    rows = [change(row) for batch in batches for row in batch.to_pylist()]
    found = sorted(row["document_id"] for row in rows)
    if unknown := sorted(set(ids).difference(found)):
        raise RagAssetsError(f"corpus {corpus.name} has no document {unknown[0]}; see `rag-assets sources status`")
    writer.upsert(DOCUMENTS, pa.Table.from_pylist(rows, schema=DOCUMENTS.schema))
    return found
