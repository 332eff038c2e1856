"""The `RAG` schema that iris-vector-rag leaves behind, in two of its shapes, with planted faults; over a stand-in."""

from dataclasses import replace
from pathlib import Path

import pytest

from rag_assets_tests.adoption.iris_double import Connection
from rag_assets_tests.adoption.made import with_bad_rows, with_bad_vectors
from rag_assets_tests.adoption.test_postgres import documents_of, found_in, with_gaps
from resources.adoption.iris import IrisTable, open_iris
from resources.adoption.look import look
from resources.adoption.roles import map_roles
from resources.errors import AdoptionError, RagAssetsError

CURRENT = {
    "chunk_id": "varchar",
    "doc_id": "varchar",
    "chunk_index": "integer",
    "chunk_text": "longvarchar",
    "chunk_embedding": "varchar",
    "metadata": "varchar",
}
OLDER = {
    "id": "varchar",
    "source_document_id": "varchar",
    "chunk_text": "longvarchar",
    "embedding": "varchar",
}


def text_of(vector):
    return None if vector is None else ",".join(f"{one:.9g}" for one in vector.tolist())


def read(connection, schema="RAG", table="DocumentChunks"):
    """Audit a table, as `corpora adopt` does it."""
    opened = IrisTable(connection, schema, table)
    roles = map_roles(opened.name, opened.columns(), {})
    found = look(
        opened,
        roles,
        model="all-MiniLM-L6-v2",
        dimension=384,
        audits=Path("unused"),
        depth="reembed",
        documents=opened.documents(roles),
        seed=1,
    )
    opened.close()
    return roles, found


def test_each_planted_fault_is_named_in_the_current_shape(passages):
    planted = with_bad_rows(with_bad_vectors(passages))
    at = planted.take(2)
    planted.change("wrong_dimension", at, vector=[planted.rows[one].vector[:128] for one in at])
    planted.expected["incomplete_documents"] = with_gaps(planted.rows)
    planted.expected["missing_chunks"] = {"never cut"}
    rows = [(one.key, one.document, one.ordinal, one.text, text_of(one.vector), "{}") for one in planted.rows]
    documents = [(one, "text") for one in [*documents_of(planted.rows), "never cut"]]
    tables = {
        "DocumentChunks": (CURRENT, rows),
        "SourceDocuments": ({"doc_id": "varchar", "text_content": "longvarchar"}, documents),
    }
    connection = Connection(tables)
    roles, found = read(connection)
    assert roles == {
        "key": "chunk_id",
        "document": "doc_id",
        "text": "chunk_text",
        "vector": "chunk_embedding",
        "ordinal": "chunk_index",
    }
    assert found_in(found) == planted.expected and found.rows == len(rows)
    assert all(one.startswith("SELECT ") for one in connection.log) and connection.closed


def test_keys_that_differ_in_case_stay_apart_in_an_older_shape(passages):
    """IRIS compares keys without case, so it answers with more rows than were asked for."""
    planted = with_bad_vectors(passages[:120])
    planted.rows = [replace(one, key=f"k{one.key}") for one in planted.rows]
    expected = {drift: {f"k{one}" for one in ids} for drift, ids in planted.expected.items()}
    rows = [(one.key, one.document, one.text, text_of(one.vector)) for one in planted.rows]
    rows += [(key.upper(), "other", f"{text} Once more.", None) for key, _, text, _ in rows[:40]]
    table = IrisTable(Connection({"DocumentChunks": (OLDER, rows)}), "RAG", "DocumentChunks")
    taken = table.take(map_roles(table.name, table.columns(), {}), ["k1000", "K1001"])
    assert sorted(taken.column("key").to_pylist()) == ["K1001", "k1000"]
    roles, found = read(Connection({"DocumentChunks": (OLDER, rows)}))
    assert roles["key"] == "id" and roles["document"] == "source_document_id"
    assert found_in(found) == {**expected, "missing_embeddings": {key for key, *_ in rows[-40:]}}


def test_errors_say_what_is_there(monkeypatch):
    tokens = {"doc_id": "varchar", "tok_pos": "integer", "tok_text": "varchar", "tok_vec": "varchar"}
    tables = {"DocumentTokenEmbeddings": (tokens, [("a", 0, "word", "0.1,0.2")])}
    with pytest.raises(AdoptionError, match=r"no table RAG\.DocumentChunks; schema RAG has: DocumentTokenEmbeddings"):
        read(Connection(tables))
    with pytest.raises(AdoptionError, match=r"cannot tell .* tok_text \(varchar\).* --map text=COLUMN"):
        read(Connection(tables), table="DocumentTokenEmbeddings")
    with pytest.raises(AdoptionError, match=r"a table's name is SCHEMA\.TABLE"):
        IrisTable(Connection(tables), "RAG", "x; DROP TABLE y")
    for name in ("IRIS_USERNAME", "IRIS_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(RagAssetsError, match=r"IRIS needs its driver|IRIS is given as"):
        open_iris("iris://localhost/USER", None)
