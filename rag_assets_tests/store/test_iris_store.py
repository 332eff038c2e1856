"""What is particular to IRIS: lost connections, the driver's quirks, whose schema it is, and vectors in SQL."""

import logging
import multiprocessing
import os
import time

import numpy as np
import pytest

from rag_assets_tests.iris_double import dbapi
from rag_assets_tests.store.contract.rows import EMBEDDINGS, chunks, embeddings, held, rows
from rag_assets_tests.store.contract.stores import on_iris_double
from resources.errors import SettingsError, StoreError
from resources.store.iris import connection, sql
from resources.store.iris.connection import Pool, StatementError, read_address
from resources.store.iris.rows import vector_text
from resources.store.iris.store import IrisStore
from resources.store.opening import open_store
from resources.store.tables import CHUNKS, DOCUMENTS, QUARANTINE


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(connection, "LONGEST_WAIT", 0.0)
    yield
    dbapi.faults.break_at(0)


@pytest.fixture
def store(tmp_path) -> IrisStore:
    made = on_iris_double(tmp_path)
    made.create()
    return made


def _texts(store, document="d"):
    found = store.rows(CHUNKS, ("chunk_id", "document_id", "text")).to_pylist()
    return sorted(row["text"] for row in found if row["document_id"] == document)


@pytest.mark.parametrize("after", [False, True])
def test_a_connection_lost_at_any_statement_changes_nothing_of_the_result(store, after):
    store.replace(CHUNKS, chunks("d", ["old 1", "old 2", "old 3"]), column="document_id", values=["d"])
    before = dbapi.faults.statements
    store.replace(CHUNKS, chunks("d", ["new 1"]), column="document_id", values=["d"])
    statements = dbapi.faults.statements - before
    assert statements > 6
    for number in range(1, statements + 1):
        store.replace(CHUNKS, chunks("d", ["old 1", "old 2"]), column="document_id", values=["d"])
        version = store.version(CHUNKS)
        dbapi.faults.break_at(number, after=after)
        store.replace(CHUNKS, chunks("d", [f"new {number}"]), column="document_id", values=["d"])
        assert _texts(store) == [f"new {number}"]
        assert sorted(store.rows(CHUNKS, ("text",), version=version)["text"].to_pylist()) == ["old 1", "old 2"]


def test_a_server_lost_for_good_at_any_statement_leaves_the_old_document_or_the_new_one(store):
    old, new = ["old 1", "old 2", "old 3"], ["new 1", "new 2"]
    store.replace(CHUNKS, chunks("d", old), column="document_id", values=["d"])
    version = store.version(CHUNKS)
    for number in range(1, 20):
        dbapi.faults.break_at(number, times=10_000)
        try:
            store.replace(CHUNKS, chunks("d", new), column="document_id", values=["d"])
        except StoreError:
            dbapi.faults.break_at(0)
            assert _texts(store) == old and store.version(CHUNKS) == version, "and no version without its rows"
        else:
            break
    dbapi.faults.break_at(0)
    assert _texts(store) == new and number > 6


@pytest.mark.parametrize("after", [False, True])
def test_a_connection_lost_at_any_statement_creates_a_file_once_and_says_so(store, after):
    before = dbapi.faults.statements
    store.files.create("lease/0", b"content")
    for number in range(1, dbapi.faults.statements - before + 1):
        dbapi.faults.break_at(number, after=after)
        assert store.files.create(f"lease/{number}", b"mine")
        assert not store.files.create(f"lease/{number}", b"theirs") and store.files.read(f"lease/{number}") == b"mine"


def test_a_drop_that_was_killed_leaves_no_rows_for_the_next_table(store, monkeypatch):
    store.upsert(QUARANTINE, rows({"a": "1"}))
    monkeypatch.setattr(sql.Layout, "drop", lambda self: [])
    store.drop("quarantine")
    assert held(store) == {}
    store.upsert(QUARANTINE, rows({"b": "1"}))
    assert held(store) == {"b": "1"}


def test_a_server_that_stays_away_is_an_error_and_everything_is_there_when_it_is_back(store):
    store.upsert(QUARANTINE, rows({"a": "1"}))
    dbapi.faults.break_at(1, times=10_000)
    for looking in (
        lambda: held(store),
        lambda: store.upsert(QUARANTINE, rows({"b": "1"})),
        lambda: store.files.list(),
    ):
        with pytest.raises(StoreError, match="COMMUNICATION LINK"):
            looking()
    dbapi.faults.break_at(0)
    assert held(store) == {"a": "1"}


def test_a_row_that_the_batch_could_not_write_is_named_and_nothing_of_it_stays(store):
    version = store.version(QUARANTINE)
    with pytest.raises(StoreError, match=r"row b: .*-104"):
        store.upsert(QUARANTINE, rows({"a": "1", "b": "x" * 250_001, "c": "1"}))
    assert held(store) == {}
    with pytest.raises(StoreError, match="longer than the 400 bytes"):
        store.upsert(QUARANTINE, rows({"ü" * 201: "1"}))
    assert version == 0


def test_a_driver_that_answers_a_batch_with_something_else_is_not_believed(store, monkeypatch):
    store.upsert(QUARANTINE, rows({"a": "1"}))
    for answer in (None, (1,), (1, None), -1):
        monkeypatch.setattr(dbapi.Cursor, "executemany", lambda *_, answer=answer: answer)
        with pytest.raises(StoreError):
            store.upsert(QUARANTINE, rows({"b": "1", "c": "1"}))
    assert held(store) == {"a": "1"}


def test_a_connection_that_commits_by_itself_is_refused(store, monkeypatch):
    monkeypatch.setattr(dbapi.Connection, "commit", lambda self: None)
    made = dbapi.connect
    monkeypatch.setattr(dbapi, "connect", lambda *a, **b: made(*a, **b | {"autoCommit": True}))
    with pytest.raises(StoreError, match="autocommit"):
        IrisStore("iris://u:p@nowhere:1972/USER", "handbook", store.audits, dbapi).version(QUARANTINE)


def _in_a_child(store):
    store.upsert(QUARANTINE, rows({"child": str(os.getpid())}))


def test_a_store_that_was_used_before_a_fork_works_in_the_child(store):
    store.upsert(QUARANTINE, rows({"a": "1"}))
    process = multiprocessing.get_context("fork").Process(target=_in_a_child, args=(store,))
    process.start()
    process.join()
    assert process.exitcode == 0 and held(store).keys() == {"a", "child"}


def test_no_more_connections_than_the_pool_allows(store, monkeypatch):
    from concurrent.futures import ThreadPoolExecutor

    made, opened = dbapi.connect, []
    monkeypatch.setattr(dbapi, "connect", lambda *a, **b: (opened.append(1), made(*a, **b))[1])
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda one: store.version(QUARANTINE), range(60)))
    assert len(opened) < connection.POOL_SIZE


def test_vectors_can_be_searched_in_sql(store, caplog):
    with caplog.at_level(logging.WARNING):
        store.upsert(EMBEDDINGS, embeddings(50))
    wanted = embeddings(50).to_pylist()
    lay = sql.layout("RAG", EMBEDDINGS)
    text = f"SELECT TOP 1 chunk_id FROM {lay.name} ORDER BY VECTOR_DOT_PRODUCT({sql.VECTOR}, TO_VECTOR(?, FLOAT)) DESC"
    best = max(wanted, key=lambda row: sum(a * b for a, b in zip(row["pooled"], wanted[7]["pooled"], strict=True)))
    found = store.pool.run(lambda session: session.select(text, (vector_text(wanted[7]["pooled"]),)))
    assert found == [(best["chunk_id"],)]
    stored = f"SELECT {sql.VECTOR} FROM {lay.name} ORDER BY chunk_id"  # the double shows a vector's bytes
    vectors = [one for (one,) in store.pool.run(lambda session: session.select(stored))]
    assert vectors == [np.asarray(row["pooled"], np.float32).tobytes() for row in wanted]
    with pytest.raises(StatementError, match="-104"):
        store.pool.run(
            lambda session: session.execute(f"UPDATE {lay.name} SET {sql.VECTOR} = TO_VECTOR(?, FLOAT)", ("1,2",))
        )


def test_a_hundred_thousand_token_vectors_cost_little_of_the_clients_time(store):
    chunks_of_240_tokens = embeddings(417, tokens=240 * 16)  # 4 bytes a token there, 64 here
    store.upsert(EMBEDDINGS, embeddings(1))
    before = time.process_time()
    store.upsert(EMBEDDINGS, chunks_of_240_tokens)
    assert time.process_time() - before < 15


def test_somebody_elses_schema_is_refused_and_left_alone(tmp_path):
    store = on_iris_double(tmp_path)
    store.pool.run(
        lambda session: connection.execute_unless_there(
            session, ["CREATE TABLE RAG.SourceDocuments (doc_id VARCHAR(255), text_content LONGVARCHAR)"]
        )
    )
    for touching in (
        store.create,
        lambda: store.upsert(QUARANTINE, rows({"a": "1"})),
        lambda: store.rows(DOCUMENTS, ["title"]),
    ):
        with pytest.raises(StoreError, match="tables of other software"):
            touching()


def test_another_corpus_and_a_newer_schema_are_refused(store, tmp_path):
    other = IrisStore("iris://u:p@nowhere/USER?schema=RAG", "other", tmp_path, dbapi)
    with pytest.raises(StoreError, match="is the store of corpus handbook"):
        other.version(QUARANTINE)
    beside = IrisStore("iris://u:p@nowhere/USER?schema=Other", "other", tmp_path, dbapi)
    beside.upsert(QUARANTINE, rows({"z": "1"}))
    assert held(store) == {} and held(beside) == {"z": "1"}
    store.pool.run(
        lambda session: (session.execute("UPDATE RAG.RagAssetsCorpus SET schema_version = 99"), session.commit())
    )
    with pytest.raises(StoreError, match="schema version 99"):
        on_iris_double(tmp_path).version(QUARANTINE)


@pytest.mark.parametrize(
    "url",
    [
        "iris://host",
        "iris://host:x/USER",
        "iris://host/USER?schema=a;b",
        "iris://host/USER?table=x",
        "http://host/USER",
    ],
)
def test_an_address_that_is_none_is_refused(url, monkeypatch):
    monkeypatch.setenv("IRIS_USERNAME", "u")
    monkeypatch.setenv("IRIS_PASSWORD", "p")
    with pytest.raises(SettingsError, match="iris://HOST:PORT/NAMESPACE"):
        read_address(url)


def test_credentials_come_from_the_url_or_the_environment_and_are_never_shown(monkeypatch, tmp_path):
    for name in ("IRIS_USERNAME", "IRIS_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SettingsError, match="IRIS_USERNAME and IRIS_PASSWORD"):
        open_store("iris://host/USER", "c", tmp_path, cache_bytes=1)
    address = read_address("iris://me:s%40cret@host:51773/USER?schema=Docs")
    assert (address.port, address.schema, address.password) == (51773, "Docs", "s@cret")
    assert "cret" not in f"{address} {address!r} {Pool(address).address}"
    monkeypatch.setenv("IRIS_USERNAME", "me")
    monkeypatch.setenv("IRIS_PASSWORD", "cret")
    assert read_address("iris://host/USER").username == "me"


def test_without_the_driver_the_error_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setattr(connection, "load_driver", connection.load_driver)
    monkeypatch.setattr("importlib.import_module", lambda name: (_ for _ in ()).throw(ImportError(name)))
    with pytest.raises(SettingsError, match=r"rag-assets\[iris\]"):
        open_store("iris://u:p@host/USER", "c", tmp_path, cache_bytes=1).version(QUARANTINE)
