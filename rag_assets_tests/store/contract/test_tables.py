"""Tables in and out: by key, by group, by page; any id, any type, any size."""

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag_assets_tests.store.contract.rows import EMBEDDINGS, chunks, embeddings, held, rows
from resources.errors import StoreError
from resources.store.tables import CHUNKS, DOCUMENTS, QUARANTINE

IDS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=12)


def test_a_table_that_was_never_written_has_no_rows(store):
    assert store.version(QUARANTINE) == 0 and held(store) == {} and store.tables() == []
    assert list(store.batches(QUARANTINE, ("row_id",), keys=["x"])) == []
    store.delete(QUARANTINE, ["x"])
    store.upsert(QUARANTINE, rows({}))
    assert store.version(QUARANTINE) == 0


def test_looking_creates_nothing(opened):
    assert opened().rows(CHUNKS, ("chunk_id",)).num_rows == 0 and opened().files.list() == {}
    assert opened().mark() is None or opened().snapshots.live() is None


def test_upsert_replaces_by_key(store, opened):
    store.upsert(QUARANTINE, rows({"a": "1", "b": "1"}))
    store.upsert(QUARANTINE, rows({"b": "2", "c": "2"}))
    assert held(opened()) == {"a": "1", "b": "2", "c": "2"} and store.tables() == ["quarantine"]


def test_replace_makes_the_rows_the_only_ones_of_their_groups(store):
    store.upsert(QUARANTINE, rows({"a": "1", "b": "1"}, "one"))
    store.upsert(QUARANTINE, rows({"z": "1"}, "two"))
    store.upsert(QUARANTINE, rows({"s": "1"}, "THREE"))
    store.replace(QUARANTINE, rows({"b": "2", "d": "2"}, "one"), column="table", values=["one", "three"])
    assert held(store) == {"b": "2", "d": "2", "z": "1", "s": "1"}
    store.replace(QUARANTINE, rows({"z": "3"}, "one"), column="table", values=["one"])
    assert held(store) == {"z": "3", "s": "1"}, "a row that changes its group is one row"
    store.replace(QUARANTINE, rows({}), column="table", values=["one"])
    assert held(store) == {"s": "1"}


def test_empty_selectors_select_nothing(store):
    store.upsert(QUARANTINE, rows({"a": "1"}))
    before = store.version(QUARANTINE)
    store.delete(QUARANTINE, [])
    store.replace(QUARANTINE, rows({}), column="table", values=[])
    assert store.take(QUARANTINE, ("row_id",), [], version=before).num_rows == 0
    assert list(store.batches(QUARANTINE, ("row_id",), keys=[])) == []
    assert held(store) == {"a": "1"} and store.version(QUARANTINE) == before


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(IDS, st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=5),
                       min_size=1, max_size=20), st.data())  # fmt: skip
def test_any_unicode_id_is_written_found_and_deleted(store, pairs, data):
    store.delete(QUARANTINE, list(held(store)))
    store.upsert(QUARANTINE, rows(pairs))
    assert held(store) == pairs
    some = data.draw(st.lists(st.sampled_from(sorted(pairs)), unique=True))
    found = store.take(QUARANTINE, ("row_id",), [*some, "not there"], version=store.version(QUARANTINE))
    assert sorted(found["row_id"].to_pylist()) == sorted(some)
    store.delete(QUARANTINE, some)
    assert held(store) == {key: value for key, value in pairs.items() if key not in some}


def test_ids_that_differ_in_case_or_blanks_are_different(store):
    pairs = {
        "Abc": "1",
        "abc": "2",
        "ABC": "3",
        "abc ": "4",
        " abc": "5",
        "straße": "6",
        "STRASSE": "7",
        "it's": "8",
        "10": "9",
        "9": "10",
        "%": "11",
        "_": "12",
        "a\nb": "13",
        "é": "14",
        "e\u0301": "15",
        "🦉": "16",
    }
    store.upsert(QUARANTINE, rows(pairs))
    store.upsert(QUARANTINE, rows({"abc": "new"}))
    assert held(store) == pairs | {"abc": "new"}
    store.delete(QUARANTINE, ["ABC", "abc ", "%"])
    assert held(store) == {
        key: value for key, value in (pairs | {"abc": "new"}).items() if key not in ("ABC", "abc ", "%")
    }


def test_every_column_of_every_table_comes_back_as_it_was(store):
    full = {
        "document_id": "s:ü/ '1'", "source": "s", "key": "ü/ '1'", "version": "", "fingerprint": "f", "status": "ok",
        "reason": "x" * 5000, "media_type": "text/plain", "bytes": 2**40, "characters": 5, "text_hash": "h",
        "title": "", "text": "long 🦉\n" * 300_000, "metadata": '{"a": 1}', "failure": "x", "attempts": 2**31 - 1,
        "next_try": "2026", "modified": "2026", "checksum": "c", "content_hash": "c", "url": "u" * 3000,
        "principals": ["a", "B c"], "simhash": -(2**63),
    }  # fmt: skip
    nothing = {name: None if DOCUMENTS.schema.field(name).nullable else value for name, value in full.items()}
    documents = [full, nothing | {"document_id": "s:2", "principals": []}, nothing | {"document_id": "s:3"}]
    for table, wanted in (
        (DOCUMENTS, pa.Table.from_pylist(documents, schema=DOCUMENTS.schema)),
        (CHUNKS, chunks("d", ["", "x" * 100_000, "🦉'?"])),
        (EMBEDDINGS, embeddings(300, tokens=3)),
    ):
        store.upsert(table, wanted)
        store.upsert(table, wanted)
        found = store.rows(table, table.schema.names).sort_by(table.key)
        assert found.schema == table.schema and found.to_pylist() == wanted.sort_by(table.key).to_pylist()
        some = wanted[table.key].to_pylist()[::2]
        columns = (table.schema.names[2], table.key)
        taken = store.take(table, columns, some, version=store.version(table)).sort_by(table.key)
        assert (
            taken.to_pylist()
            == wanted.filter(pc.is_in(wanted[table.key], pa.array(some))).select(columns).sort_by(table.key).to_pylist()
        )


def test_rows_that_are_not_of_the_table_are_refused_and_nothing_is_written(store):
    wrong = rows({"a": "1"}).set_column(0, "row_id", pa.array([None], pa.string()))
    with pytest.raises(StoreError, match="quarantine"):
        store.upsert(QUARANTINE, wrong)
    assert held(store) == {}


def test_batches_are_bounded_and_complete(store):
    many = {f"id-{number:05d}": str(number) for number in range(5000)}
    store.upsert(QUARANTINE, rows(many))
    for keys in (None, list(many)):
        batches = list(store.batches(QUARANTINE, ("row_id", "reason"), keys=keys))
        assert max(batch.num_rows for batch in batches) <= 2048
        found = [(row["row_id"], row["reason"]) for batch in batches for row in batch.to_pylist()]
        assert sorted(found) == sorted(many.items())
    assert store.rows(QUARANTINE, ("row_id",)).equals(store.rows(QUARANTINE, ("row_id",))), "scans have one order"


def test_what_lacks_its_other_half_is_found_by_joining_what_is_read(store):
    store.upsert(CHUNKS, pa.concat_tables([chunks("a", ["x", "y"]), chunks("A", ["x"]), chunks("b", ["x"])]))
    found = store.rows(CHUNKS, ("chunk_id", "document_id"))
    documents = pa.table({"document_id": ["a", "B"]})
    assert sorted(found.join(documents, "document_id", join_type="left anti")["chunk_id"].to_pylist()) == ["A/0", "b/0"]


def test_a_hundred_thousand_rows(store):
    table = pa.concat_tables(
        [rows({f"{start + one:06d}": "x" for one in range(20_000)}) for start in range(0, 100_000, 20_000)]
    )
    store.upsert(QUARANTINE, table)
    assert store.rows(QUARANTINE, ("row_id",)).num_rows == 100_000
    store.delete(QUARANTINE, [f"{one:06d}" for one in range(0, 100_000, 100)])
    assert store.rows(QUARANTINE, ("row_id",)).num_rows == 99_000


def test_a_table_that_is_dropped_is_gone_and_others_stay(store, opened):
    store.upsert(EMBEDDINGS, embeddings(3))
    store.upsert(QUARANTINE, rows({"a": "1"}))
    assert store.tables() == ["quarantine", EMBEDDINGS.name]
    opened().drop(EMBEDDINGS.name)
    opened().drop(EMBEDDINGS.name)
    assert store.tables() == ["quarantine"] and store.version(EMBEDDINGS) == 0
    assert store.rows(EMBEDDINGS, ("chunk_id",)).num_rows == 0 and held(store) == {"a": "1"}
    store.upsert(EMBEDDINGS, embeddings(2))
    assert store.rows(EMBEDDINGS, ("chunk_id",)).num_rows == 2
    assert store.size() > 0 and store.damage(QUARANTINE) == [] and store.drop_damaged(QUARANTINE) == []
    assert store.sound_rows(QUARANTINE, ("row_id",)).num_rows == 1
