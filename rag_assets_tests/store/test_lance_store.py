"""The embedded store: atomic upserts and replacements, fixed versions, ids of any alphabet, and errors instead of
emptiness.
"""

import json
import multiprocessing

import lance
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.errors import LeaseLostError, StoreError
from resources.store.lance_store import LanceStore
from resources.store.tables import QUARANTINE
from resources.store.writer import writing

IDS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=12)


def rows(pairs: dict[str, str], table: str = "t") -> pa.Table:
    return pa.table(
        {"row_id": list(pairs), "table": [table] * len(pairs), "id": list(pairs), "reason": list(pairs.values())},
        schema=QUARANTINE.schema,
    )


def held(store: LanceStore, version: int | None = None) -> dict[str, str]:
    found = store.rows(QUARANTINE, ("row_id", "reason"), version=version)
    return dict(zip(found["row_id"].to_pylist(), found["reason"].to_pylist(), strict=True))


@pytest.fixture
def store(tmp_path) -> LanceStore:
    made = LanceStore(tmp_path / "corpus", "corpus")
    made.create()
    return made


def test_a_table_that_was_never_written_has_no_rows(store):
    assert store.version(QUARANTINE) == 0
    assert held(store) == {}
    assert list(store.batches(QUARANTINE, ("row_id",), keys=["x"])) == []


def test_upsert_replaces_by_key_and_old_versions_stay_readable(store):
    store.upsert(QUARANTINE, rows({"a": "1", "b": "1"}))
    before = store.version(QUARANTINE)
    store.upsert(QUARANTINE, rows({"b": "2", "c": "2"}))
    assert held(store) == {"a": "1", "b": "2", "c": "2"}
    assert held(store, before) == {"a": "1", "b": "1"}


def test_replace_makes_the_rows_the_only_ones_of_their_group(store):
    store.upsert(QUARANTINE, rows({"a": "1", "b": "1"}, "one"))
    store.upsert(QUARANTINE, rows({"z": "1"}, "two"))
    store.replace(QUARANTINE, rows({"b": "2", "d": "2"}, "one"), column="table", values=["one"])
    assert held(store) == {"b": "2", "d": "2", "z": "1"}
    store.replace(QUARANTINE, rows({}), column="table", values=["one"])
    assert held(store) == {"z": "1"}


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(IDS, st.text(max_size=5), min_size=1, max_size=20), st.data())
def test_any_unicode_id_is_written_found_and_deleted(tmp_path_factory, pairs, data):
    store = LanceStore(tmp_path_factory.mktemp("store") / "corpus", "corpus")
    store.create()
    store.upsert(QUARANTINE, rows(pairs))
    some = data.draw(st.lists(st.sampled_from(sorted(pairs)), unique=True))
    found = store.take(QUARANTINE, ("row_id",), [*some, "not there"], version=store.version(QUARANTINE))
    assert sorted(found["row_id"].to_pylist()) == sorted(some)
    scanned = (
        [one for batch in store.batches(QUARANTINE, ("row_id",), keys=some) for one in batch["row_id"].to_pylist()]
        if some
        else []
    )
    assert sorted(scanned) == sorted(some)
    store.delete(QUARANTINE, some)
    assert held(store) == {key: value for key, value in pairs.items() if key not in some}


def test_deleting_nothing_deletes_nothing(store):
    store.upsert(QUARANTINE, rows({"a": "1"}))
    store.delete(QUARANTINE, [])
    store.replace(QUARANTINE, rows({}), column="table", values=[])
    assert held(store) == {"a": "1"}


def test_many_keys_are_read_in_bounded_filters(store):
    many = {f"id-{number:05d}": "x" for number in range(5000)}
    store.upsert(QUARANTINE, rows(many))
    found = [
        one for batch in store.batches(QUARANTINE, ("row_id",), keys=list(many)) for one in batch["row_id"].to_pylist()
    ]
    assert sorted(found) == sorted(many)


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


def test_a_writer_that_lost_its_lease_writes_nothing(store):
    with writing(store, "run-1", wait=0) as writer:
        writer.upsert(QUARANTINE, rows({"a": "1"}))
        store.lease.acquire("run-2", wait=0, is_gone=lambda holder: True)
        with pytest.raises(LeaseLostError):
            writer.upsert(QUARANTINE, rows({"a": "2"}))
        with pytest.raises(LeaseLostError):
            writer.delete(QUARANTINE, ["a"])
    assert held(store) == {"a": "1"}


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
