import json
import re
import sys
from pathlib import Path

import pytest

from rag_assets_tests.retrieval.built_corpus import BuiltCorpus
from resources.errors import SettingsError, StoreError
from resources.evaluation.gate import gate
from resources.evaluation.outcome import Evaluation
from resources.evaluation.report import evaluate, read_evaluation, write_report
from resources.retrieval.settings import RetrievalSettings
from resources.sources.base import JudgedQuery

PIPELINES = ("bm25", "basic", "hybrid", "colbert")
Judged = tuple[BuiltCorpus, list[JudgedQuery]]


@pytest.fixture(scope="module")
def evaluation(cranfield: Judged) -> Evaluation:
    corpus, judged = cranfield
    return evaluate(corpus, judged, PIPELINES)


def test_every_query_of_every_pipeline_has_a_row(cranfield: Judged, evaluation: Evaluation) -> None:
    judged = {one.query_id: one for one in cranfield[1]}
    rows = evaluation.per_query.to_pylist()
    assert evaluation.queries == len(judged)
    assert {(row["query_id"], row["pipeline"]) for row in rows} == {(one, name) for one in judged for name in PIPELINES}
    assert len(rows) == len(judged) * len(PIPELINES)
    for row in rows:
        assert set(row["relevant"]) == set(judged[row["query_id"]].relevant)
        assert len(set(row["retrieved"])) == len(row["retrieved"]) <= 100
        found = [document in judged[row["query_id"]].relevant for document in row["retrieved"]]
        assert row["p@5"] == pytest.approx(sum(found[:5]) / 5)
        assert row["mrr@10"] == pytest.approx(next((1 / rank for rank, yes in enumerate(found[:10], 1) if yes), 0))


def test_means_and_latencies_agree_with_what_they_summarise(evaluation: Evaluation) -> None:
    for name in PIPELINES:
        means = evaluation.means[name]
        rows = [row for row in evaluation.per_query.to_pylist() if row["pipeline"] == name]
        for metric in ("ndcg@10", "mrr@10", "recall@100", "p@5"):
            assert means[metric] == pytest.approx(sum(row[metric] for row in rows) / len(rows))
        assert len(evaluation.latencies[name]) == 10  # a twentieth of 95 queries would be fewer
        assert 0 < means["latency_ms"]["p50"] <= means["latency_ms"]["p95"] <= max(evaluation.latencies[name])


def test_ragas_agrees_with_the_definition_on_documents(evaluation: Evaluation) -> None:
    pytest.importorskip("ragas", reason="the extra `ragas` is not installed")
    assert evaluation.ragas_queries == 20
    for means in evaluation.means.values():
        assert 0 < means["ragas_id_precision"] < means["ragas_id_recall"] < 1
        # One chunk a document here, so passages by text can only find more than documents by id.
        assert means["ragas_text_recall"] >= means["ragas_id_recall"] - 1e-9


def test_the_report_on_disk_is_the_evaluation(tmp_path: Path, evaluation: Evaluation) -> None:
    write_report(evaluation, tmp_path / "deep" / "report")
    again = read_evaluation(tmp_path / "deep" / "report")
    assert again.as_json() == evaluation.as_json()
    assert again.per_query.equals(evaluation.per_query)
    assert again.latencies == evaluation.latencies
    figures = json.loads((tmp_path / "deep" / "report" / "report.json").read_text("utf-8"))
    assert set(figures["pipelines"]["hybrid"]) >= {"ndcg@10", "mrr@10", "recall@100", "p@5", "latency_ms"}


def test_the_page_needs_nothing_else_and_shows_what_was_measured(tmp_path: Path, evaluation: Evaluation) -> None:
    write_report(evaluation, tmp_path)
    page = (tmp_path / "report.html").read_text("utf-8")
    assert not re.findall(r"<script|<link|<img|@import|src=|url\((?!#)|href=\"(?!#)", page)
    assert page.count("<svg") >= 3
    assert f"{evaluation.means['hybrid']['ndcg@10']:.3f}" in page
    rows = [row for row in evaluation.per_query.to_pylist() if row["pipeline"] == "hybrid"]
    assert min(rows, key=lambda row: (row["ndcg@10"], row["mrr@10"], row["query_id"]))["text"] in page
    assert "Against live" not in page
    write_report(evaluation, tmp_path / "again")
    assert (tmp_path / "again" / "report.html").read_text("utf-8") == page


def test_a_candidate_is_compared_with_live(tmp_path: Path, cranfield: Judged, evaluation: Evaluation) -> None:
    corpus, judged = cranfield
    live = evaluate(corpus, judged, ["hybrid"], RetrievalSettings(bm25_weight=1.0))
    write_report(evaluation, tmp_path, live=live)
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "Against live" in page
    difference = evaluation.means["hybrid"]["ndcg@10"] - live.means["hybrid"]["ndcg@10"]
    assert f"{difference:+.3f}" in page
    decision = gate(
        evaluation.per_query, live.per_query, list(corpus.titles), list(corpus.titles), judged, allowed_drop=0.0
    )
    assert decision.mean_difference == pytest.approx(difference)
    assert decision.publish == (difference >= 0)


def test_no_judged_queries(tmp_path: Path, topics: BuiltCorpus) -> None:
    none = evaluate(topics, [JudgedQuery("q", "What is not judged?", {"beir:assert": 0})], ["hybrid"])
    assert (none.queries, none.left_out) == (0, 1)
    assert none.means["hybrid"]["ndcg@10"] == 0
    write_report(none, tmp_path)
    assert "no judged queries" in (tmp_path / "report.html").read_text("utf-8")
    assert read_evaluation(tmp_path).as_json() == none.as_json()


def test_without_ragas_the_page_says_how_to_get_it(
    tmp_path: Path, topics: BuiltCorpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ragas", None)
    found = evaluate(topics, [JudgedQuery("q", "<b>assert</b> & debugging", {"beir:assert": 1})], ["bm25"])
    assert "ragas_id_recall" not in found.means["bm25"]
    write_report(found, tmp_path)
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "rag-assets[ragas]" in page
    assert "&lt;b&gt;assert&lt;/b&gt; &amp; debugging" in page


def test_progress_is_told(topics: BuiltCorpus) -> None:
    judged = [JudgedQuery(str(number), f"assert {number}", {"beir:assert": 1}) for number in range(130)]
    told: list[tuple[int, int]] = []
    evaluate(topics, judged, ["bm25"], progress=lambda done, of: told.append((done, of)))
    assert told == [(64, 130), (128, 130), (130, 130)]


def test_errors_are_named(tmp_path: Path, topics: BuiltCorpus, evaluation: Evaluation) -> None:
    with pytest.raises(SettingsError, match="hybird"):
        evaluate(topics, [], ["hybird"])
    with pytest.raises(StoreError, match="evaluate again"):
        read_evaluation(tmp_path)
    write_report(evaluation, tmp_path)
    (tmp_path / "per_query.parquet").write_bytes(b"nothing")
    with pytest.raises(StoreError, match=re.escape(str(tmp_path))):
        read_evaluation(tmp_path)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be written"):
        write_report(evaluation, tmp_path / "file")
