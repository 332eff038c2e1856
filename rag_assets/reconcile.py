"""The loop: observe, analyse, plan, decide, materialise, verify, record. Commands and the daemon all go through it.

One round is a Dagster run of the assets that the plan names, and a second look at everything. Not here: what is decided
and how it is remembered (`resources.reconciliation`), and printing.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from typing import Literal
from uuid import uuid4

import structlog

from rag_assets.corpora import DEADLINE_TAG, MODE_TAG, SHARE_TAG
from rag_assets.instance import open_instance
from rag_assets.runs import RunOutcome, materialise
from resources.corpus import Corpus, corpus_settings, open_corpus
from resources.errors import BudgetUsedError, ModelError, NoSnapshotError, RagAssetsError, StoreError
from resources.materialisation.rollback import roll_back
from resources.observability.logging import configure_logging
from resources.observability.progress import Meter, metered
from resources.reconciliation.alerts import report_look
from resources.reconciliation.audit.look import audit
from resources.reconciliation.audit.marks import record
from resources.reconciliation.decision import Decision, decide
from resources.reconciliation.drift import Depth, holds
from resources.reconciliation.observe import SystemState
from resources.reconciliation.rates import START
from resources.reconciliation.record import End, end_repair, fail_to_verify, plan_repair, verify_repair
from resources.settings import Settings
from resources.store.writer import writing
from resources.targets import Target
from sensors.graph import PLAN_TAG, REPAIR_TAG
from sensors.repairs import ended_repairs

Mode = Literal["progressive", "complete", "emergency"]
ROUNDS = 3
MEASURED = {"documents": "fetch", "chunks": "chunk", "token embeddings": "embed"}

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Options:
    """How to reconcile.

    `force`: do not mind backoff and stuck; `always`: run even when nothing differs. `mode`: `progressive` keeps to the
    budget, `complete` leaves its bounds on documents and minutes aside, `emergency` rolls back and pins first and then
    does the same. `depth`: how deep each look goes; what it proves is marked, so that later looks need not go as deep.
    `deadline` (seconds since the epoch) and `share` (of memory and cores) are this corpus's part of what
    several share.
    """

    target: str
    pipeline: str | None = None
    force: bool = False
    always: bool = False
    mode: Mode = "progressive"
    depth: Depth = "scan"
    deadline: float | None = None
    share: float = 1.0


@dataclass(frozen=True)
class Round:
    """One run. `bounded`: it left work because of its budget of documents."""

    outcome: RunOutcome
    bounded: bool = False

    @property
    def problem(self) -> str:
        """Why nothing goes on after it, if so."""
        bound = str(BudgetUsedError("budget.max_documents is reached")) if self.bounded else ""
        return self.outcome.problem or bound


@dataclass(frozen=True)
class Reconciliation:
    """How it went. `first` is what was found and planned, `last` what a look at everything found at the end.

    `rolled_back_to`: the snapshot that an emergency put back.
    """

    corpus: Corpus
    first: Decision
    last: Decision
    rounds: tuple[Round, ...] = ()
    seconds: float = 0.0
    rolled_back_to: int | None = None

    @property
    def converged(self) -> bool:
        """Whether everything that nobody acknowledged is as it should be."""
        return holds(self.last.active)

    @property
    def problem(self) -> str:
        """The line to show about the last run, if anything went wrong."""
        return self.rounds[-1].problem if self.rounds else ""

    @property
    def exit_code(self) -> int:
        """The last run's own when it failed, else that of the last look."""
        return (self.rounds[-1].outcome.exit_code if self.rounds else 0) or self.last.exit_code

    @property
    def run_ids(self) -> tuple[str, ...]:
        """Dagster's ids of the runs."""
        return tuple(one.outcome.run_id for one in self.rounds)


def reconcile(settings: Settings, name: str, options: Options, target: Target | None = None) -> Reconciliation:
    """Bring a corpus as far towards its target state as may be done now.

    Rounds follow each other while they bring drift to light that nobody has tried to repair yet (a check quarantined
    a row, say), at most three. Raises what a look raises; what a run raises is in the result.
    """
    started = time.monotonic()
    look = partial(_look, settings, name, options, target)
    corpus, state, first = look(force=options.force)
    _record_what_ended(settings, corpus, state, first)
    rolled_back = _roll_back(state) if options.mode == "emergency" and first.verdict != "healthy" else None
    if rolled_back is not None:
        corpus, state, first = look(force=options.force)
    decision, rounds = first, list[Round]()
    while _is_to_run(decision, options, rounds):
        repair, outcome, end = _materialise(settings, corpus, decision, options)
        corpus, state, verified = _verify(corpus, repair, end, look)
        rounds.append(Round(outcome, _is_bounded(corpus, decision, verified, options)))
        decision = verified
    if not rounds:
        _free_a_dead_run(settings, corpus)
    report_look(corpus, state, decision, rounds[-1].outcome.run_id if rounds else None)
    seconds = time.monotonic() - started
    return Reconciliation(corpus, first, decision, tuple(rounds), seconds, rolled_back)


Look = tuple[Corpus, SystemState, Decision]


def _look(settings: Settings, name: str, options: Options, target: Target | None, *, force: bool) -> Look:
    corpus = open_corpus(settings, name, target)
    if options.depth != "scan":
        _audit(corpus, options.depth)
    state = SystemState(corpus)
    return corpus, state, decide(corpus, options.target, force=force, pipeline=options.pipeline, state=state)


def _audit(corpus: Corpus, depth: Literal["checksum", "reembed"]) -> None:
    """Mark what an audit proves, so that the look that follows, its plan and the run see it."""
    found = audit(corpus, depth)
    if not found.issues:
        return
    owner = f"audit-{uuid4()}"
    with writing(corpus.store, owner, wait=corpus.settings.lease_wait.total_seconds()) as writer:
        record(writer, corpus, found.issues, found.live)
    corpus.store.lease.release(owner)


def _is_to_run(decision: Decision, options: Options, rounds: Sequence[Round]) -> bool:
    if not rounds:
        return decision.verdict == "repair" or (options.always and decision.verdict == "healthy")
    return decision.verdict == "repair" and not rounds[-1].problem and len(rounds) < ROUNDS


def _record_what_ended(settings: Settings, corpus: Corpus, state: SystemState, decision: Decision) -> None:
    """Write down repairs that ended unseen: a sensor's, or a command's that was killed."""
    if state.memory.repairs:
        with open_instance(settings) as instance:
            for repair, end in ended_repairs(instance, corpus).items():
                verify_repair(corpus, repair, end, state, decision)


def _materialise(
    settings: Settings, corpus: Corpus, decision: Decision, options: Options
) -> tuple[str, RunOutcome, End]:
    """Run what the plan names, and return the repair's id, how the run ended, and what is to be recorded of it."""
    repair = plan_repair(corpus, decision, by="command", here=True, pipeline=options.pipeline, mode=options.mode)
    tags = {
        MODE_TAG: options.mode,
        PLAN_TAG: decision.plan.id,
        REPAIR_TAG: repair,
        SHARE_TAG: str(options.share),
    }
    if options.deadline is not None:
        tags[DEADLINE_TAG] = str(options.deadline)
    started = time.monotonic()
    with open_instance(settings) as instance, metered() as meter:
        outcome = materialise(settings, corpus, decision.plan.assets or None, instance, decision.reason, tags=tags)
    seconds = time.monotonic() - started
    end = End(
        outcome.run_id,
        outcome.success,
        outcome.problem,
        seconds,
        stopped=outcome.error == BudgetUsedError.__name__,
        measured=_measured(meter, decision, seconds) if outcome.success else {},
    )
    end_repair(corpus, repair, end)
    return repair, outcome, end


def _verify(corpus: Corpus, repair: str, end: End, look: Callable[..., Look]) -> Look:
    """Look at everything again, and write down what was done and whether it converged."""
    try:
        seen = look(force=False)
    except RagAssetsError as error:
        fail_to_verify(corpus, repair, end, error)
        raise
    verify_repair(seen[0], repair, end, *seen[1:])
    return seen


def _is_bounded(corpus: Corpus, planned: Decision, verified: Decision, options: Options) -> bool:
    """Whether a run left work because it may not work on more documents."""
    most = corpus.settings.budget.max_documents
    bounded = options.mode == "progressive" and most is not None and len(planned.plan.documents) > most
    return bounded and not holds(verified.active)


def _measured(meter: Meter, decision: Decision, seconds: float) -> dict[str, dict[str, float]]:
    """Return items and seconds by action; rows that were copied would make embedding look fast."""
    rest = seconds - sum(spent for task, (_, spent) in meter.done.items() if task in MEASURED)
    copied = any(step.action == "copy" for step in decision.plan.steps)
    return {START: {"items": 1, "seconds": round(rest, 2)}} | {
        MEASURED[task]: {"items": items, "seconds": round(seconds, 2)}
        for task, (items, seconds) in meter.done.items()
        if task in MEASURED and not (copied and MEASURED[task] == "embed")
    }


def _roll_back(state: SystemState) -> int | None:
    """Put back the newest older snapshot that is whole, pinned; None when there is none, or live is pinned already."""
    corpus, live, snapshots = state.corpus, state.live, state.corpus.store.snapshots
    if live is None or live.pinned:
        return None
    for number in reversed(snapshots.numbers()):
        try:
            older = snapshots.read(number)
            if older.content != live.content:
                rolled = roll_back(corpus, number)
                log.warning("emergency: rolled back and pinned", corpus=corpus.name, to=number, snapshot=rolled.number)
                return number
        except (StoreError, ModelError, NoSnapshotError) as error:
            log.warning("emergency: a snapshot cannot be put back", corpus=corpus.name, to=number, reason=str(error))
    return None


def _free_a_dead_run(settings: Settings, corpus: Corpus) -> None:
    """Report the last run failed if it died before it could end, even when it left nothing else to do."""
    holder = corpus.store.lease.holder()
    if holder is not None and not holder.released and holder.process_is_gone():
        with open_instance(settings):
            corpus.store.lease.release(holder.owner)


@dataclass(frozen=True)
class Outcome:
    """How one corpus of several fared; `problem` where it could not be looked at, or its run failed."""

    corpus: str
    verdict: str
    reason: str
    exit_code: int
    problem: str = ""
    runs: tuple[str, ...] = ()


def reconcile_all(settings: Settings, names: Sequence[str], options: Options) -> list[Outcome]:
    """Reconcile several corpora, `reconcile.parallel` at a time, each in a process of its own when at more than one.

    They share one budget: the time of the shortest `budget.max_minutes` among them starts now, and those that run side
    by side divide memory and cores. An error of one leaves the others alone.
    """
    workers = max(1, min(settings.reconcile.parallel, len(names)))
    minutes = [corpus_settings(settings, name).budget.max_minutes for name in names]
    bounds = [one for one in minutes if one is not None]
    deadline = time.time() + min(bounds) * 60 if bounds else None
    one = partial(_one_of_several, settings, replace(options, deadline=deadline, share=1 / workers))
    if workers == 1:
        return [one(name) for name in names]
    with open_instance(settings):
        pass  # made ready once, before several processes would make it ready at the same time
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return list(pool.map(one, names))


def _one_of_several(settings: Settings, options: Options, name: str) -> Outcome:
    configure_logging()
    try:
        done = reconcile(settings, name, options)
    except RagAssetsError as error:
        return Outcome(name, "error", str(error), error.exit_code, str(error))
    return Outcome(name, done.last.verdict, done.last.reason, done.exit_code, done.problem, done.run_ids)
