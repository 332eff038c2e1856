"""Snapshots are numbered and created exclusively; removals are a new number with the same parts."""

import multiprocessing

import pytest

from resources.errors import NoSnapshotError, StoreError
from resources.store.files import LocalFiles
from resources.store.snapshots import Manifest, Snapshots


def manifest(number: int, **changes) -> Manifest:
    fields = {
        "number": number, "corpus": "c", "kind": "publish", "created": "2026-01-01T00:00:00+00:00", "run": "r",
        "content": "x", "model": "m", "model_fingerprint": "f", "dimension": 384,
        "documents_version": 1, "chunks_version": 1, "embeddings_version": 1,
        "dense": "dense-1", "bm25": "bm25-1", "chunks_digest": "d", "counts": {"documents": 2}, "report": None,
    }  # fmt: skip
    return Manifest(**fields | changes)


def test_the_highest_number_is_live(tmp_path):
    snapshots = Snapshots(LocalFiles(tmp_path), "c")
    assert snapshots.live() is None
    for number in (1, 2, 10):
        snapshots.publish(manifest(number))
    assert snapshots.live() == manifest(10)
    assert snapshots.numbers() == [1, 2, 10]


def test_a_number_is_published_once(tmp_path):
    snapshots = Snapshots(LocalFiles(tmp_path), "c")
    snapshots.publish(manifest(1))
    with pytest.raises(StoreError, match="published by another run"):
        snapshots.publish(manifest(1, content="other"))
    assert snapshots.read(1).content == "x"


def _publish(folder, content, won):
    try:
        Snapshots(LocalFiles(folder), "c").publish(manifest(1, content=content))
        won.put(content)
    except StoreError:
        pass


def test_two_publishers_cannot_both_succeed(tmp_path):
    context = multiprocessing.get_context("fork")
    won = context.Queue()
    processes = [context.Process(target=_publish, args=(tmp_path, str(number), won)) for number in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert won.qsize() == 1
    assert Snapshots(LocalFiles(tmp_path), "c").read(1).content == won.get()


def test_removing_documents_publishes_the_same_parts_with_more_tombstones(tmp_path):
    snapshots = Snapshots(LocalFiles(tmp_path), "c")
    assert snapshots.remove_documents(["a"], "r") is None
    snapshots.publish(manifest(1))
    first = snapshots.remove_documents(["b", "a"], "r2")
    assert first is not None and first.removed_documents == ("a", "b") and first.number == 2 and first.kind == "removal"
    assert first.content == manifest(1).content
    assert snapshots.remove_documents(["a"], "r3") is None
    second = snapshots.remove_documents(["c", "a"], "r3")
    assert second is not None and second.removed_documents == ("a", "b", "c")


def test_a_damaged_manifest_is_an_error_that_names_the_file_never_an_older_snapshot(tmp_path):
    snapshots = Snapshots(LocalFiles(tmp_path), "c")
    snapshots.publish(manifest(1))
    (tmp_path / "snapshots" / "00000002.json").write_text("{")
    with pytest.raises(StoreError, match=r"00000002\.json is damaged"):
        snapshots.live()


def test_an_unknown_number_lists_those_there_are(tmp_path):
    snapshots = Snapshots(LocalFiles(tmp_path), "c")
    snapshots.publish(manifest(3))
    with pytest.raises(NoSnapshotError, match="no snapshot 7; there are: 3"):
        snapshots.read(7)


def test_a_manifest_from_the_future_is_refused(tmp_path):
    snapshots = Snapshots(LocalFiles(tmp_path), "c")
    snapshots.publish(manifest(1, schema_version=99))
    with pytest.raises(StoreError, match="schema version 99"):
        snapshots.live()
