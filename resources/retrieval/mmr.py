"""Diversity: passages that are relevant and yet unlike each other. Pure arithmetic on scores and vectors handed in."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def maximal_marginal_relevance(
    relevance: npt.NDArray[np.float64], vectors: Floats, trade_off: float, k: int
) -> list[int]:
    """Return the positions of the k passages chosen one after the other by maximal marginal relevance.

    Each choice maximises trade_off · relevance - (1 - trade_off) · its highest cosine to one chosen before. `relevance`
    (n,) is rescaled to 0 … 1, so that it weighs as much as a cosine. `vectors`: unit vectors (n, d).

    Source: Carbonell and Goldstein, "The Use of MMR, Diversity-Based Reranking" (1998).
    """
    spread = float(np.ptp(relevance)) if len(relevance) else 0.0
    value = (relevance - relevance.min()) / spread if spread else np.zeros(len(relevance))
    nearest = np.zeros(len(relevance))
    chosen: list[int] = []
    open_ = np.ones(len(relevance), dtype=np.bool_)
    while len(chosen) < min(k, len(relevance)):
        gain = np.where(open_, trade_off * value - (1 - trade_off) * nearest, -np.inf)
        best = int(gain.argmax())
        chosen.append(best)
        open_[best] = False
        nearest = np.maximum(nearest, vectors @ vectors[best])
    return chosen
