"""The checks of the tables: their Great Expectations suites, and that each table covers the one before it."""

from collections.abc import Iterator

import dagster as dg

from rag_assets.checks.shapes import Verdict, audit, ids_metadata
from resources.corpus import Corpus
from resources.expectations.quarantine import quarantine
from resources.expectations.tables import CONTRACTS
from resources.reconciliation.observe import SystemState
from resources.reconciliation.source_audit import Assessment, assess
from resources.store.writer import CorpusWriter

READY = 0.9


def _contract(table: str, corpus: Corpus, writer: CorpusWriter) -> Verdict:
    contract = CONTRACTS[table](corpus)
    bad = quarantine(writer, contract)
    rows = [
        dg.TableRecord(
            {
                "expectation": one.expectation,
                "column": one.column,
                "passed": "yes" if one.passed else "no",
                "bad_rows": len(one.bad),
                "found": one.detail,
            }
        )
        for one in contract.outcomes
    ]
    metadata = {
        "rows_audited": contract.rows,
        **ids_metadata(sorted(contract.bad)),
        **({"expectations": dg.MetadataValue.table(rows)} if rows else {}),
    }
    blocks = contract.is_broken or corpus.settings.checks.is_systemic(bad, contract.rows)
    return Verdict("contract", not bad and not contract.is_broken, blocks, metadata)


def _documents(corpus: Corpus, writer: CorpusWriter) -> Iterator[Verdict]:
    yield _contract("documents", corpus, writer)
    state = SystemState(corpus)
    table = state.candidate.documents
    pairs = zip(table["document_id"].to_pylist(), table["status"].to_pylist(), strict=True)
    failed = sorted(one for one, status in pairs if status in ("failed", "hostile", "unread"))
    systemic = corpus.settings.checks.is_systemic(len(failed), table.num_rows)
    yield Verdict("readable", not failed, systemic, ids_metadata(failed))
    diff = state.documents
    held = [one for ids in diff.held.values() for one in ids]
    left = sorted({*diff.missing, *diff.changed, *diff.reparse, *diff.gone, *held})
    yield Verdict(
        "agrees_with_sources",
        not left and not diff.short,
        False,
        ids_metadata(left) | {"short_of_target": diff.short, "removals_held": len(held)},
    )
    yield from _quality(assess(state))


def _quality(found: Assessment) -> Iterator[Verdict]:
    """Judge the documents as text. A document that lost text is served as it is, so nothing is to be repaired."""
    content, readiness = found.content, found.readiness
    by_type = {"by_type": dg.MetadataValue.json(dict(content.by_type))}
    figures = {"judged": content.judged, **({"median": content.median, **by_type} if content.judged else {})}
    yield Verdict("content_preserved", not content.lost, False, ids_metadata(sorted(content.lost)) | figures)
    parts = {name: round(part, 3) for name, part in readiness.parts.items() if part is not None}
    yield Verdict("readiness", readiness.score >= READY, False, {"readiness": round(readiness.score, 3), **parts})


def _chunks(corpus: Corpus, writer: CorpusWriter) -> Iterator[Verdict]:
    yield _contract("chunks", corpus, writer)
    diff = SystemState(corpus).chunks
    yield Verdict("covers_documents", not diff.rechunk, True, ids_metadata(diff.rechunk))
    yield Verdict("no_orphans", not diff.orphans, True, ids_metadata(diff.orphans))


def _token_embeddings(corpus: Corpus, writer: CorpusWriter) -> Iterator[Verdict]:
    yield _contract("token_embeddings", corpus, writer)
    diff = SystemState(corpus).embeddings
    missing = sorted({*diff.missing, *diff.stale_text, *diff.incomplete})
    yield Verdict("covers_chunks", not missing, True, ids_metadata(missing))
    yield Verdict("no_orphans", not diff.orphans, True, ids_metadata(diff.orphans))


CONTRACT = "Great Expectations suite: bad rows are quarantined, too many of them block."

audit_documents = audit(
    "documents",
    {
        "contract": CONTRACT,
        "readable": "Documents that failed to be fetched or parsed; blocks when too many.",
        "agrees_with_sources": "Nothing is left to be fetched or removed (a source may change while it is read).",
        "content_preserved": "No document lost more than a fifth of the text that its file holds.",
        "readiness": f"The score of `rag-assets sources audit` is at least {READY}.",
    },
    _documents,
    informative={"agrees_with_sources", "content_preserved", "readiness"},
)
audit_chunks = audit(
    "chunks",
    {
        "contract": CONTRACT,
        "covers_documents": "Every searchable document is cut completely, from its present text, by the "
        "present chunker.",
        "no_orphans": "No chunk outlives its document.",
    },
    _chunks,
)
audit_token_embeddings = audit(
    "token_embeddings",
    {
        "contract": CONTRACT,
        "covers_chunks": "Every chunk has embeddings of its own text, with as many token vectors as the "
        "tokenizer counts.",
        "no_orphans": "No embeddings without a chunk.",
    },
    _token_embeddings,
)
