"""Schema versions: there, back, cut short, and read by the software before them."""

import json

import lance
import pyarrow as pa
import pytest

from rag_assets_tests.store.made import Publisher, made_rows
from resources.errors import StoreError
from resources.store.lance_store import LanceStore
from resources.store.migrations import MARKER, MIGRATIONS, OLDEST, downgrade, pending
from resources.store.tables import DOCUMENTS, SCHEMA_VERSION
from resources.store.writer import writing

NEW = MIGRATIONS[0].columns


def marker_of(store):
    return json.loads(store.files.read(MARKER))


@pytest.fixture
def old(tmp_path):
    """A store as software of schema version 1 wrote it: documents without nine columns, a marker with one number."""
    folder = tmp_path / "c"
    folder.mkdir()
    (folder / MARKER).write_text('{"corpus": "c", "schema_version": 1}')
    rows = made_rows(DOCUMENTS, ["a", "b"], text="some text").drop_columns(list(NEW))
    lance.write_dataset(rows, folder / "documents.lance")
    return LanceStore(folder, "c")


def columns(store, version=None):
    return set(lance.dataset(store.folder / "documents.lance", version=version).schema.names)


def texts(store):
    return dict(
        zip(
            *(store.rows(DOCUMENTS, ("document_id", "text"))[one].to_pylist() for one in ("document_id", "text")),
            strict=True,
        )
    )


def test_there_is_one_migration_for_each_version_and_they_make_the_schema():
    assert [one.to for one in MIGRATIONS] == list(range(OLDEST + 1, SCHEMA_VERSION + 1))
    assert pending(SCHEMA_VERSION) == [] and pending(OLDEST) == list(MIGRATIONS)
    for one in MIGRATIONS:
        assert all(one.table.schema.field(name).nullable for name in one.columns)


def test_an_old_store_is_read_as_it_is_and_brought_up_to_date_by_the_first_write(old):
    assert texts(old) == {"a": "some text", "b": "some text"} and columns(old).isdisjoint(NEW)
    files = sorted((old.folder / "documents.lance" / "data").iterdir())
    with writing(old, "run", wait=0):
        pass
    assert columns(old) == set(DOCUMENTS.schema.names) and columns(old, 1).isdisjoint(NEW)
    assert marker_of(old)["schema_version"] == SCHEMA_VERSION and texts(old) == {"a": "some text", "b": "some text"}
    assert sorted((old.folder / "documents.lance" / "data").iterdir()) == files, "no row is written"
    version = old.version(DOCUMENTS)
    old.upgrade()
    assert old.version(DOCUMENTS) == version, "a second time does nothing"


def test_cut_short_it_is_finished_by_the_next(old):
    old.add_columns(DOCUMENTS, NEW[:4])
    assert marker_of(old)["schema_version"] == 1
    LanceStore(old.folder, "c").upgrade()
    assert columns(old) == set(DOCUMENTS.schema.names)


def test_the_way_back_while_nothing_new_is_published(old):
    old.upgrade()
    downgrade(old, 1)
    assert columns(old).isdisjoint(NEW) and marker_of(old) == {"corpus": "c", "schema_version": 1, "readable_by": 1}
    assert texts(old) == {"a": "some text", "b": "some text"}
    downgrade(old, 1)
    old.upgrade()
    Publisher(old).publish()
    with pytest.raises(StoreError, match="no way back to 1"):
        downgrade(old, 1)
    assert columns(old) == set(DOCUMENTS.schema.names)
    with pytest.raises(StoreError, match="no way back to schema 7"):
        downgrade(old, 7)


def from_the_future(store, readable_by):
    """What software of the next schema version publishes: another column, another field in the manifest."""
    publisher = Publisher(store)
    manifest = publisher.publish()
    lance.dataset(store.folder / "documents.lance").add_columns(pa.schema([pa.field("mood", pa.string())]))
    newer = {"schema_version": SCHEMA_VERSION + 1, "readable_by": readable_by}
    body = json.loads(manifest.model_dump_json()) | newer | {"number": 2, "documents_version": store.version(DOCUMENTS)}
    store.files.write("snapshots/00000002.json", json.dumps(body | {"mood": "good"}).encode())
    store.files.write(MARKER, json.dumps({"corpus": "c"} | newer).encode())
    return publisher


def test_what_the_next_version_published_is_served_and_not_written_to(tmp_path):
    store = LanceStore(tmp_path / "c", "c")
    store.create()
    publisher = from_the_future(store, SCHEMA_VERSION)
    store = LanceStore(tmp_path / "c", "c")
    assert store.snapshots.live().number == 2
    assert publisher.read(store.snapshots.live()) == publisher.contents[1]
    with pytest.raises(StoreError, match="must not write"), writing(store, "run", wait=0):
        pass


def test_what_it_cannot_read_is_refused(tmp_path):
    store = LanceStore(tmp_path / "c", "c")
    store.create()
    from_the_future(store, SCHEMA_VERSION + 1)
    with pytest.raises(StoreError, match="upgrade rag-assets"):
        store.snapshots.live()
    with pytest.raises(StoreError, match="needs software that knows 3"):
        LanceStore(tmp_path / "c", "c")
