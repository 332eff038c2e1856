"""Reading many documents at once: nothing is lost, memory and requests are bounded, each failure has its strategy."""

import threading
import time
from contextlib import contextmanager
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.sources.base import FetchFailure, OpenDocument, Pace, RawDocument, SourceItem
from resources.sources.failures import (
    FAILURES,
    AuthenticationError,
    NetworkError,
    RateLimitError,
    ReadError,
    classify,
    from_status,
)
from resources.sources.fetching import ByteBudget, Throttle, fetch_all, retrying


class Shelf:
    """A source in memory whose documents fail as a test says; notes how many are open at a time."""

    type, fingerprint, keeps_originals = "shelf", "shelf", False

    def __init__(self, name="shelf", count=20, size=10, fail=None, seconds=0.0, **pace):
        self.name, self.pace = name, Pace(**({"concurrency": 4} | pace))
        self.items = [SourceItem(f"{number:03}", "1", size) for number in range(count)]
        self._fail, self._seconds, self._size = fail or (lambda key, attempt: None), seconds, size
        self.attempts, self.inside, self.most, self._lock = {}, 0, 0, threading.Lock()

    def discover(self):
        yield from self.items

    @contextmanager
    def open(self, item):
        with self._lock:
            self.attempts[item.key] = self.attempts.get(item.key, 0) + 1
            self.inside += 1
            self.most = max(self.most, self.inside)
        try:
            time.sleep(self._seconds)
            if error := self._fail(item.key, self.attempts[item.key]):
                raise error
            yield OpenDocument(BytesIO(b"x" * self._size), "1", "text/plain")
        finally:
            with self._lock:
                self.inside -= 1


def outcomes(*shelves, **options):
    jobs = [(shelf, shelf.items) for shelf in shelves]
    return {(shelf.name, item.key): one for shelf, item, one in fetch_all(jobs, pause=0.001, **options)}


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 6)), min_size=1, max_size=12), st.integers(1, 100_000))
def test_every_document_of_every_source_has_one_outcome(sources, most):
    shelves = [Shelf(str(number), count, concurrency=width) for number, (count, width) in enumerate(sources)]
    jobs = [(shelf, shelf.items) for shelf in shelves]
    found = [(shelf.name, item.key) for shelf, item, _ in fetch_all(jobs, budget=ByteBudget(most))]
    assert sorted(found) == sorted((shelf.name, item.key) for shelf in shelves for item in shelf.items)


def test_sources_and_documents_are_read_side_by_side_within_their_pace():
    shelves = [Shelf(str(number), 16, seconds=0.01, concurrency=4) for number in range(4)]
    started = time.monotonic()
    assert len(outcomes(*shelves)) == 64
    assert time.monotonic() - started < 64 * 0.01, "faster than one after the other"
    assert all(1 < shelf.most <= 4 for shelf in shelves)


def test_a_rate_is_kept():
    shelf = Shelf(count=6, rate=50.0)
    started = time.monotonic()
    outcomes(shelf)
    assert time.monotonic() - started >= 5 / 50


def test_bytes_in_flight_stay_within_the_budget_however_slow_the_consumer_is():
    size = 1 << 20
    budget = ByteBudget(3 * size)
    shelf = Shelf(count=20, size=size, concurrency=16)
    for _ in fetch_all([(shelf, shelf.items)], budget=budget):
        time.sleep(0.002)
    assert size < budget.most <= 3 * size
    scarce = ByteBudget(3 * size, free=lambda: 0)
    for _ in fetch_all([(shelf, shelf.items)], budget=scarce):
        pass
    assert scarce.most == size, "one at a time when memory is short"


def test_leaving_early_stops_the_reading():
    shelf = Shelf(count=500, seconds=0.005)
    stream = fetch_all([(shelf, shelf.items)])
    next(stream)
    stream.close()
    read = len(shelf.attempts)
    time.sleep(0.05)
    assert len(shelf.attempts) == read < 100


def test_what_a_source_did_not_mean_to_raise_is_one_documents_failure():
    def fail(key, attempt):
        return RuntimeError("oh") if key == "003" else None

    found = outcomes(Shelf(fail=fail))
    failed = {key: one for (_, key), one in found.items() if isinstance(one, FetchFailure)}
    assert failed.keys() == {"003"} and failed["003"].kind == "unknown" and "oh" in failed["003"].reason


@pytest.mark.parametrize("kind", sorted(set(FAILURES) - {"unknown"}))
def test_each_class_is_tried_as_often_as_its_strategy_says(kind):
    error = FAILURES[kind]("no")
    shelf = Shelf(count=1, fail=lambda key, attempt: error)
    [one] = outcomes(shelf).values()
    assert isinstance(one, FetchFailure) and one.kind == kind
    assert shelf.attempts == {"000": error.strategy.attempts}


def test_a_circuit_opens_for_its_source_alone_and_closes_with_the_next_run():
    down = Shelf("down", 60, fail=lambda key, attempt: NetworkError("down"), concurrency=1)
    well = Shelf("well", 60)
    found = outcomes(down, well)
    assert len(down.attempts) == 5 and sum(down.attempts.values()) == 5 * 5
    assert all(isinstance(one, RawDocument) for (name, _), one in found.items() if name == "well")
    skipped = [one for one in found.values() if isinstance(one, FetchFailure) and "not tried" in one.reason]
    assert len(skipped) == 55 and {one.kind for one in skipped} == {"network"}
    refused = Shelf("refused", 60, fail=lambda key, attempt: AuthenticationError("expired"), concurrency=1)
    outcomes(refused)
    assert sum(refused.attempts.values()) == 1


def test_a_source_that_asks_for_less_is_asked_less_and_more_again_when_it_goes_well():
    throttle = Throttle(Pace(concurrency=8), threading.Event())

    def once(failure=None):
        throttle.enter()
        throttle.leave(failure)

    seen = []
    for failure in (RateLimitError("slow down"), NetworkError("reset"), *[RateLimitError("slow down")] * 4):
        once(failure)
        seen.append(throttle.allowed)
    assert seen == [4, 4, 2, 1, 1, 1]
    for _ in range(100):
        once()
    assert throttle.allowed == 8
    shelf = Shelf(count=60, concurrency=8, fail=lambda key, attempt: RateLimitError("no") if attempt < 3 else None)
    assert all(isinstance(one, RawDocument) for one in outcomes(shelf).values())


def test_retry_after_is_obeyed_and_one_that_is_too_long_ends_the_tries():
    calls = []

    def call(seconds):
        calls.append(time.monotonic())
        if len(calls) == 1:
            raise RateLimitError("wait", retry_after=seconds)
        return "done"

    assert retrying(lambda: call(0.05), "x", pause=0.001) == "done" and calls[1] - calls[0] >= 0.05
    calls.clear()
    with pytest.raises(RateLimitError):
        retrying(lambda: call(3600), "x", pause=0.001)
    assert len(calls) == 1


class _ClientError(Exception):
    def __init__(self, code, status, headers=None):
        super().__init__("An error occurred")
        self.response = {
            "Error": {"Code": code},
            "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": headers or {}},
        }


class _ResponseError(Exception):
    def __init__(self, status):
        super().__init__("An error occurred")
        self.status = status


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (_ClientError("SlowDown", 503), "rate_limit"),
        (_ClientError("InternalError", 500), "network"),
        (_ClientError("InvalidAccessKeyId", 403), "authentication"),
        (_ClientError("AccessDenied", 403), "permission"),
        (_ResponseError(429), "rate_limit"),
        (_ResponseError(401), "authentication"),
        (_ResponseError(404), "gone"),
        (_ResponseError(412), "changed"),
        (TimeoutError(), "network"),
        (ConnectionResetError(), "network"),
        (MemoryError(), "exhaustion"),
        (OSError(28, "No space left on device"), "exhaustion"),
        (FileNotFoundError(2, "No such file"), "gone"),
        (PermissionError(13, "Permission denied"), "permission"),
        (ValueError("?"), "unknown"),
    ],
)
def test_what_libraries_raise_is_told_apart(error, kind):
    found = classify(error, "a.txt")
    assert found.kind == kind and str(found).startswith("a.txt: ") and "\n" not in str(found)
    wrapped = PermissionError("translated")
    wrapped.__cause__ = error
    if kind not in ("unknown", "gone", "network", "exhaustion"):
        assert classify(wrapped, "a.txt").kind == kind, "what caused it knows better"


def test_an_http_answer_says_its_class_and_how_long_to_wait():
    assert from_status(429, "x", retry_after="7").retry_after == 7
    assert from_status(503, "x", retry_after="Fri, 31 Dec 1999 23:59:59 GMT").retry_after == 0
    assert from_status(403, "x", reason="userRateLimitExceeded").kind == "rate_limit"
    assert isinstance(from_status(418, "x"), ReadError)
