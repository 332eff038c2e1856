"""A pgvector table with planted faults: each is named with exactly its rows, and nothing is written."""

from dataclasses import replace

import psycopg
import pytest

from rag_assets_tests.adoption.made import Planted, with_bad_rows, with_bad_vectors
from rag_assets_tests.models import save_second_model
from resources.adoption.adopting import adopt, look_again
from resources.adoption.registration import Registration, open_foreign, read_registration
from resources.embedding.checkpoint import DEFAULT_MODEL
from resources.embedding.encoder import load_encoder
from resources.errors import AdoptionError

BAD_TABLE = """
    CREATE TABLE articles (name text PRIMARY KEY);
    CREATE TABLE passages (id text, doc_id text, chunk_index int, content text, embedding vector)
"""


def literal(vector):
    return None if vector is None else str(vector.tolist())


def store(url, rows):
    with psycopg.connect(url) as connection:
        connection.execute("DROP TABLE IF EXISTS passages, articles")
        connection.execute(BAD_TABLE)
        with connection.cursor() as cursor:
            values = [(one.key, one.document, one.ordinal, one.text, literal(one.vector)) for one in rows]
            cursor.executemany("INSERT INTO passages VALUES (%s, %s, %s, %s, %s)", values)
            cursor.executemany("INSERT INTO articles VALUES (%s)", [(one,) for one in documents_of(rows)])


def with_gaps(rows):
    """Return the documents that lack a row: the one that was lost, and those whose rows bear another's name."""
    numbers = {}
    for one in rows:
        numbers.setdefault(one.document, set()).add(one.ordinal)
    return {name for name, found in numbers.items() if name and found != set(range(max(found) + 1))}


def documents_of(rows):
    return sorted({one.document for one in rows if one.document not in (None, "gone")})


@pytest.fixture
def planted(postgres, passages):
    """All faults that pgvector can hold. It refuses numbers that are not finite."""
    planted = with_bad_rows(with_bad_vectors(passages))
    at = planted.take(3)
    planted.change("wrong_dimension", at, vector=[planted.rows[one].vector[:192] for one in at])
    at = planted.take(2)
    planted.change("duplicate_ids", at, key=[planted.rows[at[0]].key] * 2)
    lost = planted.rows[planted.take(1)[0]]
    planted.rows.remove(lost)
    planted.expected["incomplete_documents"] = with_gaps(planted.rows)
    store(postgres, planted.rows)
    with psycopg.connect(postgres) as connection:
        connection.execute("INSERT INTO articles VALUES ('never cut'), ('nor this one')")
    planted.expected["missing_chunks"] = {"never cut", "nor this one"}
    return planted


def wanted(url, **more):
    return Registration(url=url, table="passages", documents="articles.name", **more)


def found_in(look):
    return {one.type: set(one.ids) for one in look.issues}


def contents(url):
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT xmin::text, passages::text FROM passages ORDER BY ctid").fetchall()


def test_each_planted_fault_is_named_and_nothing_is_written(postgres, planted, settings):
    before = contents(postgres)
    registration, found = adopt(settings, "bought", wanted(postgres), {}, seed=1)
    assert registration.model == "all-MiniLM-L6-v2" and registration.dimension == 384
    assert found_in(found) == planted.expected and not found.holds
    assert found.rows == len(planted.rows)
    assert {one.type: one.severity.name for one in found.issues}["mock_vectors"] == "CRITICAL"

    kept = read_registration(settings, "bought")
    files = {one: one.read_bytes() for one in settings.home.rglob("*") if one.is_file()}
    again = look_again(settings, kept, "scan")
    assert again.embedded == 0 and found_in(again) == planted.expected, "what was proven is remembered by content"
    assert contents(postgres) == before
    assert {one: one.read_bytes() for one in settings.home.rglob("*") if one.is_file()} == files


def test_a_sound_table_has_no_issue_and_a_repaired_row_is_forgotten(postgres, passages, settings):
    planted = with_bad_vectors(passages)
    store(postgres, planted.rows)
    registration, found = adopt(settings, "bought", wanted(postgres), {}, seed=1)
    assert found_in(found) == planted.expected
    with psycopg.connect(postgres) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE passages SET content = %s, embedding = %s WHERE id = %s",
            [(one.text, literal(one.vector), one.key) for one in passages],
        )
    assert look_again(settings, registration, "scan").issues == ()
    sound = look_again(settings, registration, "reembed")
    assert sound.issues == () and sound.holds and sound.embedded >= 128


def test_without_the_model_what_only_it_can_tell_is_left_open(postgres, passages, settings):
    """Vectors cut to 300 numbers are of no model that is known, and their faults as plain as ever."""
    planted = with_bad_vectors(passages)
    store(postgres, [replace(one, vector=one.vector[:300]) for one in planted.rows])
    registration, found = adopt(settings, "bought", wanted(postgres), {}, seed=1)
    assert registration.model is None and "not judged" in " ".join(found.notes)
    seen = found_in(found)
    doubtful, repeated = seen.pop("doubtful_vectors"), seen.pop("repeated_batch")
    plain = ("zero_vectors", "constant_vectors", "truncated_vectors")
    assert seen == {name: planted.expected[name] for name in plain}
    assert repeated > planted.expected["repeated_batch"] and len(repeated) == 4, "whose vector it is, is not known"
    hidden = set().union(*(planted.expected[one] for one in ("mock_vectors", "shuffled_vectors", "stale_embeddings")))
    assert len(doubtful & hidden) >= 0.6 * len(hidden) and len(doubtful - hidden) <= 0.01 * len(planted.rows)


def test_rows_of_another_model_are_told_from_mocks(postgres, passages, settings, tmp_path):
    planted = Planted(list(passages))
    at = planted.take(60)
    second = load_encoder(save_second_model(tmp_path / "second"))
    vectors = second.encode_queries([planted.rows[one].text for one in at]).pooled
    planted.change("foreign_model_vectors", at, vector=list(vectors))
    planted.defect("N(0,1)", "mock_vectors")
    planted.rows.append(replace(passages[0], key="long", text="A long tale. " * 200, vector=None))
    tale = load_encoder(DEFAULT_MODEL).encode_queries([planted.rows[-1].text]).pooled[0]
    planted.change("overlong_texts", [len(planted.rows) - 1], vector=[tale])
    store(postgres, planted.rows)
    _, found = adopt(settings, "bought", wanted(postgres), {}, seed=1)
    seen = found_in(found)
    assert set().union(*seen.values()) == set().union(*planted.expected.values())
    assert seen["overlong_texts"] == {"long"}
    assert len(seen["foreign_model_vectors"] & planted.expected["foreign_model_vectors"]) >= 54
    assert not seen["foreign_model_vectors"] & planted.expected["mock_vectors"]


def test_arrays_of_numbers_are_vectors_too_and_need_not_be_finite(postgres, passages, settings):
    with psycopg.connect(postgres) as connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS plain")
        cursor.execute("CREATE TABLE plain (id bigint PRIMARY KEY, body text, emb double precision[])")
        for one in passages[:60]:
            cursor.execute("INSERT INTO plain VALUES (%s, %s, %s)", (one.key, one.text, one.vector.tolist()))
        cursor.execute("UPDATE plain SET emb[7] = 'NaN' WHERE id = 1003")
        cursor.execute("UPDATE plain SET emb[7] = 'Infinity' WHERE id = 1005")
        cursor.execute("UPDATE plain SET emb[7] = NULL WHERE id = 1007")
    _, found = adopt(settings, "plain", Registration(url=postgres, table="plain"), {}, seed=1)
    assert found_in(found) == {"non_finite_vectors": {"1003", "1005", "1007"}}


def test_dates_and_hashes_tell_what_is_stale(postgres, passages, settings):
    with psycopg.connect(postgres) as connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS dated")
        cursor.execute(
            "CREATE TABLE dated (id bigint PRIMARY KEY, content text, embedding halfvec(384), content_hash text, "
            "updated_at timestamptz DEFAULT now(), embedded_at timestamptz DEFAULT now())"
        )
        for one in passages[:80]:
            cursor.execute(
                "INSERT INTO dated VALUES (%s, %s, %s, encode(sha256(%s::text::bytea), 'hex'))",
                (one.key, one.text, literal(one.vector), one.text),
            )
        cursor.execute("UPDATE dated SET updated_at = now() + interval '1 hour' WHERE id = 1002")
        cursor.execute("UPDATE dated SET content = content || ' More.' WHERE id = 1004")
    registration, _ = adopt(settings, "dated", Registration(url=postgres, table="dated"), {}, seed=1)
    assert registration.model == "all-MiniLM-L6-v2"
    forgetful = registration.model_copy(update={"proven": {}})
    assert found_in(look_again(settings, forgetful, "scan")) == {"stale_embeddings": {"1002", "1004"}}


def test_a_table_without_a_row_is_no_sound_one(postgres, settings):
    with psycopg.connect(postgres) as connection:
        connection.execute("DROP TABLE IF EXISTS bare")
        connection.execute("CREATE TABLE bare (id int PRIMARY KEY, content text, embedding vector(384))")
    _, found = adopt(settings, "bare", Registration(url=postgres, table="bare"), {})
    assert [one.type for one in found.issues] == ["empty_table"] and not found.holds and found.documents == 0


def test_the_server_itself_refuses_to_write_in_our_sessions(postgres, passages):
    store(postgres, passages[:3])
    table = open_foreign(postgres, "passages")
    try:
        with pytest.raises(AdoptionError, match="read-only transaction"):
            table._all("DELETE FROM passages RETURNING id")
    finally:
        table.close()


def test_errors_say_what_to_type(postgres, passages, settings):
    store(postgres, passages[:3])
    with pytest.raises(AdoptionError, match=r"no such table; tables with a vector column: .*public\.passages"):
        adopt(settings, "x", Registration(url=postgres, table="nope"), {})
    with pytest.raises(AdoptionError, match=r"no such column; it has id \(text\), doc_id"):
        adopt(settings, "x", wanted(postgres), {"text": "prose"})
    with pytest.raises(AdoptionError, match="cannot be reached"):
        open_foreign("postgresql://postgres@/postgres?host=/nowhere")
    with pytest.raises(AdoptionError, match="384 numbers, and the table's have 3"):
        with psycopg.connect(postgres) as connection:
            connection.execute("DROP TABLE IF EXISTS tiny")
            connection.execute("CREATE TABLE tiny (id int PRIMARY KEY, content text, embedding vector(3))")
        adopt(settings, "x", Registration(url=postgres, table="tiny", model="all-MiniLM-L6-v2"), {})
    assert read_registration(settings, "x") is None
