"""The history's chain: what is appended follows on, what is changed shows, what a crash cut short does no harm."""

import json
import os
import signal
import subprocess
import sys
from itertools import pairwise

import pytest

from resources.reconciliation.history import PATH, append, past_rates, read_backwards, verify
from resources.reconciliation.memory import PATH as MEMORY
from resources.store.lance_store import LanceStore


@pytest.fixture
def store(tmp_path):
    return LanceStore(tmp_path / "corpus", "default")


@pytest.fixture
def file(store):
    for number in range(5):
        append(store, {"seen": f"drift {number}", "text": "ü" * 50_000})
    return store.folder / PATH


def test_entries_are_chained_and_read_newest_first(store, file):
    assert [entry["seen"] for entry in read_backwards(store)] == [f"drift {number}" for number in (4, 3, 2, 1, 0)]
    lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert [line["number"] for line in lines] == [1, 2, 3, 4, 5]
    assert all(later["previous"] == earlier["hash"] for earlier, later in pairwise(lines))
    assert verify(store).lines == 5 and verify(store).broken_line is None


def change(lines, at):
    lines[at] = lines[at].replace(b"drift", b"calm!", 1)


def drop(lines, at):
    del lines[at]


def swap(lines, at):
    lines[at], lines[at - 1] = lines[at - 1], lines[at]


def garble(lines, at):
    lines[at] = b"\xff\xfe\n"


def forge(lines, at):
    from resources.reconciliation.history import _hash

    entry = json.loads(lines[at]) | {"seen": "nothing"}
    lines[at] = json.dumps(entry | {"hash": _hash(entry)}).encode() + b"\n"


@pytest.mark.parametrize(
    ("tamper", "at", "broken"),
    [(change, 2, 3), (drop, 2, 3), (swap, 3, 3), (garble, 0, 1), (forge, 2, 4), (forge, 4, 5), (drop, 4, 5)],
)
def test_tampering_is_named_by_its_first_line(store, file, tamper, at, broken):
    lines = file.read_bytes().splitlines(keepends=True)
    tamper(lines, at)
    file.write_bytes(b"".join(lines))
    assert verify(store).broken_line == broken and verify(store).problem
    append(store, {"seen": "more"})
    assert verify(store).broken_line in (broken, 6), "appending does not mend it"
    assert next(read_backwards(store))["seen"] == "more"


def test_without_the_memory_only_the_missing_end_goes_unnoticed(store, file):
    (store.folder / MEMORY).unlink()
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:-1]))
    assert verify(store).broken_line is None and verify(store).lines == 4
    append(store, {"seen": "more"})
    assert verify(store).broken_line is None


@pytest.mark.parametrize("torn", [b'{"seen": "half', b"\n"[:0] + b"x" * 200_000])
def test_a_line_cut_short_by_a_crash_was_never_part_of_it(store, file, torn):
    with file.open("ab") as opened:
        opened.write(torn)
    assert verify(store).broken_line is None and verify(store).lines == 5
    assert next(read_backwards(store))["seen"] == "drift 4"
    append(store, {"seen": "drift 5"})
    assert verify(store).lines == 6 and verify(store).broken_line is None


def test_killed_while_appending(store):
    code = (
        "import sys; from pathlib import Path; from resources.store.lance_store import LanceStore\n"
        "from resources.reconciliation.history import append\n"
        "store = LanceStore(Path(sys.argv[1]), 'default')\n"
        "print('ready', flush=True)\n"
        "while True: append(store, {'text': 'x' * 100_000})\n"
    )
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(store.folder)], stdout=subprocess.PIPE, env=os.environ, text=True
        )
        assert process.stdout.readline() == "ready\n"
        before = verify(store).lines
        while verify(store).lines < before + 3:
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert verify(store).broken_line is None
    append(store, {"text": "after"})
    assert verify(store).broken_line is None and next(read_backwards(store))["text"] == "after"


def test_rates_come_from_the_last_runs(store):
    for seconds in (100.0, 1.0, 1.0, 1.0, 1.0, 1.0):
        append(store, {"measured": {"embed": {"items": 10, "seconds": seconds}}})
        append(store, {"seen": "nothing to do"})
    assert past_rates(store).seconds["embed"] == 0.1, "the first run is too long ago to count"
