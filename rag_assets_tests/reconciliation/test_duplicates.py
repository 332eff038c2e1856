"""Equal and nearly equal documents."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from resources.reconciliation.duplicates import distinct, near_pairs, representatives, simhash

TEXT = " ".join(f"word{number * 7919 % 1000} and" for number in range(400))
ROWS = st.dictionaries(
    st.sampled_from([f"d{number}" for number in range(8)]),
    st.tuples(
        st.sampled_from(["a", "b", "judged"]),
        st.sampled_from(["x", "y"]),
        st.sampled_from([None, [], ["p"], ["p", "q"]]),
    ),
)


def table(rows):
    schema = {"source": pa.string(), "text_hash": pa.string(), "principals": pa.list_(pa.string())}
    columns = {"document_id": pa.array(list(rows), pa.string())}
    for at, (name, kind) in enumerate(schema.items()):
        columns[name] = pa.array([row[at] for row in rows.values()], kind)
    return pa.table(columns)


@given(ROWS)
def test_one_document_stands_for_each_text_and_its_readers(rows):
    found = distinct(table(rows), apart=["judged"])
    kept = set(found["document_id"].to_pylist())
    first = {}
    for one in sorted(rows):
        source, text, readers = rows[one]
        if source != "judged":
            first.setdefault((text, str(readers)), one)
    assert kept == {*first.values(), *(one for one, row in rows.items() if row[0] == "judged")}
    stands_for = representatives(table(rows), found)
    assert stands_for.keys() == rows.keys() and set(stands_for.values()) <= kept
    for one, other in stands_for.items():
        assert rows[one][1:] == rows[other][1:] and (one == other or one not in kept)


def test_near_texts_have_near_hashes_and_others_do_not():
    edited = TEXT.replace("word0 and", "word0, and", 1)
    other = " ".join(f"term{number * 104729 % 1000} or" for number in range(400))
    texts = {"a": TEXT, "b": edited, "c": other, "d": TEXT}
    hashes = {name: simhash(text) for name, text in texts.items()}
    assert (hashes["a"] ^ hashes["b"]).bit_count() <= 3 and (hashes["a"] ^ hashes["c"]).bit_count() > 10
    rows = pa.table(
        {
            "document_id": pa.array(list(texts), pa.string()),
            "text_hash": pa.array(["1", "2", "3", "1"], pa.string()),
            "simhash": pa.array(list(hashes.values()), pa.int64()),
        }
    )
    assert near_pairs(rows) == [("a", "b"), ("b", "d")], "equal ones are not near-equal ones"
    assert simhash("") == simhash("") and simhash("one word") != simhash("two words")
