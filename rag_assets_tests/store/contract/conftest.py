"""An empty store of each kind."""

import pytest

from rag_assets_tests.store.contract.stores import STORES


@pytest.fixture(params=STORES)
def kind(request) -> str:
    """Return the kind of store."""
    return request.param


@pytest.fixture
def opened(kind, tmp_path, request):
    """Return a function that opens the store, each time anew."""
    if kind == "bucket":
        request.getfixturevalue("s3")

    def open_again():
        return STORES[kind](tmp_path)

    yield open_again
    if kind == "iris":
        for table in open_again().tables():
            open_again().drop(table)


@pytest.fixture
def store(opened):
    """Return the store, made and empty."""
    made = opened()
    made.create()
    return made
