"""The embedded store's own: errors instead of emptiness. What it has in common with others: `contract`."""

import json
import multiprocessing

import lance
import pytest

from rag_assets_tests.store.contract.rows import held, rows
from resources.errors import StoreError
from resources.store.lance_store import LanceStore
from resources.store.tables import QUARANTINE


@pytest.fixture
def store(tmp_path) -> LanceStore:
    made = LanceStore(tmp_path / "corpus", "corpus")
    made.create()
    return made


def test_a_folder_that_is_not_ours_is_refused_and_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StoreError, match="is not ours"):
        LanceStore(tmp_path, "c")
    assert [one.name for one in tmp_path.iterdir()] == ["notes.txt"]


def test_a_store_from_the_far_future_is_refused(store):
    (store.folder / "corpus.json").write_text(json.dumps({"corpus": "c", "schema_version": 99}))
    with pytest.raises(StoreError, match="schema version 99"):
        LanceStore(store.folder, "c")


def test_a_damaged_table_is_an_error_never_an_empty_table(store):
    store.upsert(QUARANTINE, rows({"a": "1"}))
    for file in (store.folder / "quarantine.lance" / "data").iterdir():
        file.write_bytes(b"")
    with pytest.raises(StoreError, match="table quarantine cannot be read"):
        store.rows(QUARANTINE, ("row_id",))
    for file in (store.folder / "quarantine.lance" / "_versions").iterdir():
        file.write_bytes(b"")
    with pytest.raises(StoreError, match="table quarantine cannot be opened"):
        store.rows(QUARANTINE, ("row_id",))


def test_a_retained_version_survives_clean_up(store):
    store.upsert(QUARANTINE, rows({"a": "1"}))
    version = store.version(QUARANTINE)
    store.retain(QUARANTINE, version, "snapshot-1")
    store.retain(QUARANTINE, version, "snapshot-1")
    store.upsert(QUARANTINE, rows({"a": "2"}))
    from datetime import timedelta

    lance.dataset(store.folder / "quarantine.lance").cleanup_old_versions(
        timedelta(0), error_if_tagged_old_versions=False
    )
    assert held(store, version) == {"a": "1"}


def _commits(folder, who, start, said):
    import lance  # noqa: F401  # before the start, so that all create the table at the same moment

    store = LanceStore(folder, "corpus")
    start.wait()
    try:
        for number in range(6):
            store.upsert(QUARANTINE, rows({f"{who}-{number}-{one}": "1" for one in range(20)}, f"{who}-{number}"))
        store.replace(QUARANTINE, rows({f"{who}-0-0": "2"}, f"{who}-0"), column="table", values=[f"{who}-0"])
        store.delete(QUARANTINE, [f"{who}-1-{one}" for one in range(20)])
        said.put("done")
    except StoreError as error:
        said.put(str(error))


def test_processes_that_create_a_table_and_commit_to_it_at_once_lose_nothing(tmp_path):
    context = multiprocessing.get_context("spawn")
    LanceStore(tmp_path / "corpus", "corpus").create()
    start, said = context.Barrier(4), context.Queue()
    writers = [context.Process(target=_commits, args=(tmp_path / "corpus", who, start, said)) for who in range(4)]
    for writer in writers:
        writer.start()
    assert [said.get(timeout=120) for _ in writers] == ["done"] * 4
    for writer in writers:
        writer.join()
    wanted = {f"{who}-{number}-{one}" for who in range(4) for number in range(2, 6) for one in range(20)}
    assert set(held(LanceStore(tmp_path / "corpus", "corpus"))) == wanted | {f"{who}-0-0" for who in range(4)}
