"""The dense index answers like an exact search over exactly the live chunks, however it came about."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.errors import StoreError, VectorError
from resources.identity import set_digest
from resources.index.dense import DenseIndex, build_dense, self_query
from resources.index.entries import Part
from resources.index.generation import read_manifest, verify
from resources.index.shards import DenseParameters, to_merge

from .made import Chunk, chunk_id, dense, document_id, entries, fetch_vectors, vector_batch, vectors

QUERIES = vectors([chunk_id(number, 99) for number in range(20)])
APPROXIMATE = DenseParameters(flat_rows=500, shard_rows=2_000)

corpora = st.lists(
    st.dictionaries(st.integers(0, 60), st.integers(0, 2), max_size=60).map(lambda versions: list(versions.items())),
    min_size=1,
    max_size=5,
)
layouts = st.builds(
    DenseParameters,
    shard_rows=st.sampled_from([3, 16, 1_000]),
    dead_share=st.sampled_from([0.0, 0.2, 0.9]),
)


def exact(chunks: list[Chunk], k: int) -> list[list[tuple[str, str, float]]]:
    """The answers of a plain matrix product."""
    if not chunks:
        return [[] for _ in QUERIES]
    scores = QUERIES @ vectors([chunk_id(*chunk) for chunk in chunks]).T
    return [
        [(chunk_id(*chunks[at]), document_id(chunks[at][0]), float(row[at])) for at in np.argsort(-row)[:k]]
        for row in scores
    ]


def assert_answers(index: DenseIndex, chunks: list[Chunk], k: int) -> None:
    for hits, truth in zip(index.search(QUERIES, k), exact(chunks, k), strict=True):
        assert [(hit.chunk_id, hit.document_id) for hit in hits] == [one[:2] for one in truth]
        assert [hit.score for hit in hits] == pytest.approx([one[2] for one in truth], abs=1e-5)


@settings(deadline=None, max_examples=25)
@given(corpora, layouts, st.sampled_from([1, 10, 100]))
def test_any_history_ends_like_a_build_from_scratch(
    tmp_path_factory: pytest.TempPathFactory, history: list[list[Chunk]], layout: DenseParameters, k: int
) -> None:
    folder = tmp_path_factory.mktemp("indexes")
    path = None
    for chunks in history:
        path = dense(folder, chunks, path, parameters=layout)
        assert verify(path) == []
        index = DenseIndex.open(path)
        assert_answers(index, chunks, k)
        assert sorted(index.entries().to_pylist(), key=str) == sorted(entries(chunks).to_pylist(), key=str)
        ids = index.ids().to_pylist()
        assert set_digest(ids) == read_manifest(path).ids_digest == set_digest(chunk_id(*chunk) for chunk in chunks)
        assert len(ids) == read_manifest(path).count


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 400), st.floats(0, 1)), max_size=12), st.integers(0, 500))
def test_shards_grow_geometrically(shards: list[tuple[int, float]], added: int) -> None:
    parameters = DenseParameters(shard_rows=300, dead_share=0.2)
    parts = [Part(pa.table({}), np.arange(rows) >= rows * share) for rows, share in shards]
    merged = to_merge(parts, added, parameters)
    moving = added + sum(int(parts[at].live.sum()) for at in merged)
    for at, part in enumerate(parts):
        live = int(part.live.sum())
        if at not in merged:
            assert live >= len(part.live) * 0.8
            assert not moving or live > min(moving, 256) or live + moving > 300
    if not added and all(part.live.all() for part in parts):
        assert merged == []


def test_a_corpus_that_grows_row_by_row_keeps_few_shards_and_fetches_little(tmp_path: Path) -> None:
    fetched = 0

    def fetch(ids: list[str]) -> Iterator[pa.RecordBatch]:
        nonlocal fetched
        fetched += len(ids)
        return fetch_vectors(ids)

    parameters = DenseParameters(flat_rows=100_000)
    path = dense(tmp_path, range(3_000), parameters=parameters)
    for last in range(3_001, 3_021):
        path = dense(tmp_path, range(last), path, fetch=fetch, parameters=parameters)
    assert len(read_manifest(path).parts) == 2
    assert fetched == sum(range(1, 21))


def test_removed_documents_are_not_found_and_k_results_still_are(tmp_path: Path) -> None:
    chunks: list[Chunk] = [(number, 0) for number in range(200)]
    path = dense(tmp_path, chunks)
    removed = {document_id(number) for number in range(0, 120)}
    index = DenseIndex.open(path, removed)
    left = [chunk for chunk in chunks if document_id(chunk[0]) not in removed]
    assert_answers(index, left, 10)
    assert_answers(index, left, 500)
    assert len(index.ids()) == len(left)
    nothing = DenseIndex.open(path, {document_id(number) for number in range(200)})
    assert nothing.search(QUERIES, 5) == [[] for _ in QUERIES]
    assert len(nothing.entries()) == 0


def test_a_large_shard_is_approximate_complete_and_the_same_every_time(tmp_path: Path) -> None:
    chunks: list[Chunk] = [(number, 0) for number in range(3_000)]
    path = dense(tmp_path, chunks, parameters=APPROXIMATE)
    again = dense(tmp_path / "again", chunks, parameters=APPROXIMATE)
    assert read_manifest(path).files == read_manifest(again).files
    grown = dense(tmp_path, [*chunks[10:], (9_999, 0)], path, parameters=APPROXIMATE)
    index = DenseIndex.open(grown, {document_id(30)}, probes=30)
    live = [chunk for chunk in [*chunks[10:], (9_999, 0)] if document_id(chunk[0]) != document_id(30)]
    found, truth = index.search(QUERIES, 10), exact(live, 10)
    shared = [
        len({hit.chunk_id for hit in hits} & {one[0] for one in best}) for hits, best in zip(found, truth, strict=True)
    ]
    assert np.mean(shared) >= 9
    everything = index.search(QUERIES[:2], 5_000)
    assert [{hit.chunk_id for hit in hits} for hits in everything] == [{chunk_id(*chunk) for chunk in live}] * 2
    assert self_query(index, vector_batch([chunk_id(9_999), chunk_id(50), chunk_id(2_000)])) == []


def test_self_query_names_the_chunks_that_are_missing_or_have_another_vector(tmp_path: Path) -> None:
    swapped = {chunk_id(1): chunk_id(2), chunk_id(2): chunk_id(1)}

    def fetch(ids: list[str]) -> Iterator[pa.RecordBatch]:
        batch = vector_batch([swapped.get(one, one) for one in ids])
        yield batch.set_column(0, "chunk_id", pa.array(ids, pa.string()))

    index = DenseIndex.open(dense(tmp_path, range(300), fetch=fetch))
    sample = vector_batch([chunk_id(number) for number in (0, 1, 2, 3, 777)])
    assert self_query(index, sample) == [chunk_id(1), chunk_id(2), chunk_id(777)]


def test_copies_of_a_chunk_do_not_fail_each_other(tmp_path: Path) -> None:
    ids = [chunk_id(number) for number in range(40)]

    def fetch(wanted: list[str]) -> Iterator[pa.RecordBatch]:
        yield vector_batch([ids[0]] * len(wanted)).set_column(0, "chunk_id", pa.array(wanted, pa.string()))

    index = DenseIndex.open(dense(tmp_path, range(40), fetch=fetch))
    assert self_query(index, next(fetch(ids))) == []
    assert [hit.chunk_id for hit in index.search(vectors(ids[:1]), 40)[0]] == sorted(ids)


def test_a_hundred_threads_get_the_answers_of_one(tmp_path: Path) -> None:
    index = DenseIndex.open(dense(tmp_path, range(2_000), parameters=APPROXIMATE), {document_id(5)}, probes=30)
    alone = [index.search(query[None], 10) for query in QUERIES]
    with ThreadPoolExecutor(100) as pool:
        together = list(pool.map(lambda at: index.search(QUERIES[at % 20][None], 10), range(1_000)))
    assert together == [alone[at % 20] for at in range(1_000)]


def test_bad_queries_and_a_closed_index_say_so(tmp_path: Path) -> None:
    index = DenseIndex.open(dense(tmp_path, range(20)))
    assert index.search(QUERIES[:0], 3) == []
    assert index.search(QUERIES[:1], 0) == [[]]
    for bad in (QUERIES[0], QUERIES[:, :5], np.full((1, 16), np.nan, dtype=np.float32)):
        with pytest.raises(VectorError, match=r"finite and of shape \(q, 16\)"):
            index.search(bad, 3)
    index.close()
    with pytest.raises(StoreError, match="closed"):
        index.search(QUERIES, 3)


def handing_in(batch: pa.RecordBatch, _: list[str]) -> Iterator[pa.RecordBatch]:
    yield batch


def test_what_the_store_must_not_hand_in(tmp_path: Path) -> None:
    ids = [chunk_id(number) for number in range(4)]
    good = vector_batch(ids)
    endless = vectors(ids)
    endless[2, 5] = np.inf
    pooled = pa.FixedSizeListArray.from_arrays(pa.array(endless.ravel()), 16)
    cases: list[tuple[pa.RecordBatch, type[Exception], str]] = [
        (good.slice(0, 3), StoreError, f"lacks the vectors of 1 chunks, the first is {ids[3]}"),
        (vector_batch([*ids[:3], chunk_id(77)]), StoreError, "not asked for"),
        (good.set_column(1, "pooled", pooled), VectorError, f"chunk {ids[2]} is not finite"),
        (
            good.set_column(1, "pooled", pa.array([[1.0, 0.0]] * 4, pa.list_(pa.float32(), 2))),
            VectorError,
            "dimension 2, the index 16",
        ),
    ]
    for batch, error, message in cases:
        with pytest.raises(error, match=message):
            dense(tmp_path, range(4), fetch=partial(handing_in, batch))
        assert [path.name for path in tmp_path.iterdir()] == [".lock-dense"]


def test_progress_counts_only_the_rows_that_are_written(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    path = dense(tmp_path, range(600))
    build_dense(
        tmp_path,
        entries(range(605)),
        fetch_vectors,
        fingerprint="model",
        dimension=16,
        previous=path,
        parameters=DenseParameters(flat_rows=1_000, shard_rows=40),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1][0] == seen[-1][1] < 100
