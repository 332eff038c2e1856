"""One writer per corpus: a lease kept in the store, with a fencing number.

The lease is a numbered file, created exclusively; the highest number holds. The holder beats every few seconds. Others
may take over (create the next number) when it was released, when its process is known to be gone, when `is_gone` says
so, or when it has not beaten for `TTL` seconds by the waiter's own clock, so that clocks that differ or jump cannot
hand it to two. Not here: what is written under it.
"""

import json
import platform
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath

import psutil
import structlog

from resources.errors import LeaseHeldError, LeaseLostError
from resources.store.files import Files

TTL = 30.0
BEAT = 5.0
POLL = 0.25
FOLDER = "lease"

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Holder:
    """Who holds the lease: `owner` is a run id, `number` the fencing number, `beat` counts up while it lives."""

    number: int
    owner: str
    host: str
    pid: int
    process_started: float
    since: str
    beat: int = 0
    released: bool = False

    def process_is_gone(self) -> bool:
        """Whether the holder ran on this host and its process no longer exists."""
        return self.host == this_host() and not process_runs(self.pid, self.process_started)

    def __str__(self) -> str:
        return f"run {self.owner} (process {self.pid} on {self.host.split('/')[0]}, since {self.since})"


def this_host() -> str:
    """Name this host and its process namespace: two containers of one machine do not see each other's processes."""
    namespace = Path("/proc/self/ns/pid")
    return f"{platform.node()}/{namespace.stat().st_ino if namespace.exists() else 0}"


def process_start(process: psutil.Process) -> float:
    """Return when a process started, in seconds since this host did: no clock that is set or jumps changes it."""
    return process.create_time() - psutil.boot_time()


def process_runs(pid: int, started: float) -> bool:
    """Whether the process of this id that started then (as `process_start` has it) still runs on this host."""
    try:
        process = psutil.Process(pid)
        return abs(process_start(process) - started) <= 1.0 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _never(_: Holder) -> bool:
    return False


def _is_free(holder: Holder, is_gone: Callable[[Holder], bool]) -> bool:
    return holder.released or holder.process_is_gone() or is_gone(holder)


class Lease:
    """The lease of one corpus."""

    def __init__(self, files: Files, corpus: str) -> None:
        self.files = files
        self.corpus = corpus

    def holder(self) -> Holder | None:
        """Return the newest holder, released or not; None when nobody ever wrote.

        A file that is damaged says nothing of its holder, who writes it anew with the next beat if there is one.
        """
        while numbers := self._numbers():
            with suppress(FileNotFoundError):  # a newer holder has cleaned it up meanwhile: look again
                content = self.files.read(self._path(max(numbers)))
                try:
                    return Holder(**json.loads(content))
                except (ValueError, TypeError):
                    return Holder(max(numbers), "unknown", "unknown", 0, 0.0, "unknown")
        return None

    def acquire(self, owner: str, *, wait: float, is_gone: Callable[[Holder], bool] = _never) -> "HeldLease":
        """Take the lease for `owner`, waiting up to `wait` seconds; the same owner takes its own lease again at once.

        Raises LeaseHeldError that says who holds it.
        """
        deadline = time.monotonic() + wait
        seen: tuple[int, int] | None = None
        told = 0
        seen_at = time.monotonic()
        while True:
            current = self.holder()
            now = time.monotonic()
            if current is not None and (current.number, current.beat) != seen:
                seen, seen_at = (current.number, current.beat), now
            if current is None or current.owner == owner or now - seen_at > TTL or _is_free(current, is_gone):
                taken = self._take(owner, current.number + 1 if current else 1)
                if taken is not None:
                    return taken
            elif now >= deadline:
                raise LeaseHeldError(
                    f"corpus {self.corpus} is being written by {current}; waited {wait:.0f} s. Try again when "
                    "it has finished, or stop that run."
                )
            else:
                if current.number != told:
                    log.info("waiting for another run", corpus=self.corpus, holder=str(current), seconds=round(wait))
                    told = current.number
                time.sleep(POLL)

    def release(self, owner: str) -> None:
        """Give the lease back if `owner` holds it. For whoever started a run, after it ended however it ended."""
        current = self.holder()
        if current is not None and current.owner == owner and not current.released:
            self.write(replace(current, released=True))

    def _take(self, owner: str, number: int) -> "HeldLease | None":
        process = psutil.Process()
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        mine = Holder(number, owner, this_host(), process.pid, process_start(process), since)
        if not self.files.create(self._path(number), _written(mine)):
            return None
        for older in self._numbers():
            if older < number:
                self.files.delete(self._path(older))
        return HeldLease(self, mine)

    def write(self, holder: Holder) -> None:
        """Write down how its holder is."""
        self.files.write(self._path(holder.number), _written(holder))

    def _numbers(self) -> list[int]:
        names = [PurePosixPath(path).stem for path in self.files.list(FOLDER)]
        return [int(name) for name in names if name.isdecimal()]

    def _path(self, number: int) -> str:
        return f"{FOLDER}/{number:010d}.json"


def _written(holder: Holder) -> bytes:
    return json.dumps(asdict(holder)).encode()


class HeldLease:
    """A lease in hand.

    As a context manager it beats in the background; leaving it keeps the lease for the owner's next step.
    """

    def __init__(self, lease: Lease, holder: Holder) -> None:
        self.lease = lease
        self.holder = holder
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"lease-{lease.corpus}", daemon=True)

    def check(self) -> None:
        """Raise LeaseLostError when another run has taken over. Called before every commit."""
        current = self.lease.holder()
        if current is None or current.number != self.holder.number:
            raise LeaseLostError(
                f"corpus {self.lease.corpus}: run {self.holder.owner} lost the lease to {current}; nothing "
                "more is written. Run it again."
            )

    def __enter__(self) -> "HeldLease":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _beat(self) -> None:
        beat = 0
        while not self._stop.wait(BEAT):
            beat += 1
            current = self.lease.holder()
            if current is None or current.number != self.holder.number or current.released:
                return
            self.lease.write(replace(self.holder, beat=beat))
