"""Reads documents: several sources at a time, several documents of each, within bounds of memory and of patience.

Here: threads, retries with backoff, rate limits, circuit breakers and the budget of bytes in flight, alike for every
kind of source. Not here: which documents are read (`resources.reconciliation`), and how a source opens one.
"""

import mimetypes
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextvars import copy_context
from queue import SimpleQueue
from typing import IO, Any, TypeVar

import psutil
import structlog
import tenacity

from resources.parsing.registry import media_type_of
from resources.sources.base import FetchFailure, Pace, RawDocument, Source, SourceItem
from resources.sources.failures import ExhaustionError, ReadError, Strategy, classify

SOURCES_AT_A_TIME = 8
BLOCK = 1 << 20
UNKNOWN_SIZE = 8 << 20
LEAST_CHARGE = 64 << 10
MOST_IN_FLIGHT = 256 << 20
SHARE_OF_FREE_MEMORY = 0.25
BASE_PAUSE = 0.5
LONGEST_PAUSE = 30.0
LONGEST_RETRY_AFTER = 120.0

T = TypeVar("T")
Outcome = tuple[Source, SourceItem, RawDocument | FetchFailure]

log = structlog.get_logger(__name__)


class TooLargeError(ExhaustionError):
    """The document is larger than `max_mb`; asking again at once would not help."""

    strategy = Strategy(later=True)


class CircuitOpenError(ReadError):
    """Not tried: too many documents of this source failed in a row."""


class ByteBudget:
    """How many bytes may be in flight between the sources and the parser; shrinks when memory gets scarce.

    Whoever comes first is always let in, so that a document larger than the budget is read alone.
    """

    def __init__(self, most: int = MOST_IN_FLIGHT, free: Callable[[], int] | None = None) -> None:
        self._most = most
        self._free = free or _free_memory
        self._condition = threading.Condition()
        self.held = 0
        self.most = 0

    def acquire(self, size: int, stopped: threading.Event) -> None:
        """Wait until `size` bytes more may be in flight, or the work is stopped."""
        with self._condition:
            while self.held and self.held + size > self._allowed() and not stopped.is_set():
                self._condition.wait(0.2)
            self.held += size
            self.most = max(self.most, self.held)

    def release(self, size: int) -> None:
        """Give back what was acquired."""
        with self._condition:
            self.held -= size
            self._condition.notify_all()

    def _allowed(self) -> int:
        return min(self._most, int(self._free() * SHARE_OF_FREE_MEMORY))


def _free_memory() -> int:
    return int(psutil.virtual_memory().available)


class Throttle:
    """How hard one source is asked right now: requests a second, documents at a time, and whether at all.

    Halves the documents at a time when the source asks for less, and takes one more after each ten that went well.
    """

    def __init__(self, pace: Pace, stopped: threading.Event) -> None:
        self._pace = pace
        self._stopped = stopped
        self._condition = threading.Condition()
        self._next_at = 0.0
        self._allowed = pace.concurrency
        self._inside = 0
        self._good = 0
        self._failed_in_a_row = 0
        self.broken_by: ReadError | None = None

    @property
    def allowed(self) -> int:
        """How many documents may be read at a time right now."""
        return self._allowed

    def enter(self) -> None:
        """Wait for a place and for the next moment that `rate` allows."""
        with self._condition:
            while self._inside >= self._allowed and not self._stopped.is_set():
                self._condition.wait(0.2)
            self._inside += 1
            now = time.monotonic()
            at = max(now, self._next_at)
            self._next_at = at + (1 / self._pace.rate if self._pace.rate else 0)
        self._stopped.wait(at - now)

    def leave(self, failure: ReadError | None) -> None:
        """Give the place back and learn from how it went."""
        with self._condition:
            self._inside -= 1
            if failure is None:
                self._failed_in_a_row = 0
                self._good += 1
                if self._good % 10 == 0:
                    self._allowed = min(self._pace.concurrency, self._allowed + 1)
            elif failure.strategy.slows:
                self._allowed = max(1, self._allowed // 2)
            self._condition.notify_all()

    def give_up(self, failure: ReadError) -> None:
        """Count a document that failed for good; open the circuit when too many did so in a row."""
        with self._condition:
            self._failed_in_a_row += 1
            breaks = failure.strategy.breaks
            if self.broken_by is None and breaks and self._failed_in_a_row >= breaks:
                self.broken_by = failure
                log.warning("circuit open: the rest of this source is left for later", reason=str(failure))


def retrying(
    call: Callable[[], T], what: str, *, pause: float | None = None, stopped: threading.Event | None = None
) -> T:
    """Return `call()`, tried again as the strategy of its failure says; ReadError when that did not help.

    Pauses grow exponentially with full jitter (Brooker, "Exponential Backoff And Jitter", 2015) and are never shorter
    than the other side's Retry-After.
    """
    halt = stopped or threading.Event()
    shortest = BASE_PAUSE if pause is None else pause

    def attempt() -> T:
        try:
            return call()
        except Exception as error:
            raise classify(error, what) from error

    def enough(state: tenacity.RetryCallState) -> bool:
        failure = _failure(state)
        too_long = (failure.retry_after or 0) > LONGEST_RETRY_AFTER
        if halt.is_set() or too_long or state.attempt_number >= failure.strategy.attempts:
            failure.final = True
        return failure.final

    def wait(state: tenacity.RetryCallState) -> float:
        longest = min(LONGEST_PAUSE, shortest * 2**state.attempt_number)
        return max(_failure(state).retry_after or 0, random.uniform(0, longest))

    def sleep(seconds: float) -> None:
        halt.wait(seconds)

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(ReadError),
        stop=enough,
        wait=wait,
        sleep=sleep,
        reraise=True,
    )(attempt)


def _failure(state: tenacity.RetryCallState) -> ReadError:
    error = state.outcome.exception() if state.outcome is not None else None
    assert isinstance(error, ReadError)
    return error


class Paced:
    """Calls to one source beside `fetch_all`, such as the pages of a listing: within its rate, and tried again."""

    def __init__(self, pace: Pace) -> None:
        self._throttle = Throttle(pace, threading.Event())

    def __call__(self, call: Callable[[], T], what: str) -> T:
        """Return `call()`, as `retrying` does."""

        def attempt() -> T:
            self._throttle.enter()
            failure: ReadError | None = None
            try:
                return call()
            except Exception as error:
                failure = classify(error, what)
                raise failure from error
            finally:
                self._throttle.leave(failure)

        return retrying(attempt, what)


def list_source(source: Source, *, pause: float | None = None) -> list[SourceItem]:
    """Return everything a source lists. ReadError (or the source's own SourceError) when it cannot be listed."""
    return retrying(lambda: list(source.discover()), f"source {source.name}", pause=pause)


def read_document(source: Source, item: SourceItem) -> RawDocument:
    """Read one document, once; raises what `failures.classify` can name."""
    limit = source.pace.max_bytes
    if (item.size or 0) > limit:
        raise _too_large(item.size or 0, limit)
    with source.open(item) as opened:
        data = _read(opened.stream, limit)
        media_type = opened.media_type or media_type_of(item.key) or mimetypes.guess_type(item.key)[0]
        return RawDocument(
            item.key,
            opened.version,
            media_type or "application/octet-stream",
            data,
            opened.title,
            opened.metadata,
        )


def _read(stream: IO[bytes], limit: int) -> bytes:
    blocks = bytearray()
    while block := stream.read(BLOCK):
        blocks += block
        if len(blocks) > limit:
            raise _too_large(len(blocks), limit)
    return bytes(blocks)


def _too_large(size: int, limit: int) -> TooLargeError:
    return TooLargeError(f"{size >> 20} MB are more than the {limit >> 20} MB that max_mb allows")


def fetch_all(
    jobs: Sequence[tuple[Source, Sequence[SourceItem]]],
    *,
    budget: ByteBudget | None = None,
    pause: float | None = None,
) -> Iterator[Outcome]:
    """Yield one outcome for each listed document of each job, as they arrive.

    At most `SOURCES_AT_A_TIME` sources are read at once, each with its own pace; bytes in flight stay within `budget`
    until the consumer comes back for the next one. Leaving the iterator early stops the reading.
    """
    fetcher = _Fetcher(budget or ByteBudget(), pause)
    jobs = [(source, items) for source, items in jobs if items]
    runner = fetcher.start(lambda: fetcher.run_all(jobs))
    try:
        for _ in range(sum(len(items) for _, items in jobs)):
            arrived, charge = fetcher.results.get()
            if isinstance(arrived, BaseException):
                raise arrived
            yield arrived
            fetcher.budget.release(charge)
    finally:
        fetcher.stopped.set()
        runner.join()


class _Fetcher:
    """The threads behind `fetch_all`."""

    def __init__(self, budget: ByteBudget, pause: float | None) -> None:
        self.budget = budget
        self.pause = pause
        self.stopped = threading.Event()
        self.results: SimpleQueue[tuple[Outcome | BaseException, int]] = SimpleQueue()

    def start(self, work: Callable[[], None]) -> threading.Thread:
        """Run `work` in a thread that logs under the caller's correlation id and reports what it did not expect."""

        def guarded() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - handed to the consumer, who raises it
                self.results.put((error, 0))

        context = copy_context()
        thread = threading.Thread(target=lambda: context.run(guarded), daemon=True)
        thread.start()
        return thread

    def run_all(self, jobs: Sequence[tuple[Source, Sequence[SourceItem]]]) -> None:
        """Read the sources, the next one as soon as one is done."""
        shared, lock = iter(jobs), threading.Lock()
        width = min(SOURCES_AT_A_TIME, len(jobs))
        self._together(width, lambda: self._drain(shared, lock, lambda job: self._run_source(*job)))

    def _run_source(self, source: Source, items: Sequence[SourceItem]) -> None:
        shared, lock = iter(items), threading.Lock()
        throttle = Throttle(source.pace, self.stopped)
        width = min(source.pace.concurrency, len(items))
        self._together(width, lambda: self._drain(shared, lock, lambda item: self._run_item(source, item, throttle)))

    def _together(self, width: int, work: Callable[[], None]) -> None:
        for thread in [self.start(work) for _ in range(width)]:
            thread.join()

    def _drain(self, shared: Iterator[T], lock: threading.Lock, work: Callable[[T], None]) -> None:
        nothing: Any = object()
        while not self.stopped.is_set():
            with lock:
                one = next(shared, nothing)
            if one is nothing:
                return
            work(one)

    def _run_item(self, source: Source, item: SourceItem, throttle: Throttle) -> None:
        charge = max(LEAST_CHARGE, min(item.size or UNKNOWN_SIZE, source.pace.max_bytes))
        self.budget.acquire(charge, self.stopped)
        self.results.put(((source, item, self._outcome(source, item, throttle)), charge))

    def _outcome(self, source: Source, item: SourceItem, throttle: Throttle) -> RawDocument | FetchFailure:
        def attempt() -> RawDocument:
            if (broken := throttle.broken_by) is not None:
                skipped = CircuitOpenError(f"not tried: {broken}")
                skipped.kind = broken.kind  # type: ignore[misc]
                skipped.strategy = Strategy(later=True)  # type: ignore[misc]
                raise skipped
            throttle.enter()
            failure: ReadError | None = None
            try:
                return read_document(source, item)
            except Exception as error:
                failure = classify(error, item.key)
                raise failure from error
            finally:
                throttle.leave(failure)

        try:
            return retrying(attempt, item.key, pause=self.pause, stopped=self.stopped)
        except ReadError as failure:
            if not isinstance(failure, CircuitOpenError):
                throttle.give_up(failure)
            return FetchFailure(item.key, item.version, str(failure), failure.kind)
