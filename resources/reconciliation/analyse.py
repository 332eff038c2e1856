"""Analyse: what was found against what is desired, as typed drift with severity, place, ids and the repair it calls
for. The validators here read small columns only (the `scan` depth); others register themselves beside them.

Pure: it derives everything from a `SystemState` and writes nothing. What to run, and whether it may run, is decided
elsewhere.
"""

from collections.abc import Iterator

from resources.alignment import Keyed
from resources.reconciliation import receipts  # noqa: F401 - registers its validator
from resources.reconciliation.completeness import tolerate
from resources.reconciliation.diff import embeddings_diff
from resources.reconciliation.drift import Depth, DriftIssue, Severity, holds, issue, validator, validators
from resources.reconciliation.freshness import freshness
from resources.reconciliation.observe import SystemState
from resources.reconciliation.questions import questions, report_folder
from resources.reconciliation.vectors import grouped
from resources.retrieval.pipelines import find_pipeline

__all__ = ["ASSETS", "TARGET_STATES", "DriftIssue", "Severity", "analyse", "holds"]

TABLES = ("documents", "chunks", "token_embeddings")
INDEXES = ("dense_index", "bm25_index")
ASSETS = (*TABLES, *INDEXES, "ragas_report", "snapshot")
"""Every asset in the order it is made."""

TARGET_STATES: dict[str, tuple[str, ...]] = {
    "token-embeddings": TABLES,
    "search-ready": (*TABLES, *INDEXES, "snapshot"),
    "ragas-eval": (*TABLES, *INDEXES, "snapshot", "ragas_report"),
}
"""The named states of a corpus, and the assets each of them looks at."""


def analyse(state: SystemState, target: str, *, depth: Depth = "scan", pipeline: str | None = None) -> list[DriftIssue]:
    """Return what stands between the corpus and a target state, the worst first; empty when nothing is amiss.

    `pipeline`: look only at what that pipeline reads, and at what it is made of.
    """
    if depth != "scan":
        from resources.reconciliation.audit import drift  # noqa: F401  (registers; a scan needs none of it)
    assets = [one for one in TARGET_STATES[target] if pipeline is None or one in needed_by(pipeline)]
    state.gather()
    found = [one for chosen in validators(assets, depth) for one in chosen.run(state)]
    return sorted(tolerate(state, found), key=lambda one: -one.severity)


def needed_by(pipeline: str) -> frozenset[str]:
    """Return the assets that a pipeline's answers come from: those it reads, all before them, and the snapshot.

    Both indexes hold the chunks that have embeddings, so either needs all three tables.
    """
    needs = find_pipeline(pipeline).needs
    tables = TABLES if needs & {*INDEXES, "token_embeddings"} else TABLES[:2]
    return frozenset({*needs, *tables, "ragas_report", "snapshot"})


@validator("documents")
def _documents(state: SystemState) -> Iterator[DriftIssue]:
    yield from _damaged(state, "documents", "quarantine")
    diff = state.documents
    yield from issue(
        "missing_documents", Severity.HIGH, "candidate", diff.missing, "fetch", "{n} listed documents are not stored"
    )
    yield from issue(
        "source_changed", Severity.HIGH, "candidate", diff.changed, "fetch", "{n} documents changed at their source"
    )
    yield from issue(
        "source_deleted", Severity.CRITICAL, "both", diff.gone, "remove", "{n} documents are no longer at their source"
    )
    for source, held in diff.held.items():
        yield from issue(
            "removals_held",
            Severity.HIGH,
            "source",
            held,
            f"sources confirm {source}",
            f"{{n}} documents are no longer listed by {source}, too many to remove unconfirmed",
        )
    yield from issue(
        "stale_parser",
        Severity.MEDIUM,
        "candidate",
        diff.reparse,
        "fetch",
        "{n} documents were parsed by another parser or with other options",
    )
    yield from issue(
        "insufficient_documents",
        Severity.HIGH,
        "source",
        (),
        "add sources",
        "the sources list {n} documents fewer than the target",
        diff.short,
    )
    yield from issue(
        "empty_source",
        Severity.MEDIUM if state.candidate.documents.num_rows else Severity.HIGH,
        "source",
        sorted(state.listing.empty),
        "check the source",
        "{n} sources list nothing; nothing is removed for that",
    )
    reasons = "; ".join(f"{name}: {error}" for name, error in sorted(state.listing.unreachable.items()))
    yield from issue(
        "source_unreachable",
        Severity.HIGH,
        "source",
        sorted(state.listing.unreachable),
        "check the source",
        f"{{n}} sources cannot be listed, and nothing is removed for that ({_literal(reasons)})",
    )
    table = state.candidate.documents
    statuses = table["status"].to_pylist()
    pairs = zip(table["document_id"].to_pylist(), statuses, strict=True)
    failed = sorted(one for one, status in pairs if status in ("failed", "hostile"))
    systemic = state.corpus.settings.checks.is_systemic(len(failed) + statuses.count("unread"), table.num_rows)
    severity, blocked = (Severity.HIGH, ", too many to publish") if systemic else (Severity.LOW, "")
    yield from issue(
        "failed_documents",
        severity,
        "candidate",
        failed,
        "see the documents' reasons",
        "{n} documents could not be parsed" + blocked,
    )
    yield from issue(
        "unread_documents", severity, "candidate", diff.retry, "fetch", "{n} documents could not be fetched" + blocked
    )
    yield from issue(
        "waiting_documents",
        severity,
        "source",
        diff.waiting,
        "wait, or sources retry",
        "{n} documents failed and are tried again when their time has come" + blocked,
    )
    bad = sorted(f"{name}/{one}" for name in ("documents", "chunks") for one in state.quarantine.get(name, ()))
    yield from issue(
        "quarantined_rows",
        Severity.LOW,
        "candidate",
        bad,
        "see the failed check",
        "{n} rows broke their contract and are kept out",
    )


def _damaged(state: SystemState, *tables: str) -> Iterator[DriftIssue]:
    found = [str(one) for name in tables for one in state.damage.get(name, ())]
    shared = any(one in state.live_damage for one in found)
    yield from issue(
        "table_damaged",
        Severity.CRITICAL,
        "both" if shared else "candidate",
        found,
        "recover",
        "{n} files of a table cannot be read" + (f": {_literal('; '.join(found[:3]))}" if found else ""),
    )


def _literal(text: str) -> str:
    """Return text for a description, in which braces mean nothing."""
    return text.replace("{", "{{").replace("}", "}}")


@validator("documents")
def _overdue(state: SystemState) -> Iterator[DriftIssue]:
    found = freshness(state.corpus)
    if found.since is not None and found.level == "overdue":
        what = f"before this look the corpus was last {found.said}"
        yield DriftIssue("overdue", Severity.LOW, "source", 1, (), "look more often", what)


@validator("chunks")
def _chunks(state: SystemState) -> Iterator[DriftIssue]:
    yield from _damaged(state, "chunks")
    diff = state.chunks
    yield from issue("missing_chunks", Severity.HIGH, "candidate", diff.missing, "chunk", "{n} documents lack chunks")
    yield from issue(
        "stale_text", Severity.HIGH, "candidate", diff.stale_text, "chunk", "{n} documents have chunks of an older text"
    )
    yield from issue(
        "stale_chunker",
        Severity.MEDIUM,
        "candidate",
        diff.stale_chunker,
        "chunk",
        "{n} documents were cut by another chunker",
    )
    yield from issue(
        "orphan_chunks", Severity.MEDIUM, "candidate", diff.orphans, "delete chunks", "{n} chunks have no document"
    )


@validator("token_embeddings")
def _token_embeddings(state: SystemState) -> Iterator[DriftIssue]:
    yield from _damaged(state, state.corpus.embeddings.name)
    diff = state.embeddings
    live_missing = set(_missing_in_live(state))
    both = [one for one in diff.missing if one in live_missing]
    only_candidate = [one for one in diff.missing if one not in live_missing]
    only_live = sorted(live_missing - set(diff.missing))
    if (
        state.candidate.embeddings.num_rows == 0
        and state.live is not None
        and state.live.model_fingerprint != state.corpus.model.fingerprint
    ):
        yield from issue(
            "stale_model",
            Severity.HIGH,
            "candidate",
            diff.missing,
            "embed",
            "{n} chunks are embedded by another model only",
        )
    else:
        text = "{n} chunks lack token embeddings"
        yield from issue("missing_token_embeddings", Severity.HIGH, "both", both, "embed", text)
        yield from issue("missing_token_embeddings", Severity.HIGH, "candidate", only_candidate, "embed", text)
    yield from issue(
        "missing_token_embeddings",
        Severity.CRITICAL,
        "live",
        only_live,
        "publish",
        "{n} chunks that live serves lack token embeddings",
    )
    yield from issue(
        "incomplete_token_embeddings",
        Severity.HIGH,
        "candidate",
        [one for one in diff.incomplete if one not in state.bad_in_candidate],
        "embed",
        "{n} chunks have another number of token vectors than tokens",
    )
    yield from issue(
        "stale_embeddings",
        Severity.HIGH,
        "candidate",
        diff.stale_text,
        "embed",
        "{n} chunks have embeddings of another text",
    )
    yield from issue(
        "quarantined_token_embeddings",
        Severity.MEDIUM,
        "candidate",
        [one for one in diff.quarantined if one not in state.bad_in_candidate],
        "embed",
        "{n} chunks have embeddings that broke their contract and are kept out",
    )
    for bad in grouped(state.bad_in_candidate, state.bad_in_live):
        severity = Severity.HIGH if bad.where == "candidate" else Severity.CRITICAL
        yield from issue(bad.drift, severity, bad.where, bad.ids, bad.action, bad.description)
    yield from issue(
        "orphan_token_embeddings",
        Severity.MEDIUM,
        "candidate",
        diff.orphans,
        "delete embeddings",
        "{n} embeddings have no chunk",
    )


def _missing_in_live(state: SystemState) -> list[str]:
    tables = state.live_tables
    if tables is None or (tables.chunks is state.candidate.chunks and tables.embeddings is state.candidate.embeddings):
        return state.embeddings.missing if tables is not None else []
    return embeddings_diff(Keyed.by("chunk_id", tables.chunks), Keyed.by("chunk_id", tables.embeddings)).missing


@validator("dense_index")
def _dense_index(state: SystemState) -> Iterator[DriftIssue]:
    yield from _index(state, "dense")


@validator("bm25_index")
def _bm25_index(state: SystemState) -> Iterator[DriftIssue]:
    yield from _index(state, "bm25")


def _index(state: SystemState, kind: str) -> Iterator[DriftIssue]:
    index = state.index(kind)
    yield from issue(
        f"{kind}_index_damaged",
        Severity.CRITICAL,
        "candidate",
        index.problems,
        "rebuild index",
        f"damaged files of the {kind} index: {{n}}",
    )
    if not index.problems:
        yield from issue(
            f"{kind}_index_mismatch",
            Severity.HIGH,
            "candidate",
            [one for one in index.diff.ids if one not in state.bad_in_candidate],
            "rebuild index",
            f"the {kind} index and its table differ in {{n}} chunks",
        )


@validator("snapshot")
def _snapshot(state: SystemState) -> Iterator[DriftIssue]:
    live = state.live
    if live is None and not state.live_problems:
        what = "nothing is published yet, so nothing can be asked"
        yield DriftIssue("never_published", Severity.HIGH, "live", 1, (), "publish", what)
        return
    yield from issue(
        "snapshot_damaged",
        Severity.CRITICAL,
        "live",
        state.live_problems,
        "rebuild index and publish",
        "parts that live needs are missing or damaged: {n}",
    )
    if live is None:
        return
    if live.pinned:
        what = f"snapshot {live.number} is pinned; nothing is published over it"
        yield DriftIssue("pinned", Severity.LOW, "live", 1, (str(live.number),), "snapshots unpin", what)
        return
    yield from issue(
        "hidden_documents",
        Severity.HIGH,
        "live",
        state.hidden,
        "publish",
        "{n} documents were removed and are back, and live still hides them",
    )
    if state.is_complete and state.content != live.content:
        what = "the candidate differs from live and is not published"
        yield DriftIssue("unpublished", Severity.HIGH, "live", 1, (str(live.number),), "publish", what)


@validator("ragas_report")
def _report(state: SystemState) -> Iterator[DriftIssue]:
    live = state.live
    if live is None or live.pinned or not state.is_complete or state.content != live.content:
        return
    if not questions(state.corpus, state):
        what = "there are no judged queries, so nothing can be measured"
        yield DriftIssue("no_evaluation", Severity.HIGH, "live", 1, (), "set evaluation.set in rag.yaml", what)
        return
    name = report_folder(state.corpus, state).name
    if live.report is None or name != live.report:
        what = "live was not evaluated with the present questions and settings"
        yield DriftIssue("stale_evaluation", Severity.MEDIUM, "live", 1, (name,), "evaluate", what)
    elif not state.report_exists(name):
        what = "the evaluation report of live is gone"
        yield DriftIssue("report_missing", Severity.MEDIUM, "live", 1, (name,), "evaluate", what)
