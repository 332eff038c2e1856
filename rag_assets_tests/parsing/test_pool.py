"""The pool: every document has its outcome whatever it does to the process that parses it."""

import threading
import time

import psutil
import pytest

from rag_assets_tests.parsing import misbehaving  # noqa: F401  (registers its parser)
from resources.errors import SettingsError
from resources.parsing.base import RawDocument
from resources.parsing.budget import Budget
from resources.parsing.pool import ParserPool, parser_pool
from resources.parsing.settings import ParsingSettings

QUICK = ParsingSettings(workers=2, seconds=4, memory_mb=256)


def document(text: str, key: str | None = None) -> RawDocument:
    return RawDocument(key or text, "7", "application/x-test", b"\0\0" + text.encode())


def by_key(pool: ParserPool, raws) -> dict:
    return {one.key: one for one in pool.parse(raws)}


@pytest.fixture(scope="module")
def pool():
    with parser_pool(QUICK) as pool:
        yield pool


def test_every_document_has_its_outcome(pool):
    deeds = ("spin", "sleep", "eat", "crash", "exit", "raise", "hostile", "talk", "plain words")
    outcomes = by_key(pool, map(document, deeds))
    assert {key: one.status for key, one in outcomes.items()} == {
        **dict.fromkeys(("spin", "sleep", "eat", "crash", "exit", "raise"), "failed"),
        "hostile": "hostile",
        "talk": "ok",
        "plain words": "ok",
    }
    assert {one.version for one in outcomes.values()} == {"7"}
    reasons = {key: one.reason for key, one in outcomes.items()}
    assert reasons["spin"] == reasons["sleep"] == "takes longer than 4 s"
    assert "memory" in reasons["eat"]
    assert reasons["crash"] == "its parser crashed (SIGSEGV)"
    assert reasons["exit"] == "its parser crashed (exit code 3)"
    assert reasons["raise"] == "damaged, or beyond its parser: AttributeError: a bug"
    assert [outcomes[one].failure for one in ("spin", "eat", "crash", "hostile")] == [
        "exhaustion",
        "exhaustion",
        "corruption",
        "hostile",
    ]
    assert outcomes["plain words"].text == "plain words"


def test_a_document_is_not_blamed_for_another(pool):
    """Whatever a worker parsed before, and however often workers die, good documents come out right."""
    texts = [f"text {number}" if number % 4 else "crash" for number in range(20)]
    outcomes = by_key(pool, (document(text, str(number)) for number, text in enumerate(texts)))
    assert [outcomes[str(number)].text for number, text in enumerate(texts) if text != "crash"] == [
        text for text in texts if text != "crash"
    ]
    assert sum(one.status == "failed" for one in outcomes.values()) == 5


def test_a_worker_can_reach_nothing(pool, monkeypatch, tmp_path):
    monkeypatch.setenv("MY_SECRET", "hush")
    with parser_pool(QUICK) as fresh:
        (outcome,) = fresh.parse([document("reach")])
    assert outcome.text == "; ".join(["PermissionError"] * 5 + ["[]"])


def test_a_process_parses_many_documents_however_large_this_one_is():
    hoard = bytearray(b"\1") * (300 << 20)
    with parser_pool(QUICK) as fresh:
        outcomes = by_key(fresh, (document("who", str(one)) for one in range(50)))
    assert len({one.text for one in outcomes.values()}) <= QUICK.workers
    assert hoard


def test_small_text_needs_no_process():
    with parser_pool(QUICK) as fresh:
        outcomes = by_key(fresh, (RawDocument(str(one), "1", "text/plain", b"words") for one in range(100)))
        assert not fresh._threads
    assert len(outcomes) == 100 and {one.status for one in outcomes.values()} == {"ok"}


def test_what_is_under_way_is_bounded_in_bytes_and_number():
    settings = QUICK.model_copy(update={"in_flight_mb": 1, "workers": 1})
    taken = []

    def raws():
        for number in range(30):
            taken.append(number)
            yield RawDocument(str(number), "1", "application/x-test", b"\0" * 300_000 + b"words")

    with parser_pool(settings) as fresh:
        outcomes = fresh.parse(raws())
        next(outcomes)
        time.sleep(0.5)
        assert len(taken) <= 6, "read further ahead than three documents of 300 kB"
        assert len(list(outcomes)) == 29
        assert fresh._budget.peak_bytes <= 1 << 20


def test_one_document_larger_than_the_budget_still_passes():
    budget = Budget(10, 4)
    first, second = budget.share(), budget.share()
    assert first.acquire(100) and second.acquire(100)
    waiting = threading.Thread(target=lambda: first.acquire(1))
    waiting.start()
    waiting.join(0.1)
    assert waiting.is_alive()
    first.release(100)
    waiting.join(2)
    assert not waiting.is_alive()


def test_threads_share_a_pool(pool):
    results: dict[int, set[str]] = {}

    def use(number: int) -> None:
        results[number] = set(by_key(pool, (document(f"{number} {one}") for one in range(30))))

    threads = [threading.Thread(target=use, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {number: {f"{number} {one}" for one in range(30)} for number in range(4)}


def test_what_the_documents_raise_is_raised(pool):
    def raws():
        yield document("fine")
        raise ConnectionError("the source broke off")

    with pytest.raises(ConnectionError, match="broke off"):
        list(pool.parse(raws()))


def test_an_unknown_parser_is_a_mistake_in_the_settings():
    with pytest.raises(SettingsError, match="no parser is named 'best'; there are: built-in"):
        ParserPool(ParsingSettings(parsers={"text/plain": "best"}))


def test_closing_ends_every_process_at_once():
    before = set(psutil.Process().children(recursive=True))
    started = time.monotonic()
    with parser_pool(QUICK.model_copy(update={"seconds": 60})) as fresh:
        outcomes = fresh.parse([document("plain"), document("sleep")])
        assert next(outcomes).text == "plain"
    assert time.monotonic() - started < 20
    assert set(psutil.Process().children(recursive=True)) <= before
