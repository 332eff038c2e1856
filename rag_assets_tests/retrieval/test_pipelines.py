from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from rag_assets_tests.retrieval.built_corpus import BuiltCorpus, build, read_beir
from resources.errors import SettingsError, VectorError
from resources.evaluation.metrics import means, per_query
from resources.retrieval.pipelines import Hit, find_pipeline, pipeline_names, retrieve
from resources.retrieval.settings import RetrievalSettings
from resources.sources.base import JudgedQuery

PIPELINES = ("bm25", "basic", "hybrid", "colbert")
QUESTION = "How does the assert statement raise an error when debugging is on?"


def _ids(hits: list[Hit]) -> list[str]:
    return [hit.chunk_id for hit in hits]


def test_the_pipelines_and_what_they_need() -> None:
    assert pipeline_names() == PIPELINES
    assert find_pipeline("hybrid_ifind") is find_pipeline("hybrid")
    assert "token_embeddings" in find_pipeline("colbert").needs
    assert "dense_index" not in find_pipeline("bm25").needs
    with pytest.raises(SettingsError, match=r"colbrt.*bm25, basic, hybrid, colbert"):
        find_pipeline("colbrt")


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_the_right_article_comes_first(topics: BuiltCorpus, pipeline: str) -> None:
    hits = retrieve(topics, [QUESTION], pipeline=pipeline, k=5)[0]
    assert hits[0].document_id == "beir:assert"
    assert len({hit.document_id for hit in hits}) == len(hits) == 5
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


@pytest.mark.parametrize("pipeline", ("basic", "hybrid", "colbert"))
def test_every_document_can_be_had_however_its_chunks_crowd(topics: BuiltCorpus, pipeline: str) -> None:
    shallow = RetrievalSettings(depth=10, maxsim_candidates=10)
    everything = retrieve(topics, [QUESTION], pipeline=pipeline, k=1000, settings=shallow)[0]
    assert {hit.document_id for hit in everything} == set(topics.titles)
    # k above one list's documents makes retrieval look deeper; the head must not move.
    for k in (3, 8, 20):
        assert _ids(retrieve(topics, [QUESTION], pipeline=pipeline, k=k, settings=shallow)[0]) == _ids(everything[:k])


def test_a_document_ranks_by_its_best_chunk(topics: BuiltCorpus) -> None:
    chunks = retrieve(topics, [QUESTION], pipeline="hybrid", k=50, group_by_document=False)[0]
    documents = retrieve(topics, [QUESTION], pipeline="hybrid", k=5)[0]
    first = {hit.document_id: hit for hit in reversed(chunks)}
    assert documents == [first[hit.document_id] for hit in documents]
    assert len({hit.document_id for hit in chunks}) < len(chunks) == 50


def test_parts_are_the_raw_scores(topics: BuiltCorpus) -> None:
    hit = retrieve(topics, [QUESTION], pipeline="colbert", k=1)[0][0]
    query = topics.encoder.encode_queries([QUESTION]).pooled[0]
    pooled = topics.vectors.pooled[list(topics.rows).index(hit.chunk_id)]
    assert hit.parts["dense"] == pytest.approx(float(query @ pooled), abs=1e-3)
    lexical = {one.chunk_id: one.score for one in topics.bm25.search(QUESTION, 10)}
    assert hit.parts["bm25"] == pytest.approx(lexical[hit.chunk_id])
    assert 0 < hit.parts["maxsim"] <= 1


def test_words_that_occur_nowhere(topics: BuiltCorpus) -> None:
    assert retrieve(topics, ["zzyzx qwrtp"], pipeline="bm25", k=5) == [[]]
    hits = retrieve(topics, ["zzyzx qwrtp"], pipeline="hybrid", k=5)[0]
    assert len(hits) == 5
    assert all("bm25" not in hit.parts for hit in hits)


def test_a_batch_answers_each_query(topics: BuiltCorpus) -> None:
    names = [title for title in list(topics.titles.values())[:20] if title.isalpha()]
    queries = [f"the {name} statement of Python" for name in names]
    together = retrieve(topics, queries, pipeline="bm25", k=3)
    assert together == [retrieve(topics, [query], pipeline="bm25", k=3)[0] for query in queries]
    assert retrieve(topics, [], pipeline="hybrid", k=3) == []


def test_settings_are_heard(topics: BuiltCorpus) -> None:
    def order(**chosen: object) -> list[str]:
        settings = RetrievalSettings(**chosen)  # type: ignore[arg-type]
        return _ids(retrieve(topics, [QUESTION], pipeline="hybrid", k=20, settings=settings)[0])

    def alone(pipeline: str) -> list[str]:
        return _ids(retrieve(topics, [QUESTION], pipeline=pipeline, k=20)[0])

    assert order(bm25_weight=0.0) == alone("basic")
    assert order(bm25_weight=1.0)[:5] == alone("bm25")[:5]
    assert order(fusion="rrf") != order()
    plain = retrieve(topics, [QUESTION], pipeline="colbert", k=20, settings=RetrievalSettings(maxsim_weight=0))[0]
    assert _ids(plain) == order()


def test_settings_that_cannot_hold_are_refused() -> None:
    for wrong in (
        {"bm25_wieght": 0.3},
        {"bm25_weight": 1.2},
        {"depth": 50, "maxsim_candidates": 51},
        {"fusion": "sum"},
    ):
        with pytest.raises(ValidationError, match=list(wrong)[-1]):
            RetrievalSettings(**wrong)  # type: ignore[arg-type]


def test_mmr_trades_relevance_for_novelty(topics: BuiltCorpus) -> None:
    def nearest(trade_off: float | None) -> float:
        settings = RetrievalSettings(mmr_lambda=trade_off)
        hits = retrieve(topics, [QUESTION], pipeline="hybrid", k=6, settings=settings, group_by_document=False)[0]
        assert len(set(_ids(hits))) == 6
        stored = topics.token_vectors(_ids(hits))
        means_ = np.stack([stored[one].mean(axis=0) for one in _ids(hits)])
        unit = means_ / np.linalg.norm(means_, axis=1, keepdims=True)
        return float((unit @ unit.T)[~np.eye(6, dtype=bool)].max())

    assert nearest(0.3) < nearest(None)
    assert nearest(1.0) == pytest.approx(nearest(None))


@dataclass(frozen=True)
class WithoutVectors:
    """A view that lost the token vectors of one chunk."""

    whole: BuiltCorpus
    lost: str

    def __getattr__(self, name: str) -> object:
        return getattr(self.whole, name)

    def token_vectors(self, chunk_ids: list[str]) -> dict[str, np.ndarray]:
        return self.whole.token_vectors([one for one in chunk_ids if one != self.lost])


def test_a_lost_token_matrix_is_an_error_that_names_the_chunk(topics: BuiltCorpus) -> None:
    lost = retrieve(topics, [QUESTION], pipeline="hybrid", k=1)[0][0].chunk_id
    with pytest.raises(VectorError, match=lost):
        retrieve(WithoutVectors(topics, lost), [QUESTION], pipeline="colbert", k=1)  # type: ignore[arg-type]


def _ndcg(corpus: BuiltCorpus, judged: list[JudgedQuery], pipeline: str) -> dict[str, float]:
    found = retrieve(corpus, [one.text for one in judged], pipeline=pipeline, k=100)
    rankings = {one.query_id: [hit.document_id for hit in hits] for one, hits in zip(judged, found, strict=True)}
    return means(per_query({one.query_id: one.relevant for one in judged}, rankings))


def test_fusion_beats_its_parts_on_judged_queries(cranfield: tuple[BuiltCorpus, list[JudgedQuery]]) -> None:
    ndcg = {name: _ndcg(*cranfield, name)["ndcg@10"] for name in PIPELINES}
    assert ndcg["hybrid"] > max(ndcg["bm25"], ndcg["basic"])
    assert ndcg["colbert"] > ndcg["hybrid"] - 0.01


@pytest.mark.slow
def test_quality_on_the_whole_of_cranfield(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    texts, judged = read_beir("cranfield")
    corpus = build(texts, tmp_path, 1, request.config.cache.mkdir("embedded"))
    floors = {"bm25": 0.36, "basic": 0.365, "hybrid": 0.41, "colbert": 0.41}
    found = {pipeline: _ndcg(corpus, judged, pipeline)["ndcg@10"] for pipeline in PIPELINES}
    assert all(found[pipeline] >= floor for pipeline, floor in floors.items()), found
