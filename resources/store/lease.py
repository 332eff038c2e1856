"""One writer per corpus: a lease kept in the store, with a fencing number.

The lease is a numbered file, created exclusively; the highest number holds. It belongs to a run: every process of that
run writes under the same number, and each beats every few seconds, so that the lease lives while any of them does.
Others may take over (create the next number) when it was released, when the process of the run is known to be gone,
when `is_gone` says so, or when nobody has beaten for `TTL` seconds by the waiter's own clock, so that clocks that
differ or jump cannot hand it to two. Not here: what is written under it.
"""

import json
import platform
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath

import psutil
import structlog

from resources.errors import LeaseHeldError, LeaseLostError, StoreError
from resources.store.files import Files

TTL = 30.0
BEAT = 5.0
POLL = 0.25
FOLDER = "lease"

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Process:
    """A process, as others on its host can tell whether it still runs. `started`: see `process_start`."""

    host: str
    pid: int
    started: float

    @classmethod
    def current(cls) -> "Process":
        """Return this process."""
        process = psutil.Process()
        return cls(this_host(), process.pid, process_start(process))

    def is_gone(self) -> bool:
        """Whether it ran on this host and no longer exists."""
        return self.host == this_host() and not process_runs(self.pid, self.started)


@dataclass(frozen=True)
class Holder:
    """Who holds the lease.

    `owner` is a run id, `number` the fencing number, `beat` changes while any process of the run lives; host, pid and
    `process_started` are of the process without which the run is over.
    """

    number: int
    owner: str
    host: str
    pid: int
    process_started: float
    since: str
    beat: int = 0
    released: bool = False

    def process_is_gone(self) -> bool:
        """Whether the run's process ran on this host and no longer exists."""
        return Process(self.host, self.pid, self.process_started).is_gone()

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
                return _parsed(content) or Holder(max(numbers), "unknown", "unknown", 0, 0.0, "unknown")
        return None

    def acquire(
        self,
        owner: str,
        *,
        wait: float,
        is_gone: Callable[[Holder], bool] = _never,
        process: Process | None = None,
    ) -> "HeldLease":
        """Take the lease for `owner`, waiting up to `wait` seconds; where it holds it already, share it at once.

        `process`: the one without which the owner is over, this one by default. Raises LeaseHeldError that says who
        holds it.
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
            ours = current is not None and current.owner == owner
            if current is not None and ours and not (current.released or current.process_is_gone()):
                return HeldLease(self, current)
            if current is None or ours or now - seen_at > TTL or _is_free(current, is_gone):
                taken = self._take(owner, current.number + 1 if current else 1, process or Process.current())
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
        if current is not None and current.owner == owner:
            self._update(current, lambda holder: replace(holder, released=True))

    @contextmanager
    def kept(self, owner: str, known: Holder | None = None) -> Iterator[None]:
        """Beat for `owner` in the background while the block lasts, whenever it holds the lease."""
        stop = threading.Event()
        thread = threading.Thread(
            target=self._beat, args=(owner, known, stop), name=f"lease-{self.corpus}", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    @contextmanager
    def kept_to_the_end(self, owner: str) -> Iterator[None]:
        """Keep the lease with a run, whichever of its steps took it, while the block lasts; then give it back."""
        try:
            with self.kept(owner):
                yield
        finally:
            self.release(owner)

    def _beat(self, owner: str, known: Holder | None, stop: threading.Event) -> None:
        while True:
            try:
                current = self.holder()
                known = current if current is not None and current.owner == owner else known
                if current is not None and known is not None and current.number == known.number:
                    self._update(known, lambda holder: replace(holder, beat=secrets.randbits(48)))
            except StoreError as error:  # the store may be out of reach for a moment; the run goes on
                log.warning("the lease's beat could not be written", corpus=self.corpus, run=owner, reason=str(error))
            if stop.wait(BEAT):
                return

    def _update(self, known: Holder, change: Callable[[Holder], Holder]) -> None:
        """Change what is written of a holder, unless the lease was given back or taken over meanwhile.

        Where that is damaged, what was `known` of it is written anew.
        """

        def changed(written: bytes | None) -> bytes | None:
            holder = (_parsed(written) or known) if written is not None else None
            return _written(change(holder)) if holder is not None and not holder.released else None

        self.files.update(self._path(known.number), changed)

    def _take(self, owner: str, number: int, process: Process) -> "HeldLease | None":
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        mine = Holder(number, owner, process.host, process.pid, process.started, since)
        if not self.files.create(self._path(number), _written(mine)):
            return None
        for older in self._numbers():
            if older < number:
                self.files.delete(self._path(older))
        return HeldLease(self, mine)

    def _numbers(self) -> list[int]:
        names = [PurePosixPath(path).stem for path in self.files.list(FOLDER)]
        return [int(name) for name in names if name.isdecimal()]

    def _path(self, number: int) -> str:
        return f"{FOLDER}/{number:010d}.json"


def _parsed(content: bytes) -> Holder | None:
    """Return the holder, None when the file is damaged."""
    try:
        return Holder(**json.loads(content))
    except (ValueError, TypeError):
        return None


def _written(holder: Holder) -> bytes:
    return json.dumps(asdict(holder)).encode()


class HeldLease:
    """A lease in hand.

    As a context manager it beats in the background; leaving it keeps the lease for the owner's other steps.
    """

    def __init__(self, lease: Lease, holder: Holder) -> None:
        self.lease = lease
        self.holder = holder
        self._kept = lease.kept(holder.owner, holder)

    def check(self) -> None:
        """Raise LeaseLostError when another run has taken over, or this one was ended. Called before every commit."""
        current = self.lease.holder()
        if current is None or current.number != self.holder.number or current.released:
            raise LeaseLostError(
                f"corpus {self.lease.corpus}: run {self.holder.owner} lost the lease to {current}; nothing "
                "more is written. Run it again."
            )

    def __enter__(self) -> "HeldLease":
        self._kept.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._kept.__exit__(None, None, None)
