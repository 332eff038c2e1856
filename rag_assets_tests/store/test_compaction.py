"""Compaction: due after many small commits or many deletions, the same rows afterwards, and hardly more bytes."""

import pytest

from rag_assets_tests.store.made import made_rows
from resources.store.lance_store import LanceStore
from resources.store.tables import CHUNKS


@pytest.fixture
def store(tmp_path):
    store = LanceStore(tmp_path / "c", "c")
    store.create()
    return store


def size(store):
    return sum(one.stat().st_size for one in (store.folder / "chunks.lance").rglob("*") if one.is_file())


def content(store):
    return sorted(map(str, store.rows(CHUNKS, CHUNKS.schema.names).to_pylist()))


def test_many_small_commits_are_joined(store):
    for number in range(17):
        assert not store.needs_compacting(CHUNKS)
        store.upsert(CHUNKS, made_rows(CHUNKS, [f"{number}-{one}" for one in range(3)], text=f"text {number}"))
    assert store.needs_compacting(CHUNKS)
    before, version = content(store), store.version(CHUNKS)
    store.compact(CHUNKS)
    assert content(store) == before and not store.needs_compacting(CHUNKS)
    assert store.version(CHUNKS) > version
    assert store.rows(CHUNKS, ("chunk_id",), version=version).num_rows == 51, "live reads what it names"


def test_deleted_rows_are_dropped(store, tmp_path):
    ids = [f"{one:05d}" for one in range(20_000)]
    store.upsert(CHUNKS, made_rows(CHUNKS, ids, text="some text " * 20))
    store.delete(CHUNKS, ids[:1500])
    assert not store.needs_compacting(CHUNKS)
    for start in range(1500, 12_000, 500):
        store.delete(CHUNKS, ids[start : start + 500])
    assert store.needs_compacting(CHUNKS)
    store.compact(CHUNKS)
    store.forget_versions(CHUNKS, keep=())
    other = LanceStore(tmp_path / "fresh", "c")
    other.create()
    other.upsert(CHUNKS, made_rows(CHUNKS, ids[12_000:], text="some text " * 20))
    assert content(store) == content(other)
    assert size(store) <= 1.15 * size(other)
    assert store.versions(CHUNKS) == [store.version(CHUNKS)]


def test_a_table_that_is_not_there_needs_nothing(store):
    assert not store.needs_compacting(CHUNKS) and store.versions(CHUNKS) == []
    store.compact(CHUNKS)
    store.forget_versions(CHUNKS, keep=())
    assert store.tables() == []
