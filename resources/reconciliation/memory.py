"""What is remembered of a corpus besides the store itself: attempts, approvals, acknowledgements, pauses, confirmed
removals, incidents.

Losing it costs work, or asks a person again; it is never believed about what the store holds. Written whole, by one
process at a time. Not here: what follows from it (`decision`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime

import structlog
from filelock import FileLock
from pydantic import BaseModel, ValidationError

from resources.errors import StoreError
from resources.store.base import CorpusStore
from resources.store.files import write_atomically

NAME = "memory.json"
LOCK = ".lock"

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


class Head(BaseModel):
    """The newest line of the history."""

    number: int
    hash: str


class Memory(BaseModel):
    """Everything remembered of a corpus. Attempts and incidents by issue key, confirmed removals by source."""

    attempts: dict[str, Attempt] = {}
    approval: Approval | None = None
    acknowledged: dict[str, date] = {}
    paused: Pause | None = None
    confirmed: dict[str, list[str]] = {}
    incidents: dict[str, Incident] = {}
    history: Head | None = None


def now() -> datetime:
    """Return the time in UTC."""
    return datetime.now(UTC)


def read_memory(store: CorpusStore) -> Memory:
    """Return what is remembered; nothing when there is no memory, or it cannot be understood (said in the log)."""
    path = store.reconciliation / NAME
    try:
        return Memory.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Memory()
    except ValidationError:
        log.warning("what was remembered cannot be read, and counts as forgotten", corpus=store.corpus, file=str(path))
        return Memory()
    except OSError as error:
        raise StoreError(f"corpus {store.corpus}: {path} cannot be read: {error.strerror}") from error


@contextmanager
def remembering(store: CorpusStore) -> Iterator[Memory]:
    """Yield the memory to be changed, for one process at a time, and write it down at the end if it did change."""
    store.create()
    folder = store.reconciliation
    try:
        folder.mkdir(exist_ok=True)
        with FileLock(folder / LOCK):
            memory = read_memory(store)
            before = memory.model_dump_json()
            yield memory
            if memory.model_dump_json() != before:
                write_atomically(folder / NAME, memory.model_dump_json(indent=1))
    except OSError as error:
        raise StoreError(f"corpus {store.corpus}: {folder} cannot be written: {error.strerror or error}") from error
