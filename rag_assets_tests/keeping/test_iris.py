"""A corpus in IRIS, end to end on the strict double: built, damaged, healed, published, asked, rolled back, copied."""

import shutil

import pytest

from rag_assets_tests.iris_double import dbapi
from rag_assets_tests.keeping.conftest import answers, drift
from rag_assets_tests.keeping.test_copying import other_store, require_same
from rag_assets_tests.system.test_damage import run
from resources.keeping.copying import copy_corpus
from resources.materialisation.rollback import roll_back
from resources.store.iris import connection
from resources.store.iris.store import IrisStore
from resources.store.tables import CHUNKS, DOCUMENTS


@pytest.fixture
def in_iris(project, tmp_path, monkeypatch):
    monkeypatch.setenv("IRIS_DOUBLE", str(tmp_path))
    monkeypatch.setenv("IRIS_USERNAME", "double")
    monkeypatch.setenv("IRIS_PASSWORD", "double")
    monkeypatch.setattr(connection, "load_driver", lambda: dbapi)
    project.original = project.corpus.store
    project.configure('store: "iris://nowhere:1972/USER?schema=RAG",')
    return project


def found(answers):
    """Return the chunks of answers: vectors depend a little on what they were embedded together with."""
    return [[chunk for _, chunk, _ in hits] for hits in answers]


def test_a_corpus_is_built_healed_published_and_asked(in_iris):
    folder = in_iris.folder
    run(folder)
    store = in_iris.corpus.store
    assert isinstance(store, IrisStore) and drift(in_iris.corpus) == []
    assert found(answers(store)) == found(answers(in_iris.original)), "the same answers as from a folder"
    before = answers(store)
    ids = store.rows(CHUNKS, ("chunk_id",))["chunk_id"].to_pylist()
    store.delete(CHUNKS, ids[::2])
    store.delete(in_iris.corpus.embeddings, ids[1::2])
    assert answers(in_iris.corpus.store) == before, "live reads its own version"
    assert drift(in_iris.corpus) != []
    run(folder)
    assert drift(in_iris.corpus) == [] and found(answers(in_iris.corpus.store)) == found(before)
    (folder / "docs" / "del.txt").unlink()
    run(folder)
    assert "folder:del.txt" not in in_iris.corpus.store.rows(DOCUMENTS, ("document_id",))["document_id"].to_pylist()
    assert found(answers(in_iris.corpus.store)) != found(before)
    first = in_iris.corpus.store.snapshots.numbers()[0]
    assert roll_back(in_iris.corpus, first).restored_from == first


def test_a_corpus_goes_to_iris_and_back_unchanged(in_iris, tmp_path):
    there, back = in_iris.corpus.store, other_store(in_iris)
    copy_corpus(in_iris.original, there)
    require_same(in_iris.original, there)
    shutil.rmtree(there.indexes.local, ignore_errors=True)
    assert answers(in_iris.corpus.store) == answers(in_iris.original), "from indexes fetched anew"
    copy_corpus(there, back)
    require_same(in_iris.original, back)
