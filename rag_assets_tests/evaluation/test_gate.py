from math import log2

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.errors import SettingsError
from resources.evaluation.gate import bootstrap_interval, gate
from resources.sources.base import JudgedQuery


def _table(rankings: dict[str, list[str]], pipeline: str = "hybrid") -> pa.Table:
    return pa.table(
        {
            "query_id": pa.array(list(rankings), pa.string()),
            "pipeline": pa.array([pipeline] * len(rankings), pa.string()),
            "retrieved": pa.array(list(rankings.values()), pa.list_(pa.string())),
        }
    )


JUDGED = [JudgedQuery(f"q{number}", "?", {f"d{number}": 1}) for number in range(10)]
ALL = [*(f"d{number}" for number in range(10)), "x"]
GOOD = _table({f"q{number}": [f"d{number}", "x"] for number in range(10)})
ONE_WORSE = _table({f"q{number}": [f"d{number}", "x"] if number else ["x", "d0"] for number in range(10)})


def test_the_first_snapshot_is_published() -> None:
    decision = gate(GOOD, None, ALL, ALL, JUDGED, allowed_drop=0.02)
    assert (decision.publish, decision.compared, decision.mean_difference) == (True, 0, None)


def test_a_drop_is_allowed_up_to_the_setting() -> None:
    drop = (1 - 1 / log2(3)) / 10
    held = gate(ONE_WORSE, GOOD, ALL, ALL, JUDGED, allowed_drop=drop - 0.001)
    passed = gate(ONE_WORSE, GOOD, ALL, ALL, JUDGED, allowed_drop=drop + 0.001)
    assert (held.publish, passed.publish) == (False, True)
    assert held.mean_difference == pytest.approx(-drop)
    assert held.compared == 10
    assert "ndcg@10 of hybrid falls by -0.0369" in held.reason
    assert held.interval is not None
    assert held.interval[0] <= -drop <= held.interval[1] <= 0


def test_the_metric_and_the_pipeline_are_those_asked_for() -> None:
    assert gate(ONE_WORSE, GOOD, ALL, ALL, JUDGED, allowed_drop=0.0, metric="recall@100").publish
    assert gate(ONE_WORSE, GOOD, ALL, ALL, JUDGED, allowed_drop=0.0, metric="mrr@10").mean_difference == pytest.approx(
        -0.05
    )
    assert gate(ONE_WORSE, GOOD, ALL, ALL, JUDGED, allowed_drop=0.0, pipeline="bm25").compared == 0
    with pytest.raises(SettingsError, match="ndcg@5"):
        gate(ONE_WORSE, GOOD, ALL, ALL, JUDGED, allowed_drop=0.0, metric="ndcg@5")


def test_queries_whose_documents_are_gone_are_excluded_and_counted() -> None:
    without = _table({f"q{number}": [f"d{number}", "x"] if number > 2 else ["x"] for number in range(10)})
    decision = gate(without, GOOD, ALL[3:], ALL, JUDGED, allowed_drop=0.0)
    assert (decision.publish, decision.compared, decision.excluded) == (True, 7, 3)
    assert gate(without, GOOD, [], ALL, JUDGED, allowed_drop=0.0).publish
    lost = gate(without, GOOD, ALL, ALL, JUDGED, allowed_drop=0.0)
    assert not lost.publish


def test_documents_that_are_partly_removed_do_not_count_against_the_candidate() -> None:
    judged = [JudgedQuery("q", "?", {"a": 4, "b": 1})]
    decision = gate(
        _table({"q": ["b", "x"]}), _table({"q": ["a", "b", "x"]}), ["b", "x"], ["a", "b", "x"], judged, allowed_drop=0.0
    )
    assert decision.publish
    assert decision.mean_difference == 0


@settings(max_examples=40)
@given(
    st.dictionaries(st.sampled_from([one.query_id for one in JUDGED]), st.permutations(ALL)),
    st.sets(st.sampled_from(ALL)),
)
def test_removals_alone_are_never_held_back(live: dict[str, list[str]], removed: set[str]) -> None:
    candidate = {query: [one for one in ranking if one not in removed] for query, ranking in live.items()}
    decision = gate(_table(candidate), _table(live), set(ALL) - removed, ALL, JUDGED, allowed_drop=0.0)
    assert decision.publish
    assert decision.compared + decision.excluded == len(live)


def test_the_interval_is_deterministic_and_holds_the_mean() -> None:
    differences = np.random.default_rng(3).normal(0.1, 0.2, 200)
    low, high = bootstrap_interval(differences)
    assert (low, high) == bootstrap_interval(differences)
    error = differences.std(ddof=1) / np.sqrt(200)
    assert (low, high) == pytest.approx(
        (differences.mean() - 1.96 * error, differences.mean() + 1.96 * error), abs=0.004
    )


def test_additions_earn_no_credit_that_could_hide_a_regression() -> None:
    judged = [*JUDGED, *(JudgedQuery(f"n{number}", "?", {f"new{number}": 1}) for number in range(10))]
    new = {f"n{number}": [f"new{number}"] for number in range(10)}
    worse = _table({**{f"q{number}": ["x"] if number < 3 else [f"d{number}"] for number in range(10)}, **new})
    old = _table({**{f"q{number}": [f"d{number}"] for number in range(10)}, **{query: ["x"] for query in new}})
    decision = gate(worse, old, [*ALL, *(f"new{number}" for number in range(10))], ALL, judged, allowed_drop=0.02)
    assert (decision.publish, decision.compared, decision.excluded) == (False, 10, 10)
    assert decision.mean_difference == pytest.approx(-0.3)


def test_additions_that_bury_the_answers_are_held_back() -> None:
    noise = [f"spam{number}" for number in range(10)]
    buried = _table({f"q{number}": [*noise, f"d{number}"] for number in range(10)})
    assert not gate(buried, GOOD, [*ALL, *noise], ALL, JUDGED, allowed_drop=0.02).publish


def test_a_new_answer_above_an_old_one_is_no_regression() -> None:
    judged = [JudgedQuery("q", "?", {"a": 1, "new": 1})]
    decision = gate(_table({"q": ["new", "a"]}), _table({"q": ["a"]}), ["a", "new"], ["a"], judged, allowed_drop=0.0)
    assert decision.publish and decision.mean_difference == 0
