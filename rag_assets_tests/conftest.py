"""What all tests share: an environment without a user's settings, and real text to build corpora from."""

from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile(
    "timeless", deadline=None
)  # a machine may be busy; wrong answers matter, slow ones are measured
settings.load_profile("timeless")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch):
    for name in ("RAG_HOME", "RAG_CONFIG", "DAGSTER_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of development data beside the project; the test is skipped where there is none."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the development data in {folder}")
    return folder


@pytest.fixture
def topics_folder(tmp_path) -> Path:
    """Write Python's help topics as text files: real text in a folder of our own."""
    from pydoc_data.topics import topics

    folder = tmp_path / "topics"
    folder.mkdir()
    for name, text in sorted(topics.items()):
        (folder / f"{name}.txt").write_text(text, "utf-8")
    return folder
