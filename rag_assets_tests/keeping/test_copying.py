"""Copying between stores: the same content, rows and answers; killed and resumed; nothing of another's overwritten."""

import os
import signal
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_assets_tests.keeping.conftest import answers, drift
from rag_assets_tests.store.contract.stores import STORES
from rag_assets_tests.system.test_damage import run
from resources.errors import StoreError
from resources.keeping.content import tables_of, versions_of
from resources.keeping.copying import copy_corpus, live_content
from resources.keeping.rows import fingerprints
from resources.reconciliation import history
from resources.reconciliation.suppression import read_suppressed, suppress
from resources.store.lance_store import LanceStore
from resources.store.tables import CHUNKS, QUARANTINE


def table_digests(store):
    content = live_content(store)
    return [fingerprints(table, content.batches(table)).digest for table in tables_of(content.manifest)]


def require_same(source, target):
    old, new = source.snapshots.live(), target.snapshots.live()
    same = ("content", "chunks_digest", "counts", "dense", "bm25", "report", "model_fingerprint", "removed_documents")
    assert [getattr(old, one) for one in same] == [getattr(new, one) for one in same]
    assert table_digests(source) == table_digests(target)
    assert answers(source) == answers(target)
    assert history.verify(target).broken_line is None
    kept = lambda store: {path: store.files.read(path) for path in store.files.list("originals")}  # noqa: E731
    assert kept(source) == kept(target) and kept(source)


def other_store(project, name="elsewhere"):
    return LanceStore(project.folder / name / "default", "default")


def test_a_copy_serves_the_same_and_a_look_finds_nothing_to_do(project):
    suppress(project.corpus.store, ["folder:erased.txt"])
    source, target = project.corpus.store, other_store(project)
    copy_corpus(source, target)
    require_same(source, target)
    assert read_suppressed(target) == read_suppressed(source) != frozenset()
    project.configure("store: elsewhere,")
    assert project.corpus.store.files.where("") == target.files.where("")
    assert drift(project.corpus) == []
    version = target.version(CHUNKS)
    copy_corpus(source, target)
    assert (target.version(CHUNKS), target.snapshots.numbers()) == (version, [2]), "a second time writes nothing"


@pytest.mark.parametrize("kind", STORES)
def test_to_each_kind_of_store_and_back(project, tmp_path, kind, request):
    if kind == "bucket":
        request.getfixturevalue("s3")
    source, back = project.corpus.store, other_store(project)
    between = STORES[kind](tmp_path)
    copy_corpus(source, between)
    require_same(source, between)
    copy_corpus(STORES[kind](tmp_path), back)
    require_same(source, back)
    project.configure("store: elsewhere,")
    assert drift(project.corpus) == []


def test_a_later_copy_writes_what_differs(project):
    source, target = project.corpus.store, other_store(project)
    copy_corpus(source, target)
    (project.folder / "docs" / "bridge.txt").write_text("A note on bridges.")
    (project.folder / "docs" / "pass.txt").unlink()
    run(project.folder)
    copy_corpus(source, target)
    require_same(source, target)
    assert len(target.versions(CHUNKS)) == 1 and len(target.snapshots.numbers()) == 1


def test_marks_of_bad_vectors_go_with_live_under_its_new_version(project):
    source, target = project.corpus.store, other_store(project)
    live = source.snapshots.live()
    table = tables_of(live)[2].name
    labels = (f"{table}@{live.embeddings_version}", f"{table}@1", table)
    rows = [{"row_id": f"{one}/x", "table": one, "id": "x", "reason": "mock_vectors: "} for one in labels]
    import pyarrow as pa

    source.upsert(QUARANTINE, pa.Table.from_pylist(rows, schema=QUARANTINE.schema))
    copied = copy_corpus(source, target)
    found = target.rows(QUARANTINE, ("row_id",))["row_id"].to_pylist()
    assert sorted(found) == sorted([f"{table}@{copied.embeddings_version}/x", f"{table}/x"])


def test_what_is_no_copy_is_not_overwritten(project):
    source, target = project.corpus.store, other_store(project)
    with pytest.raises(StoreError, match="onto itself"):
        copy_corpus(source, project.corpus.store)
    copy_corpus(source, target)
    target.snapshots.remove_documents(["folder:del.txt"], "someone")
    with pytest.raises(StoreError, match="published to since"):
        copy_corpus(source, target)
    target.files.delete("copied.json")
    with pytest.raises(StoreError, match="is no copy"):
        copy_corpus(source, target)


def test_an_erasure_meanwhile_stops_it(project, monkeypatch):
    source, target = project.corpus.store, other_store(project)
    from resources.keeping import copying

    take_folders = copying.take_folders

    def erasing(content, writer):
        suppress(source, ["folder:del.txt"])
        take_folders(content, writer)

    monkeypatch.setattr(copying, "take_folders", erasing)
    with pytest.raises(StoreError, match="were erased while"):
        copy_corpus(source, target)
    assert target.snapshots.live() is None


KILLED = """
import os, signal, sys
from pathlib import Path
from resources.corpus import open_corpus
from resources.settings import load_settings
from resources.keeping import copying, rows
from resources.store.lance_store import LanceStore
from resources.store.writer import CorpusWriter
rows.COMMIT_ROWS = 2
left = [int(sys.argv[2])]
before = getattr(CorpusWriter, sys.argv[1])
def dying(*arguments, **options):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return before(*arguments, **options)
setattr(CorpusWriter, sys.argv[1], dying)
source = open_corpus(load_settings(Path("rag.yaml")), "default").store
copying.copy_corpus(source, LanceStore(Path("elsewhere/default"), "default"))
"""


@pytest.mark.parametrize(("method", "after"), [("upsert", 3), ("publish", 0), ("forget_versions", 1)])
def test_killed_halfway_it_goes_on(project, method, after, monkeypatch):
    command = [sys.executable, "-c", KILLED, method, str(after)]
    died = subprocess.run(command, cwd=project.folder, check=False, env=dict(os.environ))
    assert died.returncode == -signal.SIGKILL
    target = other_store(project)
    assert (target.snapshots.live() is None) == (method != "forget_versions")
    tables = tables_of(project.corpus.store.snapshots.live())
    held = sum(target.rows(table, (table.key,)).num_rows for table in tables)
    assert held
    copied = []
    upsert = type(target).upsert
    monkeypatch.setattr(
        type(target), "upsert", lambda self, table, rows: (copied.append(rows.num_rows), upsert(self, table, rows))
    )
    copy_corpus(project.corpus.store, target)
    require_same(project.corpus.store, target)
    total = sum(target.rows(table, (table.key,)).num_rows for table in tables)
    assert sum(copied) == total - held, "what was committed is not written again"
    assert versions_of(target.snapshots.live()) == tuple(map(target.version, tables))


CELLS = st.one_of(st.none(), st.text(max_size=3))


@given(st.lists(st.tuples(CELLS, CELLS), min_size=2, max_size=2, unique=True))
def test_different_rows_have_different_digests(pairs):
    import pyarrow as pa

    from resources.store.tables import Table

    table = Table("t", "k", pa.schema([("k", pa.string()), ("a", pa.string()), ("b", pa.string())]))
    columns = [["x", "x"], [pair[0] for pair in pairs], [pair[1] for pair in pairs]]
    batch = pa.RecordBatch.from_arrays([pa.array(one, pa.string()) for one in columns], schema=table.schema)
    assert len(set(fingerprints(table, [batch]).lines.to_pylist())) == 2
