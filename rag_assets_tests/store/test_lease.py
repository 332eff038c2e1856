"""One writer per corpus: the lease is exclusive, re-entrant for its owner, and never held by the dead."""

import multiprocessing
import subprocess
import sys
import threading
import time

import psutil
import pytest

from resources.errors import LeaseHeldError, LeaseLostError, StoreError
from resources.store import lease as lease_module
from resources.store.files import LocalFiles
from resources.store.lease import Lease, process_start


def test_a_second_run_is_told_who_holds_it(tmp_path):
    Lease(LocalFiles(tmp_path), "c").acquire("run-1", wait=0)
    with pytest.raises(LeaseHeldError, match="corpus c is being written by run run-1"):
        Lease(LocalFiles(tmp_path), "c").acquire("run-2", wait=0.3)


def test_the_steps_of_a_run_share_its_lease_and_another_run_ends_all_of_them(tmp_path):
    lease = Lease(LocalFiles(tmp_path), "c")
    steps = [lease.acquire("run-1", wait=0) for _ in range(3)]
    for step in steps:
        step.check()
    with pytest.raises(LeaseHeldError):
        lease.acquire("run-2", wait=0.3)
    other = lease.acquire("run-2", wait=0, is_gone=lambda holder: holder.owner == "run-1")
    for step in steps:
        with pytest.raises(LeaseLostError, match="lost the lease"):
            step.check()
    other.check()
    lease.release("run-2")
    again = lease.acquire("run-1", wait=0)
    again.check()
    with pytest.raises(LeaseLostError):
        steps[0].check()  # its number is not the one that its run has taken since


def test_a_step_that_outlives_its_run_writes_nothing_more(tmp_path):
    lease = Lease(LocalFiles(tmp_path), "c")
    step = lease.acquire("run-1", wait=0)
    lease.release("run-1")
    with pytest.raises(LeaseLostError):
        step.check()


def test_the_lease_stays_with_a_run_while_the_process_that_starts_its_steps_lives(tmp_path):
    """The step's own process is gone; what counts is the one it was told of."""
    starter = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    there = psutil.Process(starter.pid)
    code = f"""
from pathlib import Path
from resources.store.files import LocalFiles
from resources.store.lease import Lease, Process, this_host
starter = Process(this_host(), {starter.pid}, {process_start(there)!r})
Lease(LocalFiles(Path({str(tmp_path)!r})), "c").acquire("run-1", wait=0, process=starter).check()
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(LeaseHeldError, match=f"process {starter.pid} "):
        Lease(LocalFiles(tmp_path), "c").acquire("run-2", wait=0.3)
    Lease(LocalFiles(tmp_path), "c").acquire("run-1", wait=0).check()
    starter.kill()
    starter.wait()
    Lease(LocalFiles(tmp_path), "c").acquire("run-2", wait=0).check()


def test_between_its_steps_a_run_keeps_what_beats_for_it(tmp_path, monkeypatch):
    monkeypatch.setattr(lease_module, "TTL", 1.0)
    monkeypatch.setattr(lease_module, "BEAT", 0.1)
    monkeypatch.setattr(lease_module, "this_host", lambda: "elsewhere/1")
    lease = Lease(LocalFiles(tmp_path), "c")
    with lease.kept_to_the_end("run-1"):
        step = lease.acquire("run-1", wait=0)
        monkeypatch.setattr(lease_module, "this_host", lambda: "here/1")
        with pytest.raises(LeaseHeldError):
            lease.acquire("run-2", wait=2)
        step.check()
    started = time.monotonic()
    lease.acquire("run-2", wait=5).check()
    assert time.monotonic() - started < 0.5, "given back at the end"


def test_a_beat_that_cannot_be_written_costs_no_lease(tmp_path, monkeypatch):
    monkeypatch.setattr(lease_module, "BEAT", 0.05)
    lease = Lease(LocalFiles(tmp_path), "c")
    with lease.acquire("run-1", wait=0) as held:
        with monkeypatch.context() as patch:
            patch.setattr(Lease, "holder", _out_of_reach)
            time.sleep(0.3)
        seen = lease.holder()
        deadline = time.monotonic() + 5
        while lease.holder() == seen and time.monotonic() < deadline:
            time.sleep(0.02)
        assert lease.holder() != seen, "it goes on beating"
        held.check()


def _out_of_reach(_):
    raise StoreError("the store is out of reach")


def test_a_released_lease_is_free_at_once(tmp_path):
    lease = Lease(LocalFiles(tmp_path), "c")
    lease.acquire("run-1", wait=0)
    lease.release("run-2")
    with pytest.raises(LeaseHeldError):
        lease.acquire("run-2", wait=0)
    lease.release("run-1")
    lease.acquire("run-2", wait=0).check()


@pytest.mark.parametrize("content", [b"", b'{"number": 1, "ow', b'{"number": 1}', b"\xff\xfe"])
def test_a_damaged_lease_is_waited_out_and_taken_over(tmp_path, monkeypatch, content):
    monkeypatch.setattr(lease_module, "TTL", 0.5)
    lease = Lease(LocalFiles(tmp_path), "c")
    held = lease.acquire("run-1", wait=0)
    [file] = (tmp_path / "lease").glob("*.json")
    file.write_bytes(content)
    held.check()
    with pytest.raises(LeaseHeldError, match="unknown"):
        lease.acquire("run-2", wait=0.2)
    lease.acquire("run-2", wait=2).check()
    with pytest.raises(LeaseLostError):
        held.check()


def test_a_run_that_lives_writes_its_damaged_lease_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(lease_module, "BEAT", 0.05)
    lease = Lease(LocalFiles(tmp_path), "c")
    with lease.acquire("run-1", wait=0) as held:
        [file] = (tmp_path / "lease").glob("*.json")
        file.write_bytes(b"")
        deadline = time.monotonic() + 5
        while lease.holder().owner != "run-1" and time.monotonic() < deadline:
            time.sleep(0.02)
        assert lease.holder().owner == "run-1"
        held.check()


def test_a_killed_process_holds_nothing(tmp_path):
    code = f"""
import os
from pathlib import Path
from resources.store.files import LocalFiles
from resources.store.lease import Lease
Lease(LocalFiles(Path({str(tmp_path)!r})), "c").acquire("dead", wait=0)
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", code], check=False)
    holder = Lease(LocalFiles(tmp_path), "c").holder()
    assert holder is not None and holder.owner == "dead"
    Lease(LocalFiles(tmp_path), "c").acquire("run-2", wait=0).check()


def test_a_killed_process_that_nobody_has_reaped_holds_nothing(tmp_path):
    code = f"""
import os
from pathlib import Path
from resources.store.files import LocalFiles
from resources.store.lease import Lease
Lease(LocalFiles(Path({str(tmp_path)!r})), "c").acquire("zombie", wait=0)
os.kill(os.getpid(), 9)
"""
    process = subprocess.Popen([sys.executable, "-c", code])
    while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.05)
    Lease(LocalFiles(tmp_path), "c").acquire("run-2", wait=0).check()
    process.wait()


def test_whoever_knows_that_the_run_is_over_may_say_so(tmp_path):
    lease = Lease(LocalFiles(tmp_path), "c")
    lease.acquire("finished", wait=0)
    lease.acquire("run-2", wait=0, is_gone=lambda holder: holder.owner == "finished").check()


def test_a_silent_holder_elsewhere_loses_it_and_a_beating_one_does_not(tmp_path, monkeypatch):
    monkeypatch.setattr(lease_module, "TTL", 1.0)
    monkeypatch.setattr(lease_module, "BEAT", 0.1)
    monkeypatch.setattr(lease_module, "this_host", lambda: "elsewhere/1")
    silent = Lease(LocalFiles(tmp_path / "silent"), "c").acquire("silent", wait=0)
    beating = Lease(LocalFiles(tmp_path / "beating"), "c").acquire("beating", wait=0)
    monkeypatch.setattr(lease_module, "this_host", lambda: "here/1")
    with beating:
        Lease(LocalFiles(tmp_path / "silent"), "c").acquire("next", wait=5)
        with pytest.raises(LeaseLostError):
            silent.check()
        with pytest.raises(LeaseHeldError):
            Lease(LocalFiles(tmp_path / "beating"), "c").acquire("next", wait=2)
        beating.check()


def _acquire(folder, owner, winners):
    try:
        Lease(LocalFiles(folder), "c").acquire(owner, wait=0)
    except LeaseHeldError:
        return
    winners.put(owner)
    time.sleep(1)


def test_of_many_that_ask_at_once_exactly_one_gets_it(tmp_path):
    context = multiprocessing.get_context("fork")
    winners = context.Queue()
    processes = [context.Process(target=_acquire, args=(tmp_path, f"run-{number}", winners)) for number in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert winners.qsize() == 1


@pytest.mark.skipif(sys.platform != "linux", reason="where the clock enters a process's start is Linux's own way")
def test_a_clock_that_jumps_hands_the_lease_to_nobody(tmp_path, monkeypatch):
    """A step of the clock moves the time at which the host is said to have started, and the wall clock."""
    lease = Lease(LocalFiles(tmp_path), "c")
    held, started = lease.acquire("run-1", wait=0), psutil.Process().create_time()
    for jump in (-86400.0, 86400.0):
        with monkeypatch.context() as patch:
            boot, wall = psutil.boot_time() + jump, time.time
            patch.setattr("psutil._pslinux.boot_time", lambda boot=boot: boot)
            patch.setattr(time, "time", lambda wall=wall, jump=jump: wall() + jump)
            assert abs(psutil.Process().create_time() - started) > 86000, "the jump reaches what the lease asks"
            with pytest.raises(LeaseHeldError):
                lease.acquire("run-2", wait=0.3)
    held.check()


def test_waiting_ends_when_the_holder_lets_go(tmp_path):
    lease = Lease(LocalFiles(tmp_path), "c")
    lease.acquire("run-1", wait=0)
    threading.Timer(0.5, lease.release, ["run-1"]).start()
    started = time.monotonic()
    lease.acquire("run-2", wait=10).check()
    assert time.monotonic() - started < 5
