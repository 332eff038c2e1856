import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.retrieval.fusion import reciprocal_rank, weighted_z, z_scores

rankings = st.dictionaries(st.sampled_from("abcdefghijklmnop"), st.floats(-10, 10), max_size=16).map(
    lambda scores: dict(sorted(scores.items(), key=lambda item: -item[1]))
)


def test_z_scores_are_what_the_name_says() -> None:
    scores = np.array([9.0, 7.0, 5.0, 1.0])
    assert z_scores(scores, 4) == pytest.approx((scores - 5.5) / scores.std())


def test_fusion_imputes_the_lowest_score_of_a_ranking() -> None:
    dense = {"a": 0.9, "b": 0.5, "c": 0.1}
    lexical = {"c": 30.0, "d": 10.0}
    z = np.sqrt(1.5)
    assert weighted_z([(0.7, dense), (0.3, lexical)], depth=10) == pytest.approx(
        {"a": 0.7 * z - 0.3, "c": 0.7 * -z + 0.3, "b": -0.3, "d": 0.7 * -z - 0.3}
    )
    assert list(weighted_z([(0.7, dense), (0.3, lexical)], depth=10)) == ["a", "b", "c", "d"]


def test_scales_do_not_matter() -> None:
    dense, lexical = {"a": 0.9, "b": 0.5, "c": 0.1}, {"c": 30.0, "a": 10.0, "d": 3.0}
    scaled = {chunk: 1000 * score + 7 for chunk, score in dense.items()}
    assert weighted_z([(0.5, scaled), (0.5, lexical)], 10) == pytest.approx(
        weighted_z([(0.5, dense), (0.5, lexical)], 10)
    )


def test_an_empty_ranking_has_no_say() -> None:
    dense = {"a": 0.9, "b": 0.5}
    assert list(weighted_z([(0.2, dense), (0.8, {})], 10)) == ["a", "b"]
    assert weighted_z([(0.5, {}), (0.5, {})], 10) == {}


def test_equal_scores_carry_no_information() -> None:
    lexical = {"a": 0.1 + 0.2, "b": 0.3, "c": 0.3}
    assert weighted_z([(1.0, lexical)], 10) == {"a": 0.0, "b": 0.0, "c": 0.0}
    assert list(weighted_z([(0.9, lexical), (0.1, {"c": 2.0, "b": 1.0})], 10)) == ["c", "a", "b"]


def test_reciprocal_rank_fusion() -> None:
    fused = reciprocal_rank([{"a": 9.0, "b": 8.0}, {"b": 0.2, "c": 0.1}], k=60, depth=10)
    assert fused == pytest.approx({"b": 1 / 62 + 1 / 61, "a": 1 / 61, "c": 1 / 62})
    assert list(fused) == ["b", "a", "c"]


@given(rankings, rankings, st.integers(1, 8))
def test_looking_deeper_never_reorders_what_was_found(dense: dict, lexical: dict, depth: int) -> None:
    heads = [dict(list(one.items())[:depth]) for one in (dense, lexical)]
    for fuse in (
        lambda one, two: weighted_z([(0.65, one), (0.35, two)], depth),
        lambda one, two: reciprocal_rank([one, two], 60, depth),
    ):
        shallow, deep = list(fuse(*heads)), list(fuse(dense, lexical))
        assert deep[: len(shallow)] == shallow
        assert set(deep) == set(dense) | set(lexical)
