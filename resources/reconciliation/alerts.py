"""Alerts: one structured event when a drift appears, when it comes to wait for a person, and when it is over.

An event says what is wrong, since when, what that means for those who ask now, and what to type. Where it goes is up to
the log. Not here: what counts as an incident (`attempts.record_look`).
"""

import structlog

from resources.corpus import Corpus
from resources.reconciliation.attempts import record_look
from resources.reconciliation.decision import Decision, command_for
from resources.reconciliation.drift import DriftIssue
from resources.reconciliation.observe import SystemState

log = structlog.get_logger(__name__)

STALE = frozenset(
    {
        "missing_documents",
        "source_changed",
        "removals_held",
        "stale_parser",
        "stale_text",
        "stale_chunker",
        "stale_model",
        "unpublished",
        "hidden_documents",
    }
)
HARMLESS = frozenset({"no_evaluation", "stale_evaluation", "report_missing"})


def effect_on_answers(issue: DriftIssue) -> str:
    """Say what a drift means for those who ask now: live answers are `missing`, `wrong`, `stale` or `unaffected`."""
    if issue.type == "never_published":
        return "missing"
    if issue.type in STALE:
        return "stale"
    return "wrong" if issue.where in ("live", "both") and issue.type not in HARMLESS else "unaffected"


def report_look(corpus: Corpus, state: SystemState, decision: Decision, run: str | None = None) -> None:
    """Remember a look (`record_look`) and log an event for each incident that began, came to wait, or ended with it."""
    waits = decision.verdict in ("pending_approval", "stuck")
    changes = record_look(corpus, state, decision.active, waits=waits)
    for issue, incident in changes.appeared:
        log.warning(
            "drift",
            corpus=corpus.name,
            drift=issue.type,
            where=issue.where,
            severity=issue.severity.name.lower(),
            affected=issue.affected,
            since=incident.since.isoformat(timespec="seconds"),
            live_answers=effect_on_answers(issue),
            verdict=decision.verdict,
            command=decision.command if issue in decision.repairing else command_for(corpus.name, issue),
            run=run,
        )
    for key, incident in changes.over:
        since = incident.since.isoformat(timespec="seconds")
        log.info("drift is over", corpus=corpus.name, drift=key, since=since, run=run)
