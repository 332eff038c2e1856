"""Analyse: what was found against what is desired, as typed drift with severity, place, ids and the repair it calls
for.

Pure: it derives everything from a `SystemState` and writes nothing. What to run, and whether it may run, is decided
elsewhere.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any, Literal

from resources.reconciliation.diff import embeddings_diff
from resources.reconciliation.observe import SystemState
from resources.reconciliation.questions import questions, report_folder

Place = Literal["source", "candidate", "live", "both"]
SHOWN_IDS = 1000


class Severity(IntEnum):
    """How bad a drift is. Up to LOW the desired state holds."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4


TARGET_STATES: dict[str, tuple[str, ...]] = {
    "token-embeddings": ("documents", "chunks", "token_embeddings"),
    "search-ready": ("documents", "chunks", "token_embeddings", "indexes", "snapshot"),
    "ragas-eval": ("documents", "chunks", "token_embeddings", "indexes", "snapshot", "report"),
}
"""The named states of a corpus, and what each of them looks at."""


@dataclass(frozen=True)
class DriftIssue:
    """One kind of deviation: `affected` ids (documents or chunks), where they are wrong, and the action that repairs
    them.
    """

    type: str
    severity: Severity
    where: Place
    affected: int
    ids: tuple[str, ...]
    action: str
    description: str

    def as_json(self) -> dict[str, Any]:
        """Return the issue as the command line prints it, with at most 1,000 ids."""
        return asdict(self) | {"severity": self.severity.name.lower(), "ids": list(self.ids[:SHOWN_IDS])}


def _issue(
    type_: str,
    severity: Severity,
    where: Place,
    ids: Sequence[str],
    action: str,
    description: str,
    affected: int | None = None,
) -> Iterator[DriftIssue]:
    count = len(ids) if affected is None else affected
    if count:
        yield DriftIssue(type_, severity, where, count, tuple(ids), action, description.format(n=count))


def analyse(state: SystemState, target: str) -> list[DriftIssue]:
    """Return what stands between the corpus and a target state, the worst first.

    Empty when it holds and nothing is amiss.
    """
    found = [issue for stage in TARGET_STATES[target] for issue in STAGES[stage](state)]
    return sorted(found, key=lambda issue: -issue.severity)


def holds(issues: Sequence[DriftIssue]) -> bool:
    """Whether the desired state holds: nothing worse than LOW."""
    return all(issue.severity <= Severity.LOW for issue in issues)


def _documents(state: SystemState) -> Iterator[DriftIssue]:
    diff = state.documents
    yield from _issue(
        "missing_documents", Severity.HIGH, "candidate", diff.missing, "fetch", "{n} listed documents are not stored"
    )
    yield from _issue(
        "source_changed", Severity.HIGH, "candidate", diff.changed, "fetch", "{n} documents changed at their source"
    )
    yield from _issue(
        "source_deleted", Severity.CRITICAL, "both", diff.gone, "remove", "{n} documents are no longer at their source"
    )
    yield from _issue(
        "stale_parser",
        Severity.MEDIUM,
        "candidate",
        diff.reparse,
        "fetch",
        "{n} documents were parsed by another parser or with other options",
    )
    yield from _issue(
        "insufficient_documents",
        Severity.HIGH,
        "source",
        (),
        "add sources",
        "the sources list {n} documents fewer than the target",
        diff.short,
    )
    yield from _issue(
        "empty_source",
        Severity.MEDIUM if state.candidate.documents.num_rows else Severity.HIGH,
        "source",
        sorted(state.listing.empty),
        "check the source",
        "{n} sources list nothing; nothing is removed for that",
    )
    table = state.candidate.documents
    pairs = zip(table["document_id"].to_pylist(), table["status"].to_pylist(), strict=True)
    failed = sorted(one for one, status in pairs if status in ("failed", "hostile", "unread"))
    systemic = state.corpus.settings.checks.is_systemic(len(failed), table.num_rows)
    yield from _issue(
        "failed_documents",
        Severity.HIGH if systemic else Severity.LOW,
        "candidate",
        failed,
        "see the documents' reasons",
        "{n} documents could not be read or parsed" + (", too many to publish" if systemic else ""),
    )
    bad = sorted(f"{name}/{one}" for name in ("documents", "chunks") for one in state.quarantine.get(name, ()))
    yield from _issue(
        "quarantined_rows",
        Severity.LOW,
        "candidate",
        bad,
        "see the failed check",
        "{n} rows broke their contract and are kept out",
    )


def _chunks(state: SystemState) -> Iterator[DriftIssue]:
    diff = state.chunks
    yield from _issue("missing_chunks", Severity.HIGH, "candidate", diff.missing, "chunk", "{n} documents lack chunks")
    yield from _issue(
        "stale_text", Severity.HIGH, "candidate", diff.stale_text, "chunk", "{n} documents have chunks of an older text"
    )
    yield from _issue(
        "stale_chunker",
        Severity.MEDIUM,
        "candidate",
        diff.stale_chunker,
        "chunk",
        "{n} documents were cut by another chunker",
    )
    yield from _issue(
        "orphan_chunks", Severity.MEDIUM, "candidate", diff.orphans, "delete", "{n} chunks have no document"
    )


def _token_embeddings(state: SystemState) -> Iterator[DriftIssue]:
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
        yield from _issue(
            "stale_model",
            Severity.HIGH,
            "candidate",
            diff.missing,
            "embed",
            "{n} chunks are embedded by another model only",
        )
    else:
        text = "{n} chunks lack token embeddings"
        yield from _issue("missing_token_embeddings", Severity.HIGH, "both", both, "embed", text)
        yield from _issue("missing_token_embeddings", Severity.HIGH, "candidate", only_candidate, "embed", text)
    yield from _issue(
        "missing_token_embeddings",
        Severity.CRITICAL,
        "live",
        only_live,
        "publish",
        "{n} chunks that live serves lack token embeddings",
    )
    yield from _issue(
        "incomplete_token_embeddings",
        Severity.HIGH,
        "candidate",
        diff.incomplete,
        "embed",
        "{n} chunks have another number of token vectors than tokens",
    )
    yield from _issue(
        "stale_embeddings",
        Severity.HIGH,
        "candidate",
        diff.stale_text,
        "embed",
        "{n} chunks have embeddings of another text",
    )
    yield from _issue(
        "quarantined_token_embeddings",
        Severity.MEDIUM,
        "candidate",
        diff.quarantined,
        "embed",
        "{n} chunks have embeddings that broke their contract and are kept out",
    )
    yield from _issue(
        "orphan_token_embeddings", Severity.MEDIUM, "candidate", diff.orphans, "delete", "{n} embeddings have no chunk"
    )


def _missing_in_live(state: SystemState) -> list[str]:
    tables = state.live_tables
    if tables is None or (tables.chunks is state.candidate.chunks and tables.embeddings is state.candidate.embeddings):
        return state.embeddings.missing if tables is not None else []
    return embeddings_diff(tables.chunks, tables.embeddings).missing


def _indexes(state: SystemState) -> Iterator[DriftIssue]:
    for kind in ("dense", "bm25"):
        index = state.index(kind)
        yield from _issue(
            f"{kind}_index_damaged",
            Severity.CRITICAL,
            "candidate",
            index.problems,
            "rebuild index",
            f"damaged files of the {kind} index: {{n}}",
        )
        if not index.problems:
            yield from _issue(
                f"{kind}_index_mismatch",
                Severity.HIGH,
                "candidate",
                index.diff.ids,
                "rebuild index",
                f"the {kind} index and its table differ in {{n}} chunks",
            )


def _snapshot(state: SystemState) -> Iterator[DriftIssue]:
    live = state.live
    if live is None:
        what = "nothing is published yet, so nothing can be asked"
        yield DriftIssue("never_published", Severity.HIGH, "live", 1, (), "publish", what)
        return
    yield from _issue(
        "snapshot_damaged",
        Severity.CRITICAL,
        "live",
        state.live_problems,
        "rebuild index and publish",
        "parts that live needs are missing or damaged: {n}",
    )
    if live.pinned:
        what = f"snapshot {live.number} is pinned; nothing is published over it"
        yield DriftIssue("pinned", Severity.LOW, "live", 1, (str(live.number),), "snapshots unpin", what)
        return
    yield from _issue(
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


STAGES: dict[str, Callable[[SystemState], Iterator[DriftIssue]]] = {
    "documents": _documents,
    "chunks": _chunks,
    "token_embeddings": _token_embeddings,
    "indexes": _indexes,
    "snapshot": _snapshot,
    "report": _report,
}
