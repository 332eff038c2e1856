"""Plan: which documents each asset would work on for a set of issues, in order, and what that costs about.

Pure: equal issues and facts give an equal plan with an equal id, and a plan names no document that no issue affects.
How many chunks a document gives that was never cut is estimated from the others. Not here: whether a plan may run
(`decision`), and running it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from resources.errors import IndexDamagedError, SettingsError, SourceError
from resources.identity import digest
from resources.index.generation import read_manifest
from resources.reconciliation.analyse import ASSETS, INDEXES, TARGET_STATES
from resources.reconciliation.drift import SHOWN_IDS, DriftIssue
from resources.reconciliation.generations import KINDS
from resources.reconciliation.observe import SystemState, without
from resources.reconciliation.questions import questions
from resources.reconciliation.rates import START_SECONDS, Rates
from resources.reconciliation.remedies import Facts, Work, remedy_for

WRITTEN = {"embed", "copy", "update", "rebuild"}
BY_DOCUMENT = {"fetch", "remove", "chunk"}
DEFAULT_RATES = Rates()
TAKING_AWAY = {"recover", "remove", "delete"}


@dataclass(frozen=True)
class Step:
    """What one asset does. `documents` and `chunks` (how many of each) go together; `more` belongs to no document.

    `chunks` and `more` count questions where the action is to evaluate. `bytes`: written to the store.
    """

    asset: str
    action: str
    because: tuple[str, ...]
    documents: tuple[str, ...]
    chunks: tuple[int, ...]
    more: int
    seconds: float
    bytes: int

    @property
    def items(self) -> int:
        """How many chunks (or questions) it is about."""
        return sum(self.chunks) + self.more

    def as_json(self) -> dict[str, Any]:
        """Return the step as the command line prints it, with at most 1,000 documents."""
        pairs = zip(self.documents[:SHOWN_IDS], self.chunks, strict=False)
        return {
            "asset": self.asset,
            "action": self.action,
            "because": list(self.because),
            "documents": len(self.documents),
            "chunks": self.items,
            "seconds": round(self.seconds, 1),
            "bytes": self.bytes,
            "ids": [{"document_id": document, "chunks": count} for document, count in pairs],
        }


@dataclass(frozen=True)
class Plan:
    """The steps of a repair, in order, for one corpus and target state. Empty when there is nothing a run could do."""

    corpus: str
    target: str
    steps: tuple[Step, ...] = ()
    pipeline: str | None = None
    measured: bool = False
    start: float = START_SECONDS

    @cached_property
    def id(self) -> str:
        """The plan's name, derived from what it does: the same work has the same id, however long it takes."""
        parts = [
            f"{step.asset} {step.action} {step.more} {document}:{count}"
            for step in self.steps
            for document, count in (zip(step.documents, step.chunks, strict=True) if step.documents else [("", 0)])
        ]
        return digest("plan", self.corpus, self.target, self.pipeline or "", *parts)[:12]

    @cached_property
    def documents(self) -> tuple[str, ...]:
        """Every document that is touched, in order."""
        return tuple(sorted({one for step in self.steps for one in step.documents}))

    @property
    def chunks(self) -> int:
        """How many chunks would be embedded; of documents that are not cut yet, about."""
        return sum(step.items for step in self.steps if step.action == "embed")

    @property
    def seconds(self) -> float:
        """How long it would take, about."""
        return self.start + sum(step.seconds for step in self.steps) if self.steps else 0.0

    @property
    def bytes(self) -> int:
        """How many bytes would be written, about."""
        return sum(step.bytes for step in self.steps)

    @property
    def assets(self) -> tuple[str, ...]:
        """The assets to materialise, in order: all of them where something is published, so that all is audited that
        may become live; those with work, and for the corpus as a whole those between them, otherwise.
        """
        with_work = dict.fromkeys(step.asset for step in self.steps)
        known = [ASSETS.index(one) for one in with_work if one in ASSETS]
        if "snapshot" in with_work:
            ours: tuple[str, ...] = ASSETS
        else:
            span = ASSETS[min(known) : max(known) + 1] if known else ()
            ours = tuple(one for one in span if self.pipeline is None or one in with_work)
        return ours + tuple(one for one in with_work if one not in ASSETS)

    def removals(self) -> "Plan":
        """Return the part that takes documents away."""
        steps = [step for step in self.steps if (step.asset, step.action) == ("documents", "remove")]
        return Plan(self.corpus, self.target, tuple(steps), self.pipeline, self.measured, self.start)

    def as_json(self) -> dict[str, Any]:
        """Return the plan as the command line prints it."""
        return {
            "id": self.id,
            "documents": len(self.documents),
            "chunks": self.chunks,
            "seconds": round(self.seconds, 1),
            "bytes": self.bytes,
            "measured": self.measured,
            "assets": list(self.assets),
            "steps": [step.as_json() for step in self.steps],
        }


def make_plan(
    corpus: str,
    target: str,
    issues: Sequence[DriftIssue],
    facts: Facts,
    rates: Rates = DEFAULT_RATES,
    *,
    pipeline: str | None = None,
) -> Plan:
    """Return what a run would do about these issues; what only a person can repair is left out.

    Nothing is published while an index is unsound that nobody asked to repair.
    """
    work: dict[tuple[str, str], dict[str, int]] = {}
    causes: dict[tuple[str, str], set[str]] = {}
    for issue in issues:
        remedy = remedy_for(issue)
        for one in remedy(issue, facts) if remedy is not None else ():
            _merge(work, one, facts)
            causes.setdefault((one.asset, one.action), set()).add(issue.type)
    for one in list(_consequences(work, facts, target)):
        _merge(work, one, facts)
    touched = {asset for asset, _ in work}
    if facts.is_pinned or facts.unsound - touched:
        work.pop(("snapshot", "publish"), None)
    if facts.unsound - touched:
        work.pop(("ragas_report", "evaluate"), None)
    steps = [
        _step(asset, action, causes.get((asset, action), set()), work[asset, action], facts, rates)
        for asset, action in sorted(work, key=lambda key: (_position(key[0]), key[1] not in TAKING_AWAY, key[1]))
        if work[asset, action]
    ]
    return Plan(corpus, target, tuple(steps), pipeline, "embed" in rates.measured, rates.start)


def _merge(work: dict[tuple[str, str], dict[str, int]], one: Work, facts: Facts) -> None:
    """Add up work; no document is worked on for more chunks than are affected of it."""
    merged = work.setdefault((one.asset, one.action), {})
    for document, count in one.chunks.items():
        before = merged.get(document, 0)
        most = max(before, count)
        merged[document] = min(before + count, max(most, facts.chunks_of.get(document, 0) if document else 0))


def _consequences(work: dict[tuple[str, str], dict[str, int]], facts: Facts, target: str) -> Iterable[Work]:
    """Yield what follows from other work: changed chunks change both indexes, and what changed is published."""
    if not work or "snapshot" not in TARGET_STATES[target]:
        return
    changed: dict[str, int] = {}
    for (asset, _), documents in work.items():
        if asset in ("chunks", "token_embeddings"):
            for document, count in documents.items():
                changed[document] = max(changed.get(document, 0), count)
    for index in INDEXES if changed else ():
        if (index, "rebuild") not in work:
            yield Work(index, "update", changed)
    yield Work("ragas_report", "evaluate", {"": facts.questions})
    yield Work("snapshot", "publish", {"": facts.chunks})


def _step(asset: str, action: str, causes: set[str], work: dict[str, int], facts: Facts, rates: Rates) -> Step:
    documents = tuple(sorted(one for one in work if one))
    chunks = tuple(work[one] for one in documents)
    more = work.get("", 0)
    items = sum(chunks) + more
    size = facts.vector_bytes if asset == "token_embeddings" else facts.index_bytes
    seconds = rates.estimate(action, len(documents) if action in BY_DOCUMENT else items)
    written = items * size if action in WRITTEN else 0
    return Step(asset, action, tuple(sorted(causes)), documents, chunks, more, seconds, written)


def _position(asset: str) -> int:
    return ASSETS.index(asset) if asset in ASSETS else len(ASSETS)


def gather_facts(state: SystemState, issues: Sequence[DriftIssue], target: str) -> Facts:
    """Read off the state what a plan for these issues needs."""
    indexed = "snapshot" in TARGET_STATES[target]
    corpus, chunks = state.corpus, state.candidate.chunks
    ids = pa.array({one for issue in issues for one in issue.ids}, pa.string())
    affected = chunks.filter(pc.or_(pc.is_in(chunks["chunk_id"], ids), pc.is_in(chunks["document_id"], ids)))
    document_of = dict(zip(affected["chunk_id"].to_pylist(), affected["document_id"].to_pylist(), strict=True))
    counted = affected["document_id"].value_counts()
    chunks_of = {one["values"]: one["counts"] for one in counted.to_pylist()}
    documents = len(pc.unique(chunks["document_id"]))
    tokens = pc.mean(chunks["tokens"]).as_py() if chunks.num_rows else corpus.settings.chunking.tokens
    return Facts(
        document_of=document_of,
        chunks_of=chunks_of,
        mean_chunks=chunks.num_rows / documents if documents else Facts.mean_chunks,
        copyable=_copyable(state, affected),
        chunks=chunks.num_rows,
        questions=_questions(state),
        vector_bytes=round(tokens) * corpus.model.token_dimension + 4 * corpus.model.dimension,
        index_bytes=_index_bytes(state),
        unsound=frozenset(f"{kind}_index" for kind in KINDS if not state.index(kind).is_sound)
        if indexed
        else frozenset(),
        is_pinned=state.live is not None and state.live.pinned,
    )


def _copyable(state: SystemState, affected: pa.Table) -> frozenset[str]:
    """Return those chunks whose text is embedded by the desired model somewhere in the candidate or in live."""
    bad = state.quarantine.get("token_embeddings")
    donors = [without(state.candidate.embeddings, "chunk_id", bad)["text_hash"]]
    live = state.live
    if live is not None and live.model_fingerprint == state.corpus.model.fingerprint and state.live_tables is not None:
        donors.append(state.live_tables.embeddings["text_hash"])
    texts = pa.chunked_array([chunk for donor in donors for chunk in donor.chunks], pa.string())
    found = without(affected, "chunk_id", bad)
    return frozenset(found.filter(pc.is_in(found["text_hash"], texts.unique()))["chunk_id"].to_pylist())


def _questions(state: SystemState) -> int:
    """Return how many questions a candidate is asked; none where they cannot be read, which the run will say."""
    try:
        return len(questions(state.corpus, state)) if state.searchable.num_rows else 0
    except (SettingsError, SourceError):
        return 0


def _index_bytes(state: SystemState) -> int:
    """Return what a chunk takes in both indexes, by the ones that live has; 4 bytes a dimension without any."""
    if state.live is not None:
        try:
            manifests = [
                read_manifest(state.corpus.store.indexes.fetch(one)) for one in (state.live.dense, state.live.bm25)
            ]
            sizes = [sum(file.bytes for file in one.files.values()) / max(1, one.count) for one in manifests]
            return round(sum(sizes))
        except IndexDamagedError:
            pass
    return 4 * state.corpus.model.dimension
