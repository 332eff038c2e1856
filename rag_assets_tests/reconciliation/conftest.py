"""A corpus of a few text files that was never built: looking at it costs no model and finds real drift."""

import pytest

from resources.corpus import open_corpus
from resources.settings import load_settings


class Unbuilt:
    """A folder of documents and the settings of the corpus over it."""

    def __init__(self, folder):
        self.folder = folder
        self.docs = folder / "docs"
        self.docs.mkdir()
        self.write(*(f"{number:02}" for number in range(20)))
        self.configure("")

    def write(self, *names):
        for name in names:
            (self.docs / f"{name}.txt").write_text(f"Document {name} speaks of dragonflies.")

    def configure(self, more):
        content = f"corpora: {{default: {{sources: [{{type: folder, path: docs}}]{more}}}}}"
        (self.folder / "rag.yaml").write_text(content)

    @property
    def corpus(self):
        return open_corpus(load_settings(self.folder / "rag.yaml"), "default")


@pytest.fixture
def unbuilt(tmp_path, monkeypatch):
    monkeypatch.delenv("RAG_HOME", raising=False)
    return Unbuilt(tmp_path)
