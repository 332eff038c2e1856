"""What a person says: approve a plan, pause a corpus, acknowledge a drift, confirm removals. And what that allows.

Not here: what is decided from it (`decision`).
"""

from datetime import date

from resources.corpus import Corpus
from resources.errors import RagAssetsError
from resources.identity import digest
from resources.reconciliation.drift import DriftIssue
from resources.reconciliation.memory import Approval, Memory, Pause, now, remember
from resources.reconciliation.observe import SystemState
from resources.reconciliation.plan import Plan


def cost_of(corpus: Corpus, plan: Plan) -> float:
    """Return what a plan costs about, in the currency of `auto_repair.cost_per_hour`."""
    return plan.seconds / 3600 * corpus.settings.auto_repair.cost_per_hour


def needs_approval(corpus: Corpus, plan: Plan) -> bool:
    """Whether a plan costs more than may be spent without asking."""
    allowed = corpus.settings.auto_repair
    too_many = allowed.max_chunks is not None and plan.chunks > allowed.max_chunks
    return too_many or (allowed.max_cost is not None and cost_of(corpus, plan) > allowed.max_cost)


def desired_state(corpus: Corpus) -> str:
    """Return a digest of what the corpus is to become: an approval does not outlive a change of it."""
    sources = [f"{source.name} {source.fingerprint}" for source in corpus.sources]
    wanted = (str(corpus.target.documents), str(corpus.settings.max_characters))
    return digest("desired", corpus.model.fingerprint, corpus.chunker, *wanted, *sources)


def is_approved(memory: Memory, corpus: Corpus, plan: Plan) -> bool:
    """Whether a person said yes to this plan, or to a larger one for the same desired state.

    So a repair that was stopped halfway goes on without asking, and one that has grown by less than what needs no
    approval does too.
    """
    given, allowed = memory.approval, corpus.settings.auto_repair
    if given is None or given.desired != desired_state(corpus):
        return False
    return plan.id == given.plan or (
        plan.chunks <= given.chunks + (allowed.max_chunks or 0)
        and cost_of(corpus, plan) <= given.cost + (allowed.max_cost or 0)
    )


def approve(corpus: Corpus, plan: Plan) -> None:
    """Say yes to a plan."""
    given = Approval(
        plan=plan.id, desired=desired_state(corpus), chunks=plan.chunks, cost=cost_of(corpus, plan), since=now()
    )

    def change(memory: Memory) -> None:
        memory.approval = given

    remember(corpus.store, change)


def pause(corpus: Corpus, reason: str = "") -> None:
    """Leave the corpus alone, removals excepted, until `resume`."""

    def change(memory: Memory) -> None:
        memory.paused = memory.paused or Pause(since=now(), reason=reason)

    remember(corpus.store, change)


def resume(corpus: Corpus) -> None:
    """Repair the corpus again."""

    def change(memory: Memory) -> None:
        memory.paused = None

    remember(corpus.store, change)


def is_acknowledged(memory: Memory, issue: DriftIssue, today: date) -> bool:
    """Whether a person knows of the drift and wants it left alone today."""
    until = memory.acknowledged.get(issue.type)
    return until is not None and today <= until


def acknowledge(corpus: Corpus, drift: str, until: date) -> None:
    """Leave a type of drift alone, and unreported, until the end of that day (UTC)."""
    today = now().date()

    def change(memory: Memory) -> None:
        kept = {name: day for name, day in memory.acknowledged.items() if day >= today}
        memory.acknowledged = kept | {drift: until}

    remember(corpus.store, change)


def confirm_removals(corpus: Corpus, source: str) -> list[str]:
    """Allow the held removals of a source, and return their ids. Those of another listing are held anew."""
    held = SystemState(corpus).documents.held
    if source not in held:
        waiting = ", ".join(sorted(held)) or "none"
        raise RagAssetsError(f"corpus {corpus.name}: no removals of source {source!r} are held; held: {waiting}")

    def change(memory: Memory) -> None:
        known = memory.confirmed.get(source, [])
        memory.confirmed[source] = sorted({*known, *held[source]})

    remember(corpus.store, change)
    return held[source]
