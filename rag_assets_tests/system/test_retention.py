"""Clearing away in a real corpus: part of publishing, by hand, on hold, and killed in the middle."""

import os
import shutil
import signal
import subprocess
import sys
from datetime import timedelta

import pytest

from rag_assets_tests.system.test_damage import make_tables, run
from resources.corpus import open_corpus
from resources.errors import NoSnapshotError, StoreError
from resources.materialisation.erasure import erase
from resources.materialisation.retention import clean
from resources.materialisation.rollback import roll_back
from resources.reconciliation.analyse import analyse
from resources.reconciliation.observe import SystemState
from resources.retrieval.pipelines import retrieve
from resources.retrieval.snapshot import open_live
from resources.settings import load_settings
from resources.store.tables import CHUNKS

YAML = "corpora: {{default: {{keep_originals: true, {} sources: [{{type: folder, path: docs}}]}}}}"
NOW = "retention: {grace: 0s},"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A corpus with three snapshots, each of which changed a document."""
    folder = tmp_path_factory.mktemp("retention")
    (folder / "docs").mkdir()
    (folder / "docs" / "keeper.txt").write_text("A note on lighthouses and their keepers.")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAG_HOME", raising=False)
        for number in range(3):
            (folder / "docs" / "bridge.txt").write_text(f"Note {number} on bridges.")
            (folder / "rag.yaml").write_text(YAML.format(NOW))
            run(folder)
    return folder


@pytest.fixture
def folder(built, tmp_path, monkeypatch):
    monkeypatch.delenv("RAG_HOME", raising=False)
    shutil.copytree(built, tmp_path / "copy")
    return tmp_path / "copy"


def corpus_of(folder):
    return open_corpus(load_settings(folder / "rag.yaml"), "default")


def answers(corpus):
    return [(hit.chunk_id, hit.score) for hit in retrieve(open_live(corpus.store), ["lighthouses"], k=5)[0]]


def require_clean(corpus, kept):
    store = corpus.store
    assert store.snapshots.numbers() == kept
    assert len(store.versions(CHUNKS)) == len(kept) == len(store.versions(corpus.embeddings))
    assert len(store.indexes.names()) == 2 * len(kept)
    assert len(store.files.list("originals")) == 1 + len(kept), "and one document that never changed"
    assert analyse(SystemState(corpus), "search-ready") == []


def test_by_hand(folder):
    corpus = corpus_of(folder)
    before, size = answers(corpus), corpus.store.size()
    planned = clean(corpus, 1, dry_run=True)
    assert corpus.store.snapshots.numbers() == [1, 2, 3] and planned.garbage.snapshots == (1, 2)
    done = clean(corpus, 1)
    assert (done.garbage.counts, done.kept) == (planned.garbage.counts, (3,))
    assert done.freed == size - corpus.store.size() > 0
    assert answers(corpus) == before
    require_clean(corpus, [3])
    with pytest.raises(NoSnapshotError):
        roll_back(corpus, 1)


def test_publishing_clears_away_what_is_too_old(folder):
    (folder / "rag.yaml").write_text(YAML.format("retention: {snapshots: 2, grace: 0s},"))
    (folder / "docs" / "bridge.txt").write_text("Another note on bridges.")
    require_clean(run(folder), [3, 4])


def test_what_is_on_hold_stays_and_is_not_erased(folder):
    (folder / "rag.yaml").write_text(YAML.format("retention: {grace: 0s, hold: [1]},"))
    corpus = corpus_of(folder)
    assert clean(corpus, 1).kept == (3, 1)
    assert roll_back(corpus, 1).restored_from == 1
    with pytest.raises(StoreError, match="on hold"):
        erase(corpus, ["folder:bridge.txt"], "asked")
    (folder / "rag.yaml").write_text(YAML.format("retention: {grace: 0s, hold: true},"))
    assert not any(clean(corpus_of(folder), 1).garbage.counts.values())


def test_tables_of_many_commits_are_compacted_and_published(folder, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("resources.store.compaction.is_due", lambda dataset: False)
        (folder / "docs" / "bridge.txt").write_text("Another note on bridges.")
        corpus = run(folder)
    before = answers(corpus)
    planned = clean(corpus, 1, dry_run=True)
    assert "chunks" in planned.compacted and corpus.store.snapshots.numbers() == [1, 2, 3, 4]
    assert clean(corpus, 1).compacted == planned.compacted
    assert answers(corpus) == before and not corpus.store.needs_compacting(CHUNKS)
    require_clean(corpus, [5])


def test_a_run_compacts_before_it_publishes_and_changes_wait_for_it(folder):
    corpus = corpus_of(folder)
    before = answers(corpus)
    (folder / "docs" / "bridge.txt").write_text("Another note on bridges.")
    make_tables(corpus)
    done = clean(corpus, 1)
    assert "chunks" in done.waiting and not done.compacted and corpus.store.snapshots.numbers() == [3]
    corpus = run(folder)
    assert not corpus.store.needs_compacting(CHUNKS) and corpus.store.snapshots.live().number == 4
    assert {one for one, _ in answers(corpus)} > {one for one, _ in before[:1]}


KILLED = """
import os, signal, sys
from pathlib import Path
from resources.corpus import open_corpus
from resources.settings import load_settings
from resources.materialisation.retention import clean
from resources.store.writer import CorpusWriter
method, times = sys.argv[1], [0]
before = getattr(CorpusWriter, method)
def dying(*arguments, **options):
    if times[0] == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    times[0] += 1
    return before(*arguments, **options)
setattr(CorpusWriter, method, dying)
clean(open_corpus(load_settings(Path("rag.yaml")), "default"), 1)
"""


@pytest.mark.parametrize("method", ["retire", "forget_versions", "delete_folder", "delete_file"])
def test_killed_in_the_middle(folder, method):
    before = answers(corpus_of(folder))
    died = subprocess.run([sys.executable, "-c", KILLED, method], cwd=folder, check=False, env=dict(os.environ))
    assert died.returncode == -signal.SIGKILL
    corpus = corpus_of(folder)
    assert answers(corpus) == before
    clean(corpus, 1)
    require_clean(corpus, [3])
    assert answers(corpus) == before
    assert corpus.settings.retention.grace == timedelta(0)
