"""Late interaction: how well the tokens of a passage cover those of a query. Pure arithmetic on vectors handed in."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from resources.embedding.codec import TokenCodec

Floats = npt.NDArray[np.float32]


def maxsim(query: Floats, passages: Sequence[npt.NDArray[np.int8]], codec: TokenCodec) -> Floats:
    """Return the MaxSim of each passage (n,): the mean over query tokens of the best cosine among its tokens, -1 … 1.

    `query`: unit token vectors, float32 (tokens, d). `passages`: stored token vectors, int8 (tokens, d) each, none of
    them empty. The mean instead of the sum makes queries of different length comparable and changes no ranking.

    Source: Khattab and Zaharia, "ColBERT: Efficient and Effective Passage Search via Contextualized Late Interaction
    over BERT" (2020).
    """
    if not passages:
        return np.zeros(0, np.float32)
    starts = np.cumsum([0, *(len(passage) for passage in passages[:-1])])
    # One product for all passages keeps BLAS busy; a batch of queries would only decode more before it could begin.
    cosines = codec.decode(np.concatenate(passages)) @ query.T
    means: Floats = np.maximum.reduceat(cosines, starts, axis=0).mean(axis=1)
    return means
