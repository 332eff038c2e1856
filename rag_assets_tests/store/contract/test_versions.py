"""Versions: what live reads stays as it was while the candidate moves on, until it is forgotten."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag_assets_tests.store.contract.rows import EMBEDDINGS, chunks, embeddings, held, rows
from resources.errors import StoreError
from resources.store.tables import CHUNKS, QUARANTINE

KEYS = st.sampled_from("abcdefgh")
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("upsert"), st.dictionaries(KEYS, st.sampled_from("123"), min_size=1)),
        st.tuples(st.just("delete"), st.lists(KEYS, min_size=1, unique=True)),
        st.tuples(st.just("replace"), st.dictionaries(KEYS, st.sampled_from("456"))),
    ),
    min_size=1,
    max_size=8,
)


def test_older_versions_stay_readable(store):
    store.upsert(QUARANTINE, rows({"a": "1", "b": "1"}))
    first = store.version(QUARANTINE)
    store.upsert(QUARANTINE, rows({"b": "2", "c": "2"}))
    second = store.version(QUARANTINE)
    store.delete(QUARANTINE, ["a"])
    assert first < second < store.version(QUARANTINE)
    assert held(store, first) == {"a": "1", "b": "1"} and held(store, 0) == {}
    assert held(store, second) == {"a": "1", "b": "2", "c": "2"} and held(store) == {"b": "2", "c": "2"}
    taken = store.take(QUARANTINE, ("reason",), ["b", "c"], version=first)
    assert taken["reason"].to_pylist() == ["1"]


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CHANGES)
def test_every_version_is_what_it_was(store, changes):
    expected = held(store)
    history = []
    for kind, what in changes:
        if kind == "upsert":
            store.upsert(QUARANTINE, rows(what))
            expected = expected | what
        elif kind == "delete":
            store.delete(QUARANTINE, what)
            expected = {key: value for key, value in expected.items() if key not in what}
        else:
            store.replace(QUARANTINE, rows(what), column="table", values=["t"])
            expected = what
        history.append((store.version(QUARANTINE), expected))
    for version, then in history:
        assert held(store, version) == then
        keys = list("abcdefgh")
        taken = store.take(QUARANTINE, ("row_id", "reason"), keys, version=version).to_pylist()
        assert {row["row_id"]: row["reason"] for row in taken} == then and len(taken) == len(then)


def test_large_values_stay_readable_at_older_versions(store):
    store.upsert(EMBEDDINGS, embeddings(300))
    store.replace(CHUNKS, chunks("d", ["one", "two"]), column="document_id", values=["d"])
    before = store.version(EMBEDDINGS), store.version(CHUNKS)
    store.upsert(EMBEDDINGS, embeddings(300, seed=1))
    store.replace(CHUNKS, chunks("d", ["three"]), column="document_id", values=["d"])
    found = store.rows(EMBEDDINGS, EMBEDDINGS.schema.names, version=before[0]).sort_by("chunk_id")
    assert found.to_pylist() == embeddings(300).to_pylist()
    assert sorted(store.rows(CHUNKS, ("text",), version=before[1])["text"].to_pylist()) == ["one", "two"]


def test_a_scan_reads_the_version_it_began_with(store, opened):
    many = {f"id-{number:05d}": "old" for number in range(5000)}
    store.upsert(QUARANTINE, rows(many))
    found = {}
    for number, batch in enumerate(store.batches(QUARANTINE, ("row_id", "reason"))):
        for row in batch.to_pylist():
            assert row["row_id"] not in found
            found[row["row_id"]] = row["reason"]
        if number == 0:
            other = opened()
            other.upsert(QUARANTINE, rows(dict.fromkeys(list(many)[::3], "new") | {"zzz": "new"}))
            other.delete(QUARANTINE, list(many)[1::3])
    assert found == many


def test_forgotten_versions_cannot_be_read_and_the_newest_can(store, opened):
    store.upsert(QUARANTINE, rows({"a": "secret", "b": "1"}))
    old = store.version(QUARANTINE)
    store.retain(QUARANTINE, old, "snapshot-1")
    store.retain(QUARANTINE, old, "snapshot-1")
    store.delete(QUARANTINE, ["a"])
    store.upsert(QUARANTINE, rows({"b": "2"}))
    newest = store.version(QUARANTINE)
    store.rewrite(QUARANTINE)
    store.forget_versions(QUARANTINE)
    store.forget_versions(QUARANTINE)
    assert store.version(QUARANTINE) >= newest and held(store) == {"b": "2"}
    with pytest.raises(StoreError, match=f"table quarantine cannot be opened at version {old}"):
        held(opened(), old)
    store.upsert(QUARANTINE, rows({"a": "3"}))
    assert held(store) == {"a": "3", "b": "2"}


def test_versions_that_are_kept_stay_readable(store, opened):
    expected = {}
    for number in range(6):
        store.upsert(QUARANTINE, rows({"a": str(number), f"only-{number}": "x"}))
        store.delete(QUARANTINE, [f"only-{number - 1}"])
        expected[store.version(QUARANTINE)] = {"a": str(number), f"only-{number}": "x"}
    assert set(expected) <= set(store.versions(QUARANTINE))
    kept = sorted(expected)[1:4:2]
    for _ in range(2):
        store.forget_versions(QUARANTINE, keep=kept)
        assert opened().versions(QUARANTINE) == [*kept, max(expected)]
        assert not store.needs_compacting(QUARANTINE)
    for version in (*kept, max(expected)):
        assert held(store, version) == expected[version]
    with pytest.raises(StoreError):
        held(opened(), sorted(expected)[2])
    store.forget_versions(QUARANTINE, keep=kept[:1])
    assert opened().versions(QUARANTINE) == [kept[0], max(expected)] and held(store, kept[0]) == expected[kept[0]]


def test_a_version_that_is_not_there_yet_is_an_error(store):
    store.upsert(QUARANTINE, rows({"a": "1"}))
    with pytest.raises(StoreError, match="cannot be opened at version 99"):
        held(store, 99)


def test_the_mark_tells_when_something_was_written(store, opened):
    marks = [opened().mark()]

    def changed() -> bool:
        marks.append(opened().mark())
        return marks[-1] != marks[-2]

    store.upsert(QUARANTINE, rows({"a": "1"}))
    assert changed() and not changed()
    store.delete(QUARANTINE, ["a"])
    assert changed()
    store.files.write("snapshots/00000001.json", b"1")
    assert changed() and not changed()
    store.files.write("snapshots/00000001.json", b"2")
    assert changed()
    store.lease.acquire("run", wait=0)
    assert not changed()
    store.files.write("reconciliation/agreed", b"1")
    assert opened().mark(leave_out=("reconciliation/agreed",)) == marks[-1] or changed()
    without = opened().mark(leave_out=("reconciliation/agreed",))
    store.files.write("reconciliation/agreed", b"2")
    assert opened().mark(leave_out=("reconciliation/agreed",)) == without
