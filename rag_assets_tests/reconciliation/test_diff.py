"""The differences that planning and judging share, against a naive reading of the same rules."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from resources.alignment import Keyed
from resources.reconciliation.diff import chunks_diff, documents_diff, embeddings_diff, index_diff


def keyed(columns):
    return Keyed.by("chunk_id", pa.table(columns))


IDS = st.sampled_from([f"d{number}" for number in range(6)])
SMALL = st.sampled_from(["x", "y"])


def documents(rows):
    schema = pa.schema(
        [(name, pa.string()) for name in ("document_id", "source", "version", "media_type", "status", "fingerprint")]
    )
    return pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema=schema)


def listing(versions):
    return pa.table(
        {
            "document_id": pa.array(list(versions), pa.string()),
            "version": pa.array(list(versions.values()), pa.string()),
        }
    )


@given(
    listed=st.dictionaries(IDS, SMALL),
    stored=st.dictionaries(IDS, st.tuples(SMALL, st.sampled_from(["ok", "unread"]), SMALL)),
    target=st.none() | st.integers(1, 8),
    protected=st.booleans(),
)
def test_documents(listed, stored, target, protected):
    rows = [(one, "s", version, "text/plain", status, parser) for one, (version, status, parser) in stored.items()]
    diff = documents_diff(
        listing(listed),
        documents(rows),
        fingerprints={("s", "text/plain"): "x"},
        target=target,
        protected={"s"} if protected else (),
    )
    wanted = sorted(listed)[:target]
    assert diff.missing == [one for one in wanted if one not in stored]
    assert diff.gone == ([] if protected else sorted(stored.keys() - listed.keys()))
    assert diff.changed == sorted(one for one in listed.keys() & stored.keys() if listed[one] != stored[one][0])
    same = {one for one in listed.keys() & stored.keys() if listed[one] == stored[one][0]}
    assert diff.retry == sorted(one for one in same if stored[one][1] == "unread")
    assert diff.reparse == sorted(one for one in same if stored[one][1] == "ok" and stored[one][2] != "x")
    assert diff.short == max(0, (target or 0) - len(listed))
    kept = set(stored) - set(diff.gone)
    assert not {*diff.fetch} - set(listed) and len({*kept, *diff.missing}) >= min(target or 0, len(listed))


CHUNK = ("chunk_id", "document_id", "ordinal", "of", "document_hash", "fingerprint")


def chunk_table(rows):
    kinds = [pa.string(), pa.string(), pa.int32(), pa.int32(), pa.string(), pa.string()]
    schema = pa.schema(list(zip(CHUNK, kinds, strict=True)))
    return pa.Table.from_pylist([dict(zip(CHUNK, row, strict=True)) for row in rows], schema=schema)


@given(
    wanted=st.dictionaries(IDS, SMALL),
    cut=st.dictionaries(IDS, st.tuples(st.integers(1, 3), SMALL, SMALL)),
    lost=st.sets(st.tuples(IDS, st.integers(0, 2))),
)
def test_chunks(wanted, cut, lost):
    rows = [
        (f"{one}-{ordinal}", one, ordinal, of, text, chunker)
        for one, (of, text, chunker) in cut.items()
        for ordinal in range(of)
        if (one, ordinal) not in lost
    ]
    hashes = pa.table(
        {"document_id": pa.array(list(wanted), pa.string()), "text_hash": pa.array(list(wanted.values()), pa.string())}
    )
    diff = chunks_diff(hashes, chunk_table(rows), chunker="x")
    held = {one: [row for row in rows if row[1] == one] for one in wanted}
    stale_text = {one for one in wanted if held[one] and held[one][0][4] != wanted[one]}
    stale_chunker = {one for one in wanted if held[one] and held[one][0][5] != "x"} - stale_text
    incomplete = {one for one in wanted if len(held[one]) != (cut[one][0] if one in cut else 1)}
    assert diff.stale_text == sorted(stale_text)
    assert diff.stale_chunker == sorted(stale_chunker)
    assert diff.missing == sorted(incomplete - stale_text - stale_chunker)
    assert diff.orphans == sorted(row[0] for row in rows if row[1] not in wanted)


def test_a_doubled_chunk_row_is_drift_too():
    rows = [("a", "d1", 0, 1, "x", "x"), ("b", "d1", 0, 1, "x", "x")]
    hashes = pa.table({"document_id": ["d1"], "text_hash": ["x"]})
    assert chunks_diff(hashes, chunk_table(rows), chunker="x").missing == ["d1"]


@given(
    st.dictionaries(IDS, st.tuples(SMALL, st.integers(1, 2))),
    st.dictionaries(IDS, st.tuples(SMALL, st.integers(1, 2))),
    st.sets(IDS),
)
def test_embeddings(chunks, stored, bad):
    def table(rows, count):
        return keyed(
            {
                "chunk_id": pa.array(list(rows), pa.string()),
                "text_hash": pa.array([text for text, _ in rows.values()], pa.string()),
                count: pa.array([tokens for _, tokens in rows.values()], pa.int32()),
            }
        )

    diff = embeddings_diff(table(chunks, "tokens"), table(stored, "n_tokens"), quarantined=bad)
    both = chunks.keys() & stored.keys()
    assert diff.missing == sorted(chunks.keys() - stored.keys())
    assert diff.orphans == sorted(stored.keys() - chunks.keys())
    assert diff.stale_text == sorted(one for one in both if chunks[one][0] != stored[one][0])
    assert diff.incomplete == sorted(
        one for one in both if chunks[one][0] == stored[one][0] and chunks[one][1] != stored[one][1]
    )
    assert diff.quarantined == sorted(both & bad)


@given(st.dictionaries(IDS, st.none() | SMALL), st.dictionaries(IDS, SMALL))
def test_index(wanted, indexed):
    def table(rows):
        return keyed(
            {"chunk_id": pa.array(list(rows), pa.string()), "checksum": pa.array(list(rows.values()), pa.string())}
        )

    diff = index_diff(table(wanted), table(indexed))
    assert diff.missing == sorted(wanted.keys() - indexed.keys())
    assert diff.extra == sorted(indexed.keys() - wanted.keys())
    assert diff.changed == sorted(
        one for one in wanted.keys() & indexed.keys() if wanted[one] not in (None, indexed[one])
    )
