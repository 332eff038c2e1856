"""Decide: may the drift that was found be repaired now, and by what plan?

`decide` only reads. Whoever starts a run on its word calls `attempts.record_attempt` before, and whoever looks again
`attempts.record_look`. Not here: how a plan is made (`plan`), what a person said (`consent`), and running it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from typing import Any, Literal

from resources.corpus import Corpus
from resources.errors import RagAssetsError
from resources.reconciliation.analyse import TARGET_STATES, analyse
from resources.reconciliation.attempts import is_exhausted, is_waiting
from resources.reconciliation.consent import cost_of, is_acknowledged, is_approved, needs_approval
from resources.reconciliation.drift import Depth, DriftIssue, Severity, holds
from resources.reconciliation.history import past_rates
from resources.reconciliation.memory import now
from resources.reconciliation.observe import SystemState
from resources.reconciliation.plan import Plan, gather_facts, make_plan
from resources.reconciliation.remedies import remedy_for
from resources.retrieval.pipelines import pipeline_names

Verdict = Literal["healthy", "repair", "paused", "pending_approval", "stuck", "backoff"]


@dataclass(frozen=True)
class Decision:
    """What is to be done about a corpus. Materialise `plan.assets` when the verdict is `repair`, and only then.

    `issues`: all that was found, `active`: those that nobody acknowledged, `repairing`: those that `plan` is for.
    `reason`: for a person, with what to type. `exit_code`: 0 it holds, 1 it does not, 3 stuck or waiting for a word.
    """

    verdict: Verdict
    reason: str
    issues: tuple[DriftIssue, ...]
    active: tuple[DriftIssue, ...]
    repairing: tuple[DriftIssue, ...]
    plan: Plan
    exit_code: int

    @property
    def command(self) -> str:
        """What to type about the drift that a run could repair."""
        if self.verdict == "pending_approval":
            return f"rag-assets reconcile approve {self.plan.id} --corpus {self.plan.corpus}"
        if self.verdict == "paused":
            return f"rag-assets reconcile resume --corpus {self.plan.corpus}"
        force = " --force" if self.verdict in ("stuck", "backoff") else ""
        return f"rag-assets reconcile run{force} --corpus {self.plan.corpus}"

    def as_json(self) -> dict[str, Any]:
        """Return the decision as the command line prints it."""
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "issues": [issue.as_json() for issue in self.issues],
            "plan": self.plan.as_json(),
        }


def decide(
    corpus: Corpus,
    target_state: str,
    *,
    force: bool = False,
    pipeline: str | None = None,
    depth: Depth = "scan",
    state: SystemState | None = None,
    at: datetime | None = None,
) -> Decision:
    """Look at a corpus and say what may be done about it now.

    `force` ignores backoff, stuck, and how slight the drift is; a pause, a missing approval and the brake hold all the
    same. `pipeline` limits drift and repair to what that pipeline needs. Documents that are gone are removed whatever
    else has to wait. Raises what a look raises: an unreachable source or store is an error, never a verdict.
    """
    look, at = state or SystemState(corpus), at or now()
    issues = tuple(analyse(look, target_state, depth=depth, pipeline=pipeline))
    active = tuple(one for one in issues if not is_acknowledged(look.memory, one, at.date()))
    due = [one for one in active if remedy_for(one) is not None and (force or one.severity > Severity.LOW)]
    ready = due if force else [one for one in due if not _is_put_off(look, one, at)]
    verdict, reason, code = _before_planning(look, active, due, ready, at)
    chosen = () if verdict == "healthy" else tuple(ready or due)
    plan = _plan(look, target_state, chosen, pipeline)
    if verdict == "repair" and needs_approval(corpus, plan) and not is_approved(look.memory, corpus, plan):
        verdict, reason, code = "pending_approval", _ask(corpus, plan), 3
    leaving = tuple(one for one in ready if one.action == "remove")
    if leaving and verdict == "repair" and len(leaving) == len(ready) < len(due):
        verdict, reason, code = _put_off(look, [one for one in due if one not in ready], at)
    if leaving and verdict not in ("healthy", "repair"):
        reason = f"removals are not put off; the rest is: {reason}"
        verdict, chosen, plan = "repair", leaving, _plan(look, target_state, leaving, pipeline).removals()
    return Decision(verdict, reason, issues, active, chosen, plan, code)


def _plan(look: SystemState, target: str, issues: Sequence[DriftIssue], pipeline: str | None) -> Plan:
    name = look.corpus.name
    if not issues:
        return Plan(name, target, pipeline=pipeline)
    facts, rates = gather_facts(look, issues, target), past_rates(look.corpus.store)
    return make_plan(name, target, issues, facts, rates, pipeline=pipeline)


def _is_put_off(look: SystemState, issue: DriftIssue, at: datetime) -> bool:
    """Whether an issue is to be left alone now. What was killed is no reason to wait, only one attempt more."""
    attempt, retries = look.memory.attempts.get(issue.key), look.corpus.settings.retries
    if is_exhausted(attempt, issue, retries):
        return True
    if not is_waiting(attempt, issue, at):
        return False
    holder = look.corpus.store.lease.holder()
    died_writing = holder is not None and not holder.released and holder.process_is_gone()
    return not (
        died_writing or any(issue.key in one.issues and one.was_killed() for one in look.memory.repairs.values())
    )


def _before_planning(
    look: SystemState,
    active: Sequence[DriftIssue],
    due: Sequence[DriftIssue],
    ready: Sequence[DriftIssue],
    at: datetime,
) -> tuple[Verdict, str, int]:
    """Return verdict, reason and exit code as far as they do not depend on what the repair costs."""
    corpus, memory = look.corpus, look.memory
    if holds(active) and not due:
        return "healthy", "nothing to do", 0
    if memory.paused is not None:
        why = f" ({memory.paused.reason})" if memory.paused.reason else ""
        since = memory.paused.since.isoformat(timespec="seconds")
        return "paused", f"paused since {since}{why}; go on: rag-assets reconcile resume --corpus {corpus.name}", 1
    if not due:
        return _needs_a_person(corpus, active)
    if not ready:
        return _put_off(look, due, at)
    return "repair", ", ".join(sorted({issue.type for issue in ready})), 1


def _needs_a_person(corpus: Corpus, active: Sequence[DriftIssue]) -> tuple[Verdict, str, int]:
    open_issues = [issue for issue in active if issue.severity > Severity.LOW]
    what = "; ".join(f"{issue.description}: {command_for(corpus.name, issue)}" for issue in open_issues)
    if any(issue.type == "removals_held" for issue in open_issues):
        return "pending_approval", what, 3
    return "stuck", f"no run can repair this. {what}", 1


def _put_off(look: SystemState, due: Sequence[DriftIssue], at: datetime) -> tuple[Verdict, str, int]:
    corpus, attempts = look.corpus, look.memory.attempts
    command = f"rag-assets reconcile run --force --corpus {corpus.name}"
    holder = corpus.store.lease.holder()
    if holder is not None and not holder.released and not holder.process_is_gone():
        return "backoff", f"{holder} is at work", 1
    tried = [(one, attempts[one.key]) for one in due]
    if waiting := [attempt.next for one, attempt in tried if not is_exhausted(attempt, one, corpus.settings.retries)]:
        soon = min(waiting).isoformat(timespec="seconds")
        return "backoff", f"the last repair did not help; tried again after {soon}, or now: {command}", 1
    what = ", ".join(f"{one.type} ({attempt.attempts} attempts)" for one, attempt in tried)
    return "stuck", f"repairing did not help: {what}. Find out why (reconcile history), then: {command}", 3


def _ask(corpus: Corpus, plan: Plan) -> str:
    allowed = corpus.settings.auto_repair
    costs = f", {cost_of(corpus, plan):.2f} in cost" if allowed.cost_per_hour else ""
    limits = [
        f"{name} is {value:,}"
        for name, value in (("max_chunks", allowed.max_chunks), ("max_cost", allowed.max_cost))
        if value is not None
    ]
    return (
        f"plan {plan.id} would embed {plan.chunks:,} chunks in about {plan.seconds / 60:.0f} min{costs}; "
        f"auto_repair allows less ({', '.join(limits)}). Approve it: rag-assets reconcile approve {plan.id} --corpus "
        f"{corpus.name}"
    )


def command_for(corpus: str, issue: DriftIssue) -> str:
    """Return what to type, or to do, about an issue."""
    if remedy_for(issue) is not None:
        return f"rag-assets reconcile run --corpus {corpus}"
    if issue.action.startswith(("sources ", "snapshots ")):
        return f"rag-assets {issue.action} --corpus {corpus}"
    return issue.action


def find_plan(corpus: Corpus, plan_id: str) -> Plan:
    """Return the plan of this id, for whatever target state or pipeline it was made; RagAssetsError when none is due.

    A plan is named for what it does, so one that is not found was made before something changed.
    """
    state = SystemState(corpus)
    seen = set()
    for target in TARGET_STATES:
        for pipeline, force in product((None, *pipeline_names()), (False, True)):
            plan = decide(corpus, target, force=force, pipeline=pipeline, state=state).plan
            if plan.id == plan_id and plan.steps:
                return plan
            seen |= {plan.id} if plan.steps and pipeline is None else set()
    now_due = ", ".join(sorted(seen)) or "none"
    raise RagAssetsError(
        f"corpus {corpus.name}: there is no plan {plan_id} now, the corpus has changed; due: {now_due}. See: "
        f"rag-assets reconcile status --corpus {corpus.name}"
    )
