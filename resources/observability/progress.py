"""Progress of long work: what is being done, how far, how fast, how long still.

Work reports with `track`; whoever runs it chooses where that goes with `reporting_to` (a terminal's bars, say). Without
a choice, a log line tells every ten seconds. Nothing here decides what is worked on.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

import structlog

LINE_EVERY = 10.0

log = structlog.get_logger(__name__)


class Reporter(Protocol):
    """Receives progress of one task after another, or of several at once."""

    def update(self, task: str, done: int, total: int, elapsed: float) -> None:
        """`done` of `total` items after `elapsed` seconds; `done == total` ends the task."""
        ...


class LineReporter:
    """Plain log lines: at most one every ten seconds for a task, and one at its end."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}

    def update(self, task: str, done: int, total: int, elapsed: float) -> None:
        now = time.monotonic()
        last = self._last.setdefault(task, now)
        if done < total and now - last < LINE_EVERY:
            return
        self._last[task] = now
        log.info(task, done=done, total=total, seconds=round(elapsed, 1), eta_seconds=eta(done, total, elapsed))
        if done >= total:
            del self._last[task]


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
    """The progress of one task; `advance` it by the items done."""

    def __init__(self, task: str, total: int) -> None:
        self.task = task
        self.total = total
        self.done = 0
        self._started = time.monotonic()

    def advance(self, items: int) -> None:
        """Report that `items` more are done."""
        self.done += items
        self._report()

    def _report(self) -> None:
        (_reporter.get() or _lines).update(self.task, self.done, self.total, time.monotonic() - self._started)


@contextmanager
def track(task: str, total: int) -> Iterator[Tracker]:
    """Report the progress of `total` items of `task` within the block. Nothing is reported for no items."""
    tracker = Tracker(task, total)
    if total:
        tracker._report()
    yield tracker
    if total and tracker.done < total:
        tracker.advance(total - tracker.done)
