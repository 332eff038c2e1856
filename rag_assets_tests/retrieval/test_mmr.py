import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from resources.retrieval.mmr import maximal_marginal_relevance


def test_a_copy_comes_after_something_new() -> None:
    vectors = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    relevance = np.array([3.0, 2.9, 2.0])
    assert maximal_marginal_relevance(relevance, vectors, 0.5, 3) == [0, 2, 1]


@given(st.lists(st.floats(-5, 5), max_size=12), st.floats(0, 1), st.integers(0, 15))
def test_chooses_each_at_most_once(relevance: list[float], trade_off: float, k: int) -> None:
    vectors = np.eye(max(len(relevance), 1), dtype=np.float32)[: len(relevance)]
    chosen = maximal_marginal_relevance(np.array(relevance), vectors, trade_off, k)
    assert len(chosen) == len(set(chosen)) == min(k, len(relevance))


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=12, unique=True))
def test_relevance_alone_is_the_ranking(relevance: list[float]) -> None:
    vectors = np.ones((len(relevance), 1), np.float32)
    scores = [relevance[at] for at in maximal_marginal_relevance(np.array(relevance), vectors, 1.0, 12)]
    assert np.allclose(scores, sorted(relevance, reverse=True))
