"""A corpus that was built for real, and what it serves."""

import shutil

import pytest

from rag_assets_tests.store.conftest import s3, s3_server  # noqa: F401
from rag_assets_tests.system.test_damage import run
from resources.corpus import open_corpus
from resources.reconciliation.analyse import analyse
from resources.reconciliation.observe import SystemState
from resources.retrieval.pipelines import retrieve
from resources.retrieval.snapshot import open_live
from resources.settings import load_settings

QUESTIONS = ["How does assert work?", "What does del do?", "lighthouse keepers"]
YAML = "corpora: {{default: {{{} keep_originals: true, sources: [{{type: folder, path: docs}}]}}}}"


class Project:
    """A folder with documents and a corpus of them."""

    def __init__(self, folder):
        self.folder = folder

    @property
    def corpus(self):
        return open_corpus(load_settings(self.folder / "rag.yaml"), "default")

    def configure(self, settings):
        (self.folder / "rag.yaml").write_text(YAML.format(settings))


def answers(store):
    """What the hybrid and the late-interaction pipeline answer, scores included."""
    found = [retrieve(open_live(store), QUESTIONS, k=5, pipeline=one) for one in ("hybrid", "colbert")]
    return [[(hit.document_id, hit.chunk_id, hit.score) for hit in hits] for asked in found for hits in asked]


def drift(corpus):
    return [one.type for one in analyse(SystemState(corpus), "search-ready")]


@pytest.fixture(scope="session")
def built_project(tmp_path_factory):
    from pydoc_data.topics import topics

    folder = tmp_path_factory.mktemp("keeping")
    (folder / "docs").mkdir()
    (folder / "docs" / "keeper.txt").write_text("A note on lighthouses and their keepers.")
    Project(folder).configure("")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAG_HOME", raising=False)
        for names in (("assert", "bltin-null-object"), ("del", "pass")):
            for name in names:
                (folder / "docs" / f"{name}.txt").write_text(topics[name], "utf-8")
            run(folder)
    return folder


@pytest.fixture
def project(built_project, tmp_path, monkeypatch):
    monkeypatch.delenv("RAG_HOME", raising=False)
    shutil.copytree(built_project, tmp_path / "project")
    return Project(tmp_path / "project")
