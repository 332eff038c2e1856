"""Erasing documents: no file and no version of the corpus holds them afterwards, also after a kill."""

import json
import os
import shutil
import signal
import subprocess
import sys

import lance
import pytest

from rag_assets_tests.system.test_damage import make_tables, run
from resources.corpus import open_corpus
from resources.errors import ErasurePendingError, NoSnapshotError, RagAssetsError
from resources.materialisation.erasure import PLACES, erase, erase_source
from resources.materialisation.rollback import roll_back
from resources.reconciliation import history
from resources.reconciliation.analyse import analyse
from resources.reconciliation.observe import SystemState
from resources.retrieval.pipelines import retrieve
from resources.retrieval.snapshot import open_live
from resources.settings import load_settings

SECRET, SECRET_TEXT = "folder:secret.txt", "Zyxomma dragonflies were kept by Ermintrude Quackenbush."
WORDS = (b"yxomma", b"rmintrude", b"uackenbush")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A corpus with two snapshots, the second of which added another document; originals are kept."""
    folder = tmp_path_factory.mktemp("erasure")
    (folder / "docs").mkdir()
    (folder / "rag.yaml").write_text(
        "corpora: {default: {keep_originals: true, sources: [{type: folder, path: docs}]}}"
    )
    (folder / "docs" / "secret.txt").write_text(SECRET_TEXT)
    (folder / "docs" / "other.txt").write_text("A note on lighthouses and their keepers.")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAG_HOME", raising=False)
        run(folder)
        (folder / "docs" / "third.txt").write_text("A note on bridges.")
        run(folder)
    return folder


@pytest.fixture
def folder(built, tmp_path, monkeypatch):
    monkeypatch.delenv("RAG_HOME", raising=False)
    shutil.copytree(built, tmp_path / "copy")
    return tmp_path / "copy"


def corpus_of(folder):
    return open_corpus(load_settings(folder / "rag.yaml"), "default")


def holding(corpus):
    """Return what still holds the document: files with its words or its id, and table versions with its rows."""
    words = (*WORDS, SECRET.encode())
    files = [path for path in corpus.store.folder.rglob("*") if path.is_file()]
    found = [str(path) for path in files if any(word in path.read_bytes() for word in words)]
    for table in corpus.store.folder.rglob("*.lance"):
        if table.is_dir():
            for version in lance.dataset(table).versions():
                rows = lance.dataset(table, version=version["version"]).to_table().to_pylist()
                found += [f"{table}@{version['version']}" for row in rows if SECRET in row.values()]
    return found


def require_erased(folder, rows):
    corpus = corpus_of(folder)
    assert holding(corpus) == []
    assert analyse(SystemState(corpus), "search-ready") == []
    assert len(corpus.store.snapshots.numbers()) == 1
    found = {hit.document_id for hit in retrieve(open_live(corpus.store), ["dragonflies", "lighthouses"], k=9)[0]}
    assert found == {"folder:other.txt", "folder:third.txt"}
    assert {row["chunk_id"]: row["checksum"] for row in embedded(corpus)} == rows, "the others are not embedded again"
    [receipt] = [json.loads(one.read_bytes()) for one in (corpus.store.folder / "erasures").glob("*.json")]
    assert all(receipt["places"].values()) and list(receipt["places"]) == list(PLACES)
    newest = next(history.read_backwards(corpus.store))
    assert (newest["kind"], newest["receipt"], newest["reason"]) == ("erasure", receipt["id"], "asked by the author")
    assert history.verify(corpus.store).broken_line is None


def embedded(corpus):
    return corpus.store.rows(corpus.embeddings, ("chunk_id", "checksum")).to_pylist()


def others(corpus):
    chunks = lance.dataset(corpus.store.folder / "chunks.lance").to_table().to_pylist()
    secret = {row["chunk_id"] for row in chunks if row["document_id"] == SECRET}
    return {row["chunk_id"]: row["checksum"] for row in embedded(corpus) if row["chunk_id"] not in secret}


def test_nothing_of_an_erased_document_is_left_and_it_does_not_come_back(folder):
    corpus = corpus_of(folder)
    rows = others(corpus)
    assert holding(corpus)
    erase(corpus, [SECRET], "asked by the author")
    require_erased(folder, rows)
    assert (folder / "docs" / "secret.txt").exists(), "its source lists it still"
    run(folder)
    require_erased(folder, rows)
    with pytest.raises(NoSnapshotError):
        roll_back(corpus, 1)


def test_unpublished_changes_are_not_published_by_an_erasure(folder):
    corpus = corpus_of(folder)
    (folder / "docs" / "fourth.txt").write_text("A note on harbours.")
    make_tables(corpus)
    with pytest.raises(ErasurePendingError, match="not published"):
        erase(corpus, [SECRET], "asked by the author")
    assert SECRET not in {hit.document_id for hit in retrieve(open_live(corpus.store), ["dragonflies"], k=9)[0]}
    run(folder)
    assert all(erase(corpus_of(folder), [SECRET], "asked by the author").places.values())
    assert holding(corpus) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from resources.corpus import open_corpus
from resources.settings import load_settings
from resources.materialisation import erasure
done = erasure._done
def dying(corpus, receipt, place):
    if place == sys.argv[1]:
        os.kill(os.getpid(), signal.SIGKILL)
    return done(corpus, receipt, place)
erasure._done = dying
erasure.erase(open_corpus(load_settings(Path("rag.yaml")), "default"), ["folder:secret.txt"], "asked by the author")
"""


SLOW = [pytest.param(place, marks=pytest.mark.slow) for place in ("live", "tables", "indexes", "versions", "reports")]


@pytest.mark.parametrize("place", ["snapshots", *SLOW])
def test_killed_on_the_way(folder, place):
    rows = others(corpus_of(folder))
    died = subprocess.run([sys.executable, "-c", KILLED, place], cwd=folder, check=False, env=dict(os.environ))
    assert died.returncode == -signal.SIGKILL
    corpus = corpus_of(folder)
    [receipt] = [json.loads(one.read_bytes()) for one in (corpus.store.folder / "erasures").glob("*.json")]
    assert receipt["places"][place] is None, "the receipt says pending"
    assert "erasure_pending" in {one.type for one in analyse(SystemState(corpus), "search-ready")}
    hits = retrieve(open_live(corpus.store), ["dragonflies"], k=9)[0]
    assert hits and SECRET not in {hit.document_id for hit in hits}, "hidden, and the others are answered"
    erase(corpus, [SECRET], "asked by the author")
    require_erased(folder, rows)


def test_a_whole_source_is_erased_with_one_receipt_also_after_a_kill(folder):
    settings = folder / "rag.yaml"
    settings.write_text(
        settings.read_text().replace("path: docs}", "path: docs}, {type: folder, name: diary, path: diary}")
    )
    (folder / "diary").mkdir()
    for day in ("monday", "tuesday"):
        (folder / "diary" / f"{day}.txt").write_text(f"On {day} the quokka slept.")
    run(folder)
    killed = KILLED.replace("erasure.erase(", "erasure.erase_source(").replace('["folder:secret.txt"]', '"diary"')
    died = subprocess.run([sys.executable, "-c", killed, "versions"], cwd=folder, check=False, env=dict(os.environ))
    assert died.returncode == -signal.SIGKILL, "its rows are gone, and older versions still hold them"
    corpus = corpus_of(folder)
    receipt = erase_source(corpus, "diary", "asked by the author")
    assert len(receipt.documents) == 2 and receipt.is_complete and receipt.source == "diary"
    assert len(list((corpus.store.folder / "erasures").glob("*.json"))) == 1, "the one that was begun"
    files = [path for path in corpus.store.folder.rglob("*") if path.is_file()]
    assert not [path for path in files if b"quokka" in path.read_bytes() or b"diary:" in path.read_bytes()]
    run(folder)
    assert {hit.document_id for hit in retrieve(open_live(corpus.store), ["quokka"], k=9)[0]} <= {
        "folder:secret.txt",
        "folder:other.txt",
        "folder:third.txt",
    }
    with pytest.raises(RagAssetsError, match="holds no document of a source 'diary'"):
        erase_source(corpus_of(folder), "diary", "asked by the author")
