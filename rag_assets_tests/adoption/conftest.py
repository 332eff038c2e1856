"""A PostgreSQL with pgvector, and passages with their embeddings, once for all tests here."""

import pytest

from rag_assets_tests.adoption.made import real_passages
from rag_assets_tests.adoption.servers import running_postgres
from resources.settings import Settings


@pytest.fixture(scope="session")
def passages():
    return real_passages()


@pytest.fixture(scope="session")
def postgres():
    with running_postgres() as url:
        yield url


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(home=tmp_path / "home")
