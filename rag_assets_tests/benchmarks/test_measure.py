import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from benchmarks import __main__ as command
from benchmarks.measure import Row, in_child, interleaved, memory, reset_peak


def row(**changes):
    return Row(**{"name": "a thing", "unit": "s", "ours": [1.0, 2.0, 9.0], **changes})


def test_a_ratio_is_taken_repetition_by_repetition():
    one = row(baseline=[2.0, 2.0, 3.0], ratio=1.1)
    assert one.ratios == [0.5, 1.0, 3.0]
    assert one.verdict == "met"
    assert one.as_json()["ratio"] == [0.5, 1.0, 3.0]


@pytest.mark.parametrize(
    ("targets", "verdict"),
    [
        ({}, "–"),
        ({"most": 2.0}, "met"),
        ({"most": 1.9}, "missed"),
        ({"least": 2.0}, "met"),
        ({"least": 2.1}, "missed"),
        ({"most": 2.0, "baseline": [4.0, 1.0, 1.0], "ratio": 1.5}, "missed"),
        ({"most": 2.0, "baseline": [4.0, 1.0, 9.0], "ratio": 1.5}, "met"),
    ],
)
def test_every_target_has_to_be_met_by_the_median(targets, verdict):
    assert row(**targets).verdict == verdict


def test_calls_take_turns_and_all_of_them_are_timed():
    called = []
    times = interleaved([lambda one: called.append(("a", one)), lambda one: called.append(("b", one))], [1, 2], 3)
    assert times.seconds.shape == (2, 3, 2)
    assert (times.seconds > 0).all()
    timed = called[2:]
    assert sorted(timed) == sorted([(name, item) for name in "ab" for item in (1, 2)] * 3)
    assert {name for name, _ in timed[::2]} == {"a", "b"}


def _fill(megabytes):
    reset_peak()
    before = memory()
    held = bytearray(b"x" * (megabytes << 20))
    del held
    return memory("VmHWM") - before


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_peak_memory_is_that_of_the_child_alone():
    held = bytearray(b"x" * (300 << 20))
    assert 50 < in_child(_fill, 50) < 150
    assert len(held) == 300 << 20


def _sleep(pid_file):
    pid_file.write_text(str(os.getpid()), "utf-8")
    time.sleep(600)


def test_a_killed_command_leaves_no_process_behind(tmp_path):
    file = tmp_path / "pid"
    code = f"from pathlib import Path; from {__name__} import _sleep, in_child; in_child(_sleep, Path({str(file)!r}))"
    with subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2]) as parent:
        wait_until(lambda: file.exists() and file.read_text("utf-8"))
        child = psutil.Process(int(file.read_text("utf-8")))
        parent.kill()
    child.wait(timeout=60)


def wait_until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_benchmark_that_fails_leaves_the_others_and_the_exit_code(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "collect", _collect)
    monkeypatch.setattr(sys, "argv", ["benchmarks", "start", "build", "--results", str(tmp_path)])
    assert command.main() == 1
    (file,) = tmp_path.glob("*-quick.json")
    kept = json.loads(file.read_text("utf-8"))
    assert [one["benchmark"] for one in kept["rows"]] == ["build"]
    assert "start: its process ended" in capsys.readouterr().err


def _collect(name, work, full, profile):
    if name == "start":
        os._exit(9)
    return [row().as_json()], ""
