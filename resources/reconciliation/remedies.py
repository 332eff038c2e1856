"""What repairs a drift: for each action that an issue calls for, the work it means, asset by asset.

Repairing is materialising, so a remediator does nothing itself: `@remediator("embed")` says which assets must be made
again and for which documents, from which a plan is put together (`plan`). Packages add theirs through the entry point
group `rag_assets.remediators` (name = any, value = a module that registers when imported). An action that nobody
registered is one for a person.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from resources.plugins import load_plugins
from resources.reconciliation.drift import DriftIssue

REMEDIATORS = "rag_assets.remediators"


@dataclass(frozen=True)
class Facts:
    """What a plan needs to know beyond the issues; of the affected documents and chunks only.

    `document_of`: by chunk. `chunks_of`: how many chunks a document has, or `mean_chunks` where it has none yet.
    `copyable`: chunks whose text has sound-looking vectors elsewhere. `chunks`: in the corpus. `questions`: asked of a
    candidate. `vector_bytes`: one chunk's row of embeddings; `index_bytes`: its share of both indexes. `unsound`:
    indexes that do not serve the candidate as they are. `is_pinned`: nothing is published over live.
    """

    document_of: Mapping[str, str] = field(default_factory=dict)
    chunks_of: Mapping[str, int] = field(default_factory=dict)
    mean_chunks: float = 5.0
    copyable: frozenset[str] = frozenset()
    chunks: int = 0
    questions: int = 0
    vector_bytes: int = 0
    index_bytes: int = 0
    unsound: frozenset[str] = frozenset()
    is_pinned: bool = False

    def expected(self, document: str) -> int:
        """How many chunks a document has, or will have about."""
        return self.chunks_of.get(document) or max(1, round(self.mean_chunks))


@dataclass(frozen=True)
class Work:
    """What an asset has to do: for each document how many chunks; under "" what belongs to no single document."""

    asset: str
    action: str
    chunks: Mapping[str, int]


Remedy = Callable[[DriftIssue, Facts], Iterable[Work]]
R = TypeVar("R", bound=Remedy)
_remedies: dict[str, Remedy] = {}


def remediator(action: str) -> Callable[[R], R]:
    """Register the decorated function for issues that call for `action`."""

    def register(remedy: R) -> R:
        _remedies[action] = remedy
        return remedy

    return register


def remedy_for(issue: DriftIssue) -> Remedy | None:
    """Return what repairs an issue, None when only a person can."""
    load_plugins(REMEDIATORS)
    return _remedies.get(issue.action)


@remediator("fetch")
def _fetch(issue: DriftIssue, facts: Facts) -> Iterator[Work]:
    yield Work("documents", "fetch", {one: 0 for one in issue.ids})
    yield from _chunk(issue, facts)


@remediator("recover")
def _recover(issue: DriftIssue, facts: Facts) -> Iterator[Work]:
    yield Work(issue.asset, "recover", {"": issue.affected})


@remediator("remove")
def _remove(issue: DriftIssue, facts: Facts) -> Iterator[Work]:
    present = {one: facts.chunks_of.get(one, 0) for one in issue.ids}
    yield Work("documents", "remove", present)
    yield Work("chunks", "delete", present)
    yield Work("token_embeddings", "delete", present)


@remediator("chunk")
def _chunk(issue: DriftIssue, facts: Facts) -> Iterator[Work]:
    expected = {one: facts.expected(one) for one in issue.ids}
    yield Work("chunks", "chunk", expected)
    yield Work("token_embeddings", "embed", expected)


@remediator("embed")
def _embed(issue: DriftIssue, facts: Facts) -> Iterator[Work]:
    copied = [one for one in issue.ids if one in facts.copyable]
    if copied:
        yield Work("token_embeddings", "copy", _by_document(copied, facts))
    if len(copied) < len(issue.ids):
        rest = (one for one in issue.ids if one not in facts.copyable)
        yield Work("token_embeddings", "embed", _by_document(rest, facts))


@remediator("delete chunks")
def _delete_chunks(issue: DriftIssue, facts: Facts) -> Iterator[Work]:
    yield Work("chunks", "delete", _by_document(issue.ids, facts))
    yield Work("token_embeddings", "delete", _by_document(issue.ids, facts))


@remediator("delete embeddings")
def _delete_embeddings(issue: DriftIssue, facts: Facts) -> Iterator[Work]:
    yield Work("token_embeddings", "delete", {"": issue.affected})


@remediator("rebuild index")
def _rebuild_index(issue: DriftIssue, facts: Facts) -> Iterator[Work]:
    if issue.type.endswith("_mismatch"):
        yield Work(issue.asset, "update", _by_document(issue.ids, facts))
    else:
        yield Work(issue.asset, "rebuild", {"": facts.chunks})


@remediator("rebuild index and publish")
def _rebuild_and_publish(issue: DriftIssue, facts: Facts) -> Iterator[Work]:
    for asset in ("dense_index", "bm25_index"):
        yield Work(asset, "rebuild", {"": facts.chunks})
    yield from _publish(issue, facts)


@remediator("publish")
def _publish(issue: DriftIssue, facts: Facts) -> Iterator[Work]:
    yield Work("ragas_report", "evaluate", {"": facts.questions})
    yield Work("snapshot", "publish", {"": facts.chunks})


@remediator("evaluate")
def _evaluate(issue: DriftIssue, facts: Facts) -> Iterator[Work]:
    yield from _publish(issue, facts)


def _by_document(chunk_ids: Iterable[str], facts: Facts) -> dict[str, int]:
    return dict(Counter(facts.document_of.get(one, "") for one in chunk_ids))
