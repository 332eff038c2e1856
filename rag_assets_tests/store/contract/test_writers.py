"""Several that write, and one that dies: the lease, whole commits, and publishing once."""

import signal
import subprocess
import sys
import time

import pytest

from rag_assets_tests.store.contract.rows import chunks, held, rows
from rag_assets_tests.store.test_snapshots import manifest
from resources.errors import LeaseHeldError, LeaseLostError, StoreError
from resources.store.tables import CHUNKS, QUARANTINE
from resources.store.writer import writing


def test_a_writer_that_lost_its_lease_writes_nothing(store, opened):
    with writing(store, "run-1", wait=0) as writer:
        writer.upsert(QUARANTINE, rows({"a": "1"}))
        with pytest.raises(LeaseHeldError, match="run-1"):
            opened().lease.acquire("run-3", wait=0)
        opened().lease.acquire("run-2", wait=0, is_gone=lambda holder: True)
        for write in (
            lambda: writer.upsert(QUARANTINE, rows({"a": "2"})),
            lambda: writer.delete(QUARANTINE, ["a"]),
            lambda: writer.publish(manifest(1)),
        ):
            with pytest.raises(LeaseLostError):
                write()
    assert held(store) == {"a": "1"} and store.snapshots.live() is None


WRITES = """
import sys
from pathlib import Path
from rag_assets_tests.store.contract.rows import rows
from rag_assets_tests.store.contract.stores import STORES
from rag_assets_tests.store.test_snapshots import manifest
from resources.errors import StoreError
from resources.store.tables import QUARANTINE
kind, folder, name = sys.argv[1:]
store = STORES[kind](Path(folder))
for number in range(10):
    store.upsert(QUARANTINE, rows({f"{name}-{number}": name}))
try:
    print(store.snapshots.publish(manifest(1, content=name)).content)
except StoreError:
    pass
"""


def test_writers_at_once_lose_nothing_and_publish_once(kind, store, opened, tmp_path):
    commands = [[sys.executable, "-c", WRITES, kind, str(tmp_path), str(number)] for number in range(4)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    published = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    wanted = {f"{name}-{number}" for name in "0123" for number in range(10)}
    assert held(store).keys() == wanted
    assert "".join(published).split() == [opened().snapshots.read(1).content]


def test_live_is_served_while_the_candidate_moves(store, opened):
    store.upsert(QUARANTINE, rows({"a": "1"}))
    live = store.snapshots.publish(manifest(2, documents_version=store.version(QUARANTINE)))
    store.retain(QUARANTINE, live.documents_version, "snapshot-2")
    store.upsert(QUARANTINE, rows({"a": "candidate"}))
    assert opened().snapshots.live() == live and held(opened(), live.documents_version) == {"a": "1"}
    with pytest.raises(StoreError, match="published by another run"):
        opened().snapshots.publish(manifest(2))


GENERATIONS = """
import sys
from pathlib import Path
from rag_assets_tests.store.contract.rows import chunks
from rag_assets_tests.store.contract.stores import STORES
from resources.store.tables import CHUNKS
store = STORES[sys.argv[1]](Path(sys.argv[2]))
for generation in range(1, 10_000):
    store.replace(CHUNKS, chunks("d", ["x"] * (700 + generation % 7), generation), column="document_id", values=["d"])
    print(generation, flush=True)
"""


def test_a_process_killed_in_the_middle_of_a_document_leaves_the_old_one_or_the_new_one(kind, store, opened, tmp_path):
    store.replace(CHUNKS, chunks("d", ["x"] * 700), column="document_id", values=["d"])
    for delay in (0.0, 0.023):
        command = [sys.executable, "-c", GENERATIONS, kind, str(tmp_path)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        process.stdout.readline()
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        found = opened().rows(CHUNKS, ("chunk_id", "document_hash", "of")).to_pylist()
        assert len({row["document_hash"] for row in found}) == 1
        assert len({row["chunk_id"] for row in found}) == len(found) == found[0]["of"]
    opened().upsert(CHUNKS, chunks("e", ["x"]))
    assert opened().rows(CHUNKS, ("chunk_id",)).num_rows == len(found) + 1


def test_folders_are_kept_and_found_by_whoever_opens_the_store(store, opened):
    folder = store.indexes.local / "dense-1"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "shard").write_bytes(b"\0" * 700_000)
    (folder / "manifest.json").write_bytes(b"{}")
    store.indexes.keep("dense-1")
    assert opened().indexes.names() == ["dense-1"] and opened().reports.names() == []
    assert (opened().indexes.fetch("dense-1") / "inner" / "shard").stat().st_size == 700_000
    assert not opened().indexes.fetch("dense-2").exists()
    opened().indexes.delete("dense-1")
    assert opened().indexes.names() == [] and not opened().indexes.fetch("dense-1").exists()
