"""What is remembered of a corpus besides the store itself: attempts, approvals, acknowledgements, pauses, confirmed
removals, incidents, repairs under way.

Losing it costs work, or asks a person again; it is never believed about what the store holds. Written whole, by one
process at a time. Not here: what follows from it (`decision`).
"""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any, TypeVar

import structlog
from pydantic import BaseModel, ValidationError

from resources.store.base import CorpusStore
from resources.store.lease import process_runs, this_host

PATH = "reconciliation/memory.json"

T = TypeVar("T")

log = structlog.get_logger(__name__)


class Attempt(BaseModel):
    """Repairs of one issue that did not end it yet: how many, the least it affected, when it may be tried again."""

    attempts: int
    least: int
    last: datetime
    next: datetime
    run: str | None = None


class Approval(BaseModel):
    """A person's yes to a plan; it holds for the same desired state, up to the same number of chunks and cost."""

    plan: str
    desired: str
    chunks: int
    cost: float
    since: datetime


class Pause(BaseModel):
    """Since when a corpus is left alone, and why."""

    since: datetime
    reason: str = ""


class Incident(BaseModel):
    """A drift that was reported: since when it has been seen without a break, and whether it waits for a person."""

    since: datetime
    affected: int
    waits: bool = False


class Repair(BaseModel):
    """A repair that was planned and is not yet in the history: for which issues, and what the line will begin with.

    `host`, `pid`, `process_started`: the process that carries it out itself; empty where it requested a run.
    """

    planned: datetime
    issues: tuple[str, ...]
    entry: dict[str, Any]
    host: str = ""
    pid: int = 0
    process_started: float = 0.0

    def was_killed(self) -> bool:
        """Whether the process that carried it out on this host is gone."""
        return self.host == this_host() and not process_runs(self.pid, self.process_started)


class Head(BaseModel):
    """The newest line of the history."""

    number: int
    hash: str


class Memory(BaseModel):
    """Everything remembered of a corpus. Attempts and incidents by issue key, confirmed removals by source, repairs by
    their id.
    """

    attempts: dict[str, Attempt] = {}
    approval: Approval | None = None
    acknowledged: dict[str, date] = {}
    paused: Pause | None = None
    confirmed: dict[str, list[str]] = {}
    incidents: dict[str, Incident] = {}
    repairs: dict[str, Repair] = {}
    history: Head | None = None


def now() -> datetime:
    """Return the time in UTC."""
    return datetime.now(UTC)


def read_memory(store: CorpusStore) -> Memory:
    """Return what is remembered; nothing when there is no memory, or it cannot be understood (said in the log)."""
    try:
        return _understood(store, store.files.read(PATH))
    except FileNotFoundError:
        return Memory()


def remember(store: CorpusStore, change: Callable[[Memory], T]) -> T:
    """Change what is remembered, no other change in between, and return what `change` does.

    `change` may be called more than once, each time with a memory as it is then.
    """
    store.create()
    results = []

    def changed(content: bytes | None) -> bytes | None:
        memory = _understood(store, content) if content is not None else Memory()
        before = memory.model_copy(deep=True)
        results.append(change(memory))
        return memory.model_dump_json(indent=1).encode() if memory != before else None

    store.files.update(PATH, changed)
    return results[-1]


def _understood(store: CorpusStore, content: bytes) -> Memory:
    try:
        return Memory.model_validate_json(content)
    except ValidationError:
        place = store.files.where(PATH)
        log.warning("what was remembered cannot be read, and counts as forgotten", corpus=store.corpus, file=place)
        return Memory()
