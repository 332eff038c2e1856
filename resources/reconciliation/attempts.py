"""What is remembered of trying: repairs that did not help are put off, longer each time, and after a few left alone.

An attempt counts against an issue until the issue is gone or affects less than before: whatever makes progress, even a
run that was killed, starts counting anew. Not here: whether a repair may run (`decision`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from resources.corpus import Corpus
from resources.identity import shard_of
from resources.policy import RetrySettings
from resources.reconciliation.drift import DriftIssue, Severity, holds
from resources.reconciliation.memory import Attempt, Incident, Memory, now, remember
from resources.reconciliation.observe import SystemState


def is_exhausted(attempt: Attempt | None, issue: DriftIssue, retries: RetrySettings) -> bool:
    """Whether the issue was tried as often as allowed, and no attempt made it smaller."""
    return attempt is not None and issue.affected >= attempt.least and attempt.attempts >= retries.attempts


def is_waiting(attempt: Attempt | None, issue: DriftIssue, at: datetime) -> bool:
    """Whether the issue is to be tried again, but not yet."""
    return attempt is not None and issue.affected >= attempt.least and at < attempt.next


def backoff(corpus: str, key: str, attempts: int, retries: RetrySettings) -> timedelta:
    """Return how long to wait after so many attempts: doubled each time, and up to half as long again, so that corpora
    that fail together do not try again together.
    """
    wait: timedelta = min(retries.backoff * 2 ** min(attempts - 1, 30), retries.max_backoff)
    return wait * (1 + shard_of(f"{corpus} {key} {attempts}", 1000) / 2000)


def record_attempt(corpus: Corpus, issues: Iterable[DriftIssue], at: datetime | None = None) -> None:
    """Note, before a repair of these issues starts, that it does; so an attempt that is killed counts too."""
    at, retries = at or now(), corpus.settings.retries
    started = list(issues)

    def change(memory: Memory) -> None:
        for issue in started:
            before = memory.attempts.get(issue.key)
            goes_on = before is not None and issue.affected >= before.least
            count = (before.attempts if before is not None and goes_on else 0) + 1
            until = at + backoff(corpus.name, issue.key, count, retries)
            memory.attempts[issue.key] = Attempt(
                attempts=count,
                least=min(issue.affected, before.least if before else issue.affected),
                last=at,
                next=until,
            )

    remember(corpus.store, change)


def record_failure(corpus: Corpus, keys: Iterable[str], at: datetime | None = None) -> None:
    """Let the waiting begin now, after an attempt at the issues of these keys failed."""
    at, retries = at or now(), corpus.settings.retries
    failed = list(keys)

    def change(memory: Memory) -> None:
        for key in failed:
            if (one := memory.attempts.get(key)) is not None:
                one.next = at + backoff(corpus.name, key, one.attempts, retries)

    remember(corpus.store, change)


@dataclass(frozen=True)
class Changes:
    """What a look brought: issues seen for the first time, or that now wait for a person, and incidents that are over.

    Both with the incident they are remembered as.
    """

    appeared: tuple[tuple[DriftIssue, Incident], ...] = ()
    over: tuple[tuple[str, Incident], ...] = ()


def record_look(
    corpus: Corpus,
    state: SystemState,
    active: Iterable[DriftIssue],
    at: datetime | None = None,
    *,
    waits: bool = False,
) -> Changes:
    """Forget what a look shows to be over, and return what is new. `waits`: nothing goes on without a person.

    Over are: attempts at issues that are gone, an approval once the state holds, confirmed removals that are done.
    """
    at, found = at or now(), {issue.key: issue for issue in active}

    def change(memory: Memory) -> Changes:
        memory.attempts = {key: one for key, one in memory.attempts.items() if key in found}
        if holds(found.values()):
            memory.approval = None
        if memory.confirmed:
            gone = set(state.documents.gone)
            left = {source: [one for one in ids if one in gone] for source, ids in memory.confirmed.items()}
            memory.confirmed = {source: ids for source, ids in left.items() if ids}
        before, memory.incidents = memory.incidents, {}
        appeared = []
        for key, issue in found.items():
            if issue.severity > Severity.LOW:
                known = before.pop(key, None)
                incident = Incident(since=known.since if known else at, affected=issue.affected, waits=waits)
                memory.incidents[key] = incident
                if known is None or (waits and not known.waits):
                    appeared.append((issue, incident))
        return Changes(tuple(appeared), tuple(before.items()))

    return remember(corpus.store, change)
