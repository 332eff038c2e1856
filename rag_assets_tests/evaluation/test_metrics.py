from math import log2

import pytest

from resources.evaluation.metrics import means, per_query


def test_metrics_equal_their_definitions() -> None:
    judgments = {"q": {"a": 3, "b": 1, "c": 0, "d": 2}}
    scores = per_query(judgments, {"q": ["x", "b", "c", "a", "y"]})["q"]
    ideal = 3 / log2(2) + 2 / log2(3) + 1 / log2(4)
    assert scores == pytest.approx(
        {"ndcg@10": (1 / log2(3) + 3 / log2(5)) / ideal, "mrr@10": 1 / 2, "recall@100": 2 / 3, "p@5": 2 / 5}
    )


def test_cut_offs() -> None:
    ranking = [f"x{number}" for number in range(10)] + ["a"]
    scores = per_query({"q": {"a": 1}}, {"q": ranking})["q"]
    assert scores == {"ndcg@10": 0, "mrr@10": 0, "recall@100": 1, "p@5": 0}


def test_a_query_that_found_nothing_counts_as_zero() -> None:
    scores = per_query({"q": {"a": 1}, "r": {"b": 1}, "s": {"c": 1}}, {"q": ["a"], "r": []})
    assert scores["r"] == scores["s"] == {"ndcg@10": 0, "mrr@10": 0, "recall@100": 0, "p@5": 0}
    assert means(scores)["mrr@10"] == pytest.approx(1 / 3)
    assert means({})["mrr@10"] == 0


def test_order_counts_not_the_names_of_equally_ranked() -> None:
    # trec_eval breaks ties by id; ranks must arrive as distinct scores.
    assert per_query({"q": {"a": 1}}, {"q": ["z", "a"]})["q"]["mrr@10"] == 0.5
    assert per_query({"q": {"z": 1}}, {"q": ["a", "z"]})["q"]["mrr@10"] == 0.5
