"""Which vectors fit their texts least, by the table's own measure: whoever made the vectors, similar words lie near.

A ridge regression predicts the vector from the mean of the texts' static token embeddings. It is fitted on the table
itself, so that it needs no knowledge of the model; a bad row has little say in it, and none in its own prediction
(leave-one-out by the hat matrix: Allen, "The relationship between variable selection and data augmentation and a method
for prediction", Technometrics 1974). A low score proves nothing: it says which rows to doubt first.
"""

from collections.abc import Sequence

import numpy as np

from resources.embedding.identity import ModelIdentity
from resources.embedding.tokenizer import Tokenizer
from resources.reconciliation.audit.calibration import cosines
from resources.reconciliation.audit.text import static_embeddings

RIDGE = 0.1
FEWEST = 50
MOST_TOKENS = 4096  # what a text is about shows in its beginning, and memory has an end


class TextFit:
    """Two passes over the rows: `add` all of them, then ask `scores`. Memory: two matrices of d × d."""

    def __init__(self, words: ModelIdentity, tokenizer: Tokenizer, dimension: int) -> None:
        """`words` is any model whose static embeddings know the texts' words; `dimension` is the vectors'."""
        self._table, self._tokenizer = static_embeddings(words), tokenizer
        width = self._table.shape[1]
        self._square, self._cross = np.zeros((width, width)), np.zeros((width, dimension))
        self._sum, self._target = np.zeros(width), np.zeros(dimension)
        self._weights = self._inverse = np.empty(0)
        self.rows = 0

    def add(self, texts: Sequence[str], vectors: np.ndarray) -> np.ndarray:
        """Take part of the rows into the fit: finite, non-zero vectors, float32 (n, dimension).

        Returns how many tokens each text has, (n,).
        """
        ids = self._tokenizer.ids(texts)
        features, targets = self._features(ids), _unit(vectors)
        self._square += features.T @ features
        self._cross += features.T @ targets
        self._sum += features.sum(axis=0)
        self._target += targets.sum(axis=0)
        self.rows += len(texts)
        return np.array([len(one) for one in ids])

    def scores(self, texts: Sequence[str], vectors: np.ndarray) -> np.ndarray:
        """Return how well each row's vector fits its text, a cosine (n,): what the other rows predict it to be."""
        mean, target = self._sum / self.rows, self._target / self.rows
        if not len(self._inverse):
            covariance = self._square - self.rows * np.outer(mean, mean)
            penalty = RIDGE * np.trace(covariance) / min(self.rows, len(covariance))
            self._inverse = np.linalg.inv(covariance + penalty * np.eye(len(covariance)))
            self._weights = self._inverse @ (self._cross - self.rows * np.outer(mean, target))
        features, away = self._features(self._tokenizer.ids(texts)) - mean, _unit(vectors) - target
        leverage = ((features @ self._inverse * features).sum(axis=1) + 1 / self.rows)[:, None]
        return cosines(features @ self._weights - leverage * away, away)

    def _features(self, ids: Sequence[Sequence[int]]) -> np.ndarray:
        return np.stack([self._table[one[:MOST_TOKENS]].mean(axis=0) for one in ids]).astype(np.float64)


def _unit(vectors: np.ndarray) -> np.ndarray:
    unit: np.ndarray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit
