"""Which column is what, in the tables that common software makes: nothing guessed, nothing taken twice."""

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_assets_tests.adoption.test_postgres import found_in, literal
from resources.adoption.adopting import adopt
from resources.adoption.registration import Registration, open_foreign
from resources.adoption.roles import NAMES, map_roles
from resources.adoption.table import NEEDED, ROLES, Column
from resources.errors import AdoptionError

SHAPES = {
    "langchain_pg_embedding": (
        "id varchar PRIMARY KEY, collection_id uuid, embedding vector(3), document varchar, cmetadata jsonb",
        {"cmetadata": '{"source": "a.txt", "page": 1}'},
        {"key": "id", "vector": "embedding", "text": "document", "document": "cmetadata.source"},
    ),
    "data_llama": (
        "id bigint PRIMARY KEY, text varchar NOT NULL, metadata_ json, node_id varchar, embedding vector(3)",
        {"text": "", "metadata_": '{"_node_content": "{}", "doc_id": "a", "document_id": "a", "ref_doc_id": "a"}'},
        {"key": "id", "vector": "embedding", "text": "text", "document": "metadata_.ref_doc_id"},
    ),
    "haystack_documents": (
        "id varchar(128) PRIMARY KEY, embedding vector(3), content text, blob_data bytea, blob_meta jsonb, "
        "blob_mime_type varchar(255), meta jsonb",
        {"meta": '{"source_id": "a", "split_id": 0}'},
        {
            "key": "id",
            "vector": "embedding",
            "text": "content",
            "document": "meta.source_id",
            "ordinal": "meta.split_id",
        },
    ),
    "documents": (
        "id bigserial PRIMARY KEY, content text, metadata jsonb, embedding vector(3)",
        {"metadata": '{"source": "a"}'},
        {"key": "id", "vector": "embedding", "text": "content", "document": "metadata.source"},
    ),
    "blog_embedding_store": (
        "embedding_uuid uuid PRIMARY KEY, id int, chunk_seq int, chunk text, embedding vector(3)",
        {},
        {"key": "embedding_uuid", "vector": "embedding", "text": "chunk", "ordinal": "chunk_seq"},
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_common_tables_are_understood(postgres, name):
    columns, values, expected = SHAPES[name]
    if columns.startswith("embedding_uuid"):
        values = {"embedding_uuid": "5b1c2c2e-0000-4000-8000-000000000001"}
    else:
        values = {"id": "7", **values}
    with psycopg.connect(postgres) as connection:
        connection.execute(f"DROP TABLE IF EXISTS {name}")
        connection.execute(f"CREATE TABLE {name} ({columns})")
        marks = ", ".join(["%s"] * len(values))
        connection.execute(f"INSERT INTO {name} ({', '.join(values)}) VALUES ({marks})", list(values.values()))
    table = open_foreign(postgres, name)
    try:
        roles = map_roles(name, table.columns(), {})
        assert roles == expected
        (row,) = next(table.scan(roles, 10)).to_pylist()
        assert row["key"] == next(iter(values.values())) and row["vector"] is None
        assert row["document"] == ("a.txt" if name.startswith("lang") else "a" if "document" in roles else None)
        assert table.take(roles, [row["key"], "8" * 8 if name != "blog_embedding_store" else row["key"]]).num_rows == 1
    finally:
        table.close()
        with psycopg.connect(postgres) as connection:
            connection.execute(f"DROP TABLE {name}")


def test_one_collection_of_langchain_is_looked_at_alone(postgres, passages, settings):
    with psycopg.connect(postgres) as connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS langchain_pg_embedding, langchain_pg_collection")
        cursor.execute("CREATE TABLE langchain_pg_collection (uuid uuid PRIMARY KEY, name varchar)")
        cursor.execute(f"CREATE TABLE langchain_pg_embedding ({SHAPES['langchain_pg_embedding'][0]})")
        for number, name in enumerate(("good", "bad")):
            collection = f"00000000-0000-4000-8000-00000000000{number}"
            cursor.execute("INSERT INTO langchain_pg_collection VALUES (%s, %s)", (collection, name))
            cursor.execute("ALTER TABLE langchain_pg_embedding ALTER embedding TYPE vector")
            for one in passages[:60]:
                vector = literal(one.vector if name == "good" else one.vector * 0)
                row = (f"{name}-{one.key}", collection, vector, one.text, '{"source": "a"}')
                cursor.execute("INSERT INTO langchain_pg_embedding VALUES (%s, %s, %s, %s, %s)", row)
    wanted = Registration(url=postgres, table="langchain_pg_embedding", collection="good")
    registration, found = adopt(settings, "good", wanted, {}, seed=1)
    assert found.rows == 60 and found_in(found) == {} and registration.model == "all-MiniLM-L6-v2"
    with pytest.raises(AdoptionError, match="there is no collection 'ugly'; there are: bad, good"):
        adopt(settings, "ugly", wanted.model_copy(update={"collection": "ugly"}), {})


def columns_of(**kinds):
    return [Column(name, kind, kind) for name, kind in kinds.items()]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (
            columns_of(doc_id="text", text_content="text", abstract="text", embedding="vector", title="text"),
            {"key": "doc_id", "text": "text_content", "vector": "embedding"},
        ),
        (
            columns_of(id="text", text_content="text", embedding="vector", created_at="time"),
            {"key": "id", "text": "text_content", "vector": "embedding"},
        ),
        (
            columns_of(chunk_id="text", doc_id="text", chunk_text="text", chunk_embedding="vector", chunk_index="number"),  # noqa: E501
            {"key": "chunk_id", "text": "chunk_text", "vector": "chunk_embedding", "document": "doc_id",
             "ordinal": "chunk_index"},
        ),
        (
            columns_of(id="text", source_document_id="text", chunk_text="text", embedding="vector"),
            {"key": "id", "text": "chunk_text", "vector": "embedding", "document": "source_document_id"},
        ),
    ],
)  # fmt: skip
def test_the_shapes_of_iris_vector_rag_are_understood(columns, expected):
    assert map_roles("RAG.T", columns, {}) == expected


names = st.sampled_from(sorted({name for known in NAMES.values() for name in known if "." not in name} | {"a", "b"}))
kinds = st.sampled_from(["vector", "text", "json", "number", "time", "other"])


@given(
    st.dictionaries(names, st.tuples(kinds, st.booleans()), max_size=8),
    st.dictionaries(st.sampled_from(list(ROLES)), names),
)
def test_no_column_plays_two_roles_and_what_is_needed_is_there_or_refused(table, said):
    columns = [Column(name, kind, kind, is_key) for name, (kind, is_key) in table.items()]
    try:
        roles = map_roles("t", columns, said)
    except AdoptionError as error:
        assert "--map" in str(error)
        return
    assert set(NEEDED) <= set(roles) <= set(ROLES)
    assert set(roles.values()) <= set(table) and said.items() <= roles.items()
    found = [column for role, column in roles.items() if role not in said]
    assert len(set(found)) == len(found) and not set(found) & set(said.values())
    assert all(table[roles["vector"]][0] == "vector" for _ in [0] if "vector" not in said)
