"""BM25 answers any text a person types, and an index that grew answers like one built at once."""

import math
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.errors import SettingsError, StoreError
from resources.identity import set_digest
from resources.index.bm25 import Bm25Index, Bm25Parameters, self_query
from resources.index.entries import Scored
from resources.index.generation import read_manifest, verify

from .made import STEMS, Chunk, bm25, bm25_answers, chunk_id, document_id, entries, fetch_texts, text, text_batch

QUERIES = ("rivera engineb", "wing1 about cloudc", "papera paperb paperc", "stone0", "about", "nowhere")
EVERYTHING = "about " + " ".join(f"{stem}{letter}" for stem in STEMS for letter in "0123456789abcdef")

corpora = st.lists(
    st.dictionaries(st.integers(0, 60), st.integers(0, 2), max_size=60).map(lambda versions: list(versions.items())),
    min_size=1,
    max_size=5,
)


def plain(table: pa.Table) -> list[dict[str, str]]:
    return sorted(table.select(["chunk_id", "document_id"]).to_pylist(), key=str)


def scores(hits: list[Scored]) -> dict[str, float]:
    return {hit.chunk_id: hit.score for hit in hits}


@settings(deadline=None, max_examples=10)
@given(corpora)
def test_any_history_finds_what_a_build_from_scratch_finds(
    tmp_path_factory: pytest.TempPathFactory, history: list[list[Chunk]]
) -> None:
    folder = tmp_path_factory.mktemp("indexes")
    path = None
    for chunks in history:
        path = bm25(folder, chunks, path, parameters=Bm25Parameters(dead_share=0.9))
        assert verify(path) == []
        grown = Bm25Index.open(path)
        scratch = Bm25Index.open(bm25(folder / "scratch", chunks))
        for query in QUERIES:
            assert scores(grown.search(query, 100)).keys() == scores(scratch.search(query, 100)).keys()
        assert plain(grown.entries()) == plain(entries(chunks))
        assert set_digest(grown.entries()["chunk_id"].to_pylist()) == read_manifest(path).ids_digest


@settings(deadline=None, max_examples=10)
@given(corpora)
def test_with_no_dead_rows_allowed_every_score_equals_a_build_from_scratch(
    tmp_path_factory: pytest.TempPathFactory, history: list[list[Chunk]]
) -> None:
    folder = tmp_path_factory.mktemp("indexes")
    path = None
    for chunks in history:
        path = bm25(folder, chunks, path, parameters=Bm25Parameters(dead_share=0.0))
        scratch = Bm25Index.open(bm25(folder / "scratch", chunks))
        for query in QUERIES:
            assert Bm25Index.open(path).search(query, 100) == scratch.search(query, 100)


def test_additions_alone_change_no_score_at_all(tmp_path: Path) -> None:
    path = bm25(tmp_path, range(500))
    for last in range(520, 800, 20):
        path = bm25(tmp_path, range(last), path)
    scratch = Bm25Index.open(bm25(tmp_path / "scratch", range(780)))
    grown = Bm25Index.open(path)
    assert len(read_manifest(path).parts) <= 4
    for query in QUERIES:
        assert grown.search(query, 1_000) == scratch.search(query, 1_000)


def test_dead_rows_shift_scores_by_little_and_never_exceed_their_share(tmp_path: Path) -> None:
    """Up to 5 % of the rows may be dead, and while they are, they still count in the statistics."""
    first = bm25(tmp_path, range(2_000), parameters=Bm25Parameters())
    left = [number for number in range(2_000) if number % 25]
    grown_path = bm25(tmp_path, left, first, parameters=Bm25Parameters())
    assert sum(part.rows for part in read_manifest(grown_path).parts) == 2_000
    grown = Bm25Index.open(grown_path)
    scratch = Bm25Index.open(bm25(tmp_path / "scratch", left, parameters=Bm25Parameters()))
    overlap = []
    for letters in ("ab", "3f", "9c", "e0", "7d", "52"):
        query = " ".join(f"{stem}{letter}" for stem in STEMS[:3] for letter in letters)
        ours, theirs = scores(grown.search(query, 3_000)), scores(scratch.search(query, 3_000))
        assert ours.keys() == theirs.keys()
        assert all(math.isclose(ours[one], theirs[one], rel_tol=0.03) for one in ours)
        best = [set(list(found)[:10]) for found in (ours, theirs)]
        overlap.append(len(best[0] & best[1]))
    assert np.mean(overlap) >= 9.5
    fewer = bm25(tmp_path, left[200:], grown_path, parameters=Bm25Parameters())
    assert sum(part.rows for part in read_manifest(fewer).parts) == len(left) - 200


def test_the_score_is_bm25_of_heading_plus_bm25_of_text(tmp_path: Path) -> None:
    """Against the formula, with k1 = 1.2 and b = 0.75, and tantivy's rounding of lengths above 40 terms out of play."""
    ids = [chunk_id(number) for number in range(300)]
    index = Bm25Index.open(bm25(tmp_path, range(300)))
    query = text(ids[7]).split()[:3]
    expected: defaultdict[str, float] = defaultdict(float)
    for field in ("heading", "text"):
        stored = text_batch(ids).column(field).to_pylist()
        # "about" is a stop word; the made-up words have no English ending to stem, but for a final "e" or "s".
        documents = [[word for word in one.lower().split() if word != "about"] for one in stored]
        mean = float(np.mean([len(words) for words in documents]))
        for term in query:
            found = [words.count(term) for words in documents]
            present = sum(count > 0 for count in found)
            idf = math.log(1 + (len(ids) - present + 0.5) / (present + 0.5))
            for one, words, count in zip(ids, documents, found, strict=True):
                if count:
                    norm = 1.2 * (1 - 0.75 + 0.75 * len(words) / mean)
                    expected[one] += idf * count * 2.2 / (count + norm)
    hits = scores(index.search(" ".join(query), 300))
    assert hits == pytest.approx(dict(expected), rel=1e-4)


def test_removed_documents_are_not_found_and_k_results_still_are(tmp_path: Path) -> None:
    path = bm25(tmp_path, range(300))
    whole = Bm25Index.open(path)
    removed = {document_id(number) for number in range(0, 240)}
    index = Bm25Index.open(path, removed)
    for k in (1, 10, 500):
        expected = [hit for hit in whole.search(EVERYTHING, 300) if hit.document_id not in removed][:k]
        assert index.search(EVERYTHING, k) == expected
    assert len(index.search(EVERYTHING, 10)) == 10
    assert len(index.entries()) == 60
    nothing = Bm25Index.open(path, {document_id(number) for number in range(300)})
    assert nothing.search(EVERYTHING, 5) == []


@settings(deadline=None, max_examples=150)
@given(st.text(max_size=200), st.integers(-1, 5))
def test_no_text_is_a_syntax_error(one_index: Bm25Index, query: str, k: int) -> None:
    assert len(one_index.search(query, k)) <= max(k, 0)


@pytest.fixture(scope="module")
def one_index(tmp_path_factory: pytest.TempPathFactory) -> Bm25Index:
    return Bm25Index.open(bm25(tmp_path_factory.mktemp("indexes"), range(50)))


@pytest.mark.parametrize(
    "query",
    [
        '"rivera',
        "rivera AND (",
        "text:rivera",
        "+rivera -",
        "rivera*",
        "rivera^^9",
        "\x00rivera",
        "\ud800 rivera",
        "[rivera TO",
    ],
)
def test_operators_are_only_text(one_index: Bm25Index, query: str) -> None:
    assert one_index.search(query, 50) == one_index.search("rivera", 50) != []


def test_stemming_and_stop_words(tmp_path: Path) -> None:
    texts = ["The dogs were running", "A dog has run", "Nothing of the kind"]

    def fetch(ids: list[str]) -> Iterator[pa.RecordBatch]:
        order = {chunk_id(number): number for number in range(3)}
        yield pa.record_batch({"chunk_id": ids, "heading": [""] * len(ids), "text": [texts[order[one]] for one in ids]})

    index = Bm25Index.open(bm25(tmp_path, range(3), fetch=fetch))
    assert {hit.chunk_id for hit in index.search("Dog runs", 5)} == {chunk_id(0), chunk_id(1)}
    assert index.search("the of a", 5) == []
    assert index.search("", 5) == []


def test_a_query_of_ten_thousand_words_is_answered(one_index: Bm25Index) -> None:
    assert len(one_index.search(" ".join(f"word{number}" for number in range(10_000)) + " rivera", 3)) == 3


def test_self_query_names_the_chunks_that_are_missing_or_have_another_text(tmp_path: Path) -> None:
    swapped = {chunk_id(1): chunk_id(2), chunk_id(2): chunk_id(1)}

    def fetch(ids: list[str]) -> Iterator[pa.RecordBatch]:
        yield text_batch([swapped.get(one, one) for one in ids]).set_column(0, "chunk_id", pa.array(ids, pa.string()))

    path = bm25(tmp_path, range(100), bm25(tmp_path, range(90), fetch=fetch), fetch=fetch)
    sample = text_batch([chunk_id(number) for number in (0, 1, 2, 3, 95, 777)])
    assert self_query(Bm25Index.open(path), sample) == [chunk_id(1), chunk_id(2), chunk_id(777)]
    assert self_query(Bm25Index.open(path, {document_id(3)}), sample.slice(3, 1)) == [chunk_id(3)]


def test_a_hundred_threads_get_the_answers_of_one(tmp_path: Path) -> None:
    index = Bm25Index.open(bm25(tmp_path, range(1_000)), {document_id(5)})
    alone = [index.search(query, 10) for query in QUERIES]
    with ThreadPoolExecutor(100) as pool:
        together = list(pool.map(lambda at: index.search(QUERIES[at % 6], 10), range(1_200)))
    assert together == [alone[at % 6] for at in range(1_200)]


def test_errors_that_a_person_can_act_on(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no stemmer and stop words for the language 'klingon'"):
        bm25(tmp_path, range(3), parameters=Bm25Parameters(language="klingon"))
    with pytest.raises(StoreError, match="lacks the texts of 1 chunks"):
        bm25(tmp_path, range(3), fetch=lambda ids: iter([text_batch(ids[:-1])]))
    with pytest.raises(StoreError, match="or one twice"):
        bm25(tmp_path, range(3), fetch=lambda ids: iter([text_batch(ids), text_batch(ids)]))
    assert [path.name for path in tmp_path.iterdir()] == [".lock-bm25"]
    index = Bm25Index.open(bm25(tmp_path, range(3), fetch=fetch_texts))
    index.close()
    with pytest.raises(StoreError, match="closed"):
        index.search("rivera", 3)


def test_an_index_on_a_read_only_file_system_answers_as_ever(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small file system is not allowed here")
    try:
        path = bm25(disk, range(40))
        before = bm25_answers(path)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        opened = Bm25Index.open(path)
        links = set(Path(tempfile.gettempdir()).glob("rag-assets-bm25-*"))
        assert opened.search("about", 3) and bm25_answers(path) == before
        del opened
        assert len(set(Path(tempfile.gettempdir()).glob("rag-assets-bm25-*"))) < len(links), (
            "its links are gone with it"
        )
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
