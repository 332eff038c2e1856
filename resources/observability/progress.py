"""Progress of long work: what is being done, how far, how fast, how long still.

Work reports with `track`; whoever runs it chooses where that goes with `reporting_to` (a terminal's bars, say). Without
a choice, a log line tells every ten seconds. Nothing here decides what is worked on.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Protocol

import structlog

LINE_EVERY = 10.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one task is: an event for a terminal, a log or a socket.

    `phase` and `source` where the task is a source's share of a phase; `bytes` and `total_bytes` where they are known.
    """

    task: str
    done: int
    total: int
    seconds: float
    phase: str | None = None
    source: str | None = None
    bytes: int = 0
    total_bytes: int = 0

    @property
    def is_over(self) -> bool:
        """Whether everything is done."""
        return self.done >= self.total

    def as_json(self) -> dict[str, Any]:
        """Return the event with its rates: items and bytes a second, and the seconds still needed."""
        event: dict[str, Any] = {
            "done": self.done,
            "total": self.total,
            "seconds": round(self.seconds, 1),
            "per_second": round(self.done / self.seconds, 1) if self.seconds else None,
            "eta_seconds": eta(self.done, self.total, self.seconds),
        }
        if self.source is not None:
            event |= {"phase": self.phase, "source": self.source, "bytes": self.bytes, "total_bytes": self.total_bytes}
            event["bytes_per_second"] = round(self.bytes / self.seconds) if self.seconds else None
        return event


class Reporter(Protocol):
    """Receives progress of one task after another, or of several at once."""

    def update(self, progress: Progress) -> None:
        """Take one event; `is_over` ends the task."""
        ...


class LineReporter:
    """Plain log lines: at most one every ten seconds for a task, and one at its end."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}

    def update(self, progress: Progress) -> None:
        now = time.monotonic()
        last = self._last.setdefault(progress.task, now)
        if not progress.is_over and now - last < LINE_EVERY:
            return
        self._last[progress.task] = now
        log.info(progress.task, **progress.as_json())
        if progress.is_over:
            del self._last[progress.task]


def eta(done: int, total: int, elapsed: float) -> float | None:
    """Return the seconds still needed at the rate so far, None before anything was done."""
    return round(elapsed / done * (total - done), 1) if done else None


_reporter: ContextVar[Reporter | None] = ContextVar("reporter", default=None)
_lines = LineReporter()


@contextmanager
def reporting_to(reporter: Reporter) -> Iterator[None]:
    """Send the progress of everything within the block to `reporter`."""
    token = _reporter.set(reporter)
    try:
        yield
    finally:
        _reporter.reset(token)


class Tracker:
    """The progress of one task; `advance` it by the items done. It reports to whom its maker reports, in any thread."""

    def __init__(
        self, task: str, total: int, *, phase: str | None = None, source: str | None = None, total_bytes: int = 0
    ) -> None:
        self._now = Progress(task, 0, total, 0.0, phase, source, 0, total_bytes)
        self._started = time.monotonic()
        self._reporter = _reporter.get() or _lines

    @property
    def done(self) -> int:
        """How many items are done."""
        return self._now.done

    def advance(self, items: int, size: int = 0) -> None:
        """Report that `items` more are done, `size` bytes of them."""
        seconds = time.monotonic() - self._started
        now = self._now
        self._now = replace(now, done=now.done + items, bytes=now.bytes + size, seconds=seconds)
        self._reporter.update(self._now)

    def finish(self) -> None:
        """Report the rest as done, if there is any."""
        if left := self._now.total - self._now.done:
            self.advance(left)


@contextmanager
def track(task: str, total: int) -> Iterator[Tracker]:
    """Report the progress of `total` items of `task` within the block. Nothing is reported for no items."""
    tracker = Tracker(task, total)
    if total:
        tracker.advance(0)
    yield tracker
    tracker.finish()


class SourceProgress:
    """The progress of several sources at once, each a task of its own."""

    def __init__(self, trackers: Mapping[str, Tracker]) -> None:
        self._trackers = trackers

    def advance(self, source: str, items: int, size: int) -> None:
        """Report that `items` more of a source are done, `size` bytes of them."""
        self._trackers[source].advance(items, size)


@contextmanager
def track_sources(phase: str, sizes: Mapping[str, tuple[int, int]]) -> Iterator[SourceProgress]:
    """Report a phase, source by source, within the block; `sizes` says how many items and bytes each has."""
    trackers = {
        source: Tracker(f"{phase} {source}", items, phase=phase, source=source, total_bytes=size)
        for source, (items, size) in sizes.items()
        if items
    }
    for tracker in trackers.values():
        tracker.advance(0)
    yield SourceProgress(trackers)
    for tracker in trackers.values():
        tracker.finish()


class Meter:
    """Passes progress on, and adds up what was done: items and seconds by task, finished tasks only."""

    def __init__(self, onward: Reporter) -> None:
        self.done: dict[str, tuple[int, float]] = {}
        self._onward = onward

    def update(self, progress: Progress) -> None:
        if progress.is_over:
            items, seconds = self.done.get(progress.task, (0, 0.0))
            self.done[progress.task] = (items + progress.total, seconds + progress.seconds)
        self._onward.update(progress)


@contextmanager
def metered() -> Iterator[Meter]:
    """Measure the work within the block, which is reported as it would be without."""
    meter = Meter(_reporter.get() or _lines)
    with reporting_to(meter):
        yield meter
