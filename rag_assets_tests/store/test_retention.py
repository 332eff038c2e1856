"""Clearing away: whatever happened before, nothing that a kept snapshot names goes, and everything else does."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag_assets_tests.store.contract.stores import STORES
from rag_assets_tests.store.made import Publisher
from resources.errors import ManifestDamagedError
from resources.store.retention import Needs, find_garbage, kept_snapshots, remove
from resources.store.tables import CHUNKS, DOCUMENTS
from resources.store.writer import writing

AT_ONCE = timedelta(0)


def collect(publisher, *, keep, grace=AT_ONCE, hold=(), needs=None, now=None):
    store = publisher.store
    kept = kept_snapshots(store.snapshots, keep=keep, grace=grace, hold=hold, now=now)
    with writing(store, "collector", wait=0) as writer:
        garbage = find_garbage(store, kept, needs or Needs(publisher.embeddings))
        remove(writer, garbage)
    return garbage


def opened(folder, kind="lance"):
    store = STORES[kind](folder)
    store.create()
    return Publisher(store)


def expected(manifests, keep, hold):
    """The newest snapshot of each of the last contents, worked out from the oldest on."""
    newest = {}
    for one in manifests:
        newest.pop(one.content, None)
        newest[one.content] = one.number
    return set(list(newest.values())[-keep:]) | {one.number for one in manifests if one.number in hold}


STEPS = st.one_of(
    st.just(("publish", 0)),
    st.just(("publish", 0)),
    st.just(("change", 0)),
    st.just(("remove", 0)),
    st.just(("other model", 0)),
    st.tuples(st.just("roll back"), st.integers(0, 9)),
    st.tuples(st.just("collect"), st.integers(1, 3)),
)


KINDS = [pytest.param(one, marks=pytest.mark.slow) if one == "bucket" else one for one in STORES]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(STEPS, min_size=2, max_size=9), keep=st.integers(1, 3), hold=st.sets(st.integers(1, 4), max_size=1)
)
def test_kept_snapshots_lose_nothing_and_nothing_else_is_left(tmp_path_factory, request, kind, steps, keep, hold):
    if kind == "bucket":
        request.getfixturevalue("s3")
    publisher = opened(tmp_path_factory.mktemp("history"), kind)
    snapshots = publisher.store.snapshots
    publisher.publish()
    for step, number in [*steps, ("collect", keep)]:
        if step == "publish":
            publisher.publish()
        elif step == "change":
            publisher.change()
        elif step == "remove":
            publisher.remove()
        elif step == "other model":
            publisher.model = "bbbb" if publisher.model == "aaaa" else "aaaa"
        elif step == "roll back":
            numbers = snapshots.numbers()
            publisher.roll_back(numbers[number % len(numbers)])
        else:
            before = [snapshots.read(one) for one in snapshots.numbers()]
            collect(publisher, keep=number, hold=hold)
            check(publisher, expected(before, number, hold))
            assert not any(collect(publisher, keep=number, hold=hold).counts.values()), "a second time finds nothing"


def check(publisher, kept):
    store = publisher.store
    manifests = [store.snapshots.read(one) for one in store.snapshots.numbers()]
    assert {one.number for one in manifests} == kept
    for one in manifests:
        assert publisher.read(one) == publisher.contents[one.number]
    named = [pair for one in manifests for pair in publisher.tables(one)]
    models = {table.name for table, _ in named if table.name.startswith("token_embeddings")}
    if store.version(publisher.embeddings):
        models.add(publisher.embeddings.name)
    assert set(store.tables()) == {"documents", "chunks"} | models
    for table in (DOCUMENTS, CHUNKS, publisher.embeddings):
        wanted = {version for one, version in named if one.name == table.name} | {store.version(table)} - {0}
        assert set(store.versions(table)) == wanted
    assert set(store.indexes.names()) == {name for one in manifests for name in (one.dense, one.bm25)}
    assert set(store.reports.names()) == {one.report for one in manifests}
    rows = [store.rows(DOCUMENTS, ("content_hash",))]
    rows += [store.rows(DOCUMENTS, ("content_hash",), version=one.documents_version) for one in manifests]
    hashes = {row for table in rows for row in table["content_hash"].to_pylist()}
    assert set(store.files.list("originals")) == {f"originals/{one[:2]}/{one}" for one in hashes}


def test_what_was_live_a_moment_ago_stays_for_running_queries(tmp_path):
    publisher = opened(tmp_path / "c")
    for _ in range(3):
        publisher.publish()
    soon = datetime.now(UTC) + timedelta(minutes=59)
    assert collect(publisher, keep=1, grace=timedelta(hours=1), now=soon).snapshots == ()
    later = datetime.now(UTC) + timedelta(minutes=61)
    assert collect(publisher, keep=1, grace=timedelta(hours=1), now=later).snapshots == (1, 2)


def test_what_the_candidate_needs_stays(tmp_path):
    publisher = opened(tmp_path / "c")
    publisher.publish()
    draft = publisher.publish()
    publisher.store.files.delete("snapshots/00000002.json")
    needs = Needs(publisher.embeddings, (draft.dense, draft.bm25), None)
    garbage = collect(publisher, keep=1, needs=needs)
    assert not any(garbage.counts[kind] for kind in ("indexes", "reports", "originals"))
    assert publisher.read(draft) == publisher.contents[draft.number]


def test_a_damaged_manifest_of_live_ends_it_and_an_older_one_goes(tmp_path):
    publisher = opened(tmp_path / "c")
    for _ in range(3):
        publisher.publish()
    publisher.store.files.write("snapshots/00000002.json", b"{")
    with pytest.raises(ManifestDamagedError):
        collect(publisher, keep=3, hold=(2,))
    assert collect(publisher, keep=3).snapshots == (2,)
    publisher.store.files.write("snapshots/00000003.json", b"{")
    with pytest.raises(ManifestDamagedError):
        collect(publisher, keep=3)
    assert publisher.store.snapshots.numbers() == [1, 3]
