"""The record of a repair: noted when it is planned, a line of the history once a look after its end says what it did.

Whoever starts a run for a plan, a command or a sensor, notes the repair first and gives the run its id; whoever sees
that the run has ended says how, looks at everything, and writes the line. A repair that is noted and not yet written
down is kept in the memory, so one whose process was killed is written down by whoever looks next (a crash in the midst
of that may write it twice, under the same id). Not here: the lines' chain (`history`), alerts, and runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import psutil

from resources.corpus import Corpus
from resources.reconciliation.attempts import record_attempt, record_failure
from resources.reconciliation.decision import Decision
from resources.reconciliation.drift import holds
from resources.reconciliation.history import append
from resources.reconciliation.memory import Repair, now, read_memory, remember
from resources.reconciliation.observe import SystemState
from resources.store.lease import process_start, this_host

RECORDED_IDS = 20


@dataclass(frozen=True)
class End:
    """How a repair's run ended. `run`: Dagster's id, None where none was ever started. `seconds`: how long it took.

    `stopped`: by its budget, which is held against nobody. `measured`: items and seconds by action, for the rates.
    """

    run: str | None
    success: bool
    problem: str = ""
    seconds: float = 0.0
    stopped: bool = False
    measured: Mapping[str, Any] = field(default_factory=dict)


def plan_repair(
    corpus: Corpus,
    decision: Decision,
    *,
    by: str,
    here: bool = False,
    reason: str = "",
    pipeline: str | None = None,
    mode: str = "progressive",
) -> str:
    """Note, before its run is started or requested, that a repair begins, and return its id.

    `by`: what starts it; `here`: in this process, so that the repair counts as killed when the process is gone.
    """
    record_attempt(corpus, decision.repairing)
    at, repair = now(), uuid4().hex[:12]
    entry = {
        "time": at.isoformat(timespec="seconds"),
        "repair": repair,
        "by": by,
        "reason": reason or decision.reason,
        "target": decision.plan.target,
        "pipeline": pipeline,
        "mode": mode,
        "found": [issue.as_json() | {"ids": list(issue.ids[:RECORDED_IDS])} for issue in decision.issues],
        "plan": {name: value for name, value in decision.plan.as_json().items() if name != "steps"},
    }
    keys = tuple(issue.key for issue in decision.repairing)
    noted = Repair(planned=at, issues=keys, entry=entry)
    if here:
        process = psutil.Process()
        where = {"host": this_host(), "pid": process.pid, "process_started": process_start(process)}
        noted = noted.model_copy(update=where)
    remember(corpus.store, lambda memory: memory.repairs.update({repair: noted}))
    return repair


def end_repair(corpus: Corpus, repair: str, end: End) -> None:
    """Let the waiting for the next attempt begin when the run failed. To be called before the look that verifies."""
    noted = read_memory(corpus.store).repairs.get(repair)
    if noted is not None and not end.success and not end.stopped:
        record_failure(corpus, noted.issues)


def verify_repair(corpus: Corpus, repair: str, end: End, state: SystemState, decision: Decision) -> None:
    """Write down what was done, and what a look at everything after it found."""
    left = {issue.key: issue.affected for issue in decision.active}
    snapshot = state.live.number if state.live is not None else None
    _write(corpus, repair, end, {"converged": holds(decision.active), "left": left, "snapshot": snapshot})


def fail_to_verify(corpus: Corpus, repair: str, end: End, error: Exception) -> None:
    """Write down what was done, and that the look after it failed."""
    _write(corpus, repair, end, {"converged": False, "left": {}, "problem": str(error)})


def _write(corpus: Corpus, repair: str, end: End, outcome: Mapping[str, Any]) -> None:
    noted = read_memory(corpus.store).repairs.get(repair)
    if noted is None:
        return
    done = {
        "run": end.run,
        "success": end.success,
        "problem": end.problem,
        "seconds": round(end.seconds, 1),
        "cost": round(end.seconds / 3600 * corpus.settings.auto_repair.cost_per_hour, 4),
        "measured": dict(end.measured),
    }
    append(corpus.store, {**noted.entry, **done, **outcome})
    remember(corpus.store, lambda memory: memory.repairs.pop(repair, None))
