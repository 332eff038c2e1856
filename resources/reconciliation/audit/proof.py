"""The proof: embed a chunk's text again and compare. Names what is wrong with vectors that turn out to be others.

Which rows are worth the cost is decided in `look`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from resources.chunking.base import embedding_input
from resources.corpus import Corpus
from resources.embedding.codec import TokenCodec
from resources.embedding.encoder import Encoder
from resources.reconciliation.audit.block import COLUMNS
from resources.reconciliation.audit.calibration import Calibration, cosines, rare_share
from resources.store.tables import CHUNKS, Table

# The same text in batches of other sizes, bf16, 900 chunks: pooled cosine at least 0.99996, mean token cosine at least
# 0.9997; in fp32 against bf16 a single token's falls to 0.9995. A model with weights moved by 10 % gives at most 0.98.
SAME_POOLED = 0.9995
SAME_TOKENS = 0.999
# How much further than the true vectors a stored one must reach into directions the model hardly uses, to be no text's.
IMPLAUSIBLE = 1.6
# A centred cosine with the true vector that vectors of another text, even of the same document, hardly reach.
CORRELATED = 0.8


@dataclass(frozen=True)
class Evidence:
    """One chunk embedded again: `drift` is None when the stored vectors are its own, else what they seem to be.

    Foreign tables have pooled vectors alone, hence no `token_cosine`.
    """

    chunk_id: str
    drift: str | None
    pooled_cosine: float
    token_cosine: float | None = None

    @property
    def reason(self) -> str:
        """What was measured, in words."""
        tokens = "" if self.token_cosine is None else f", {self.token_cosine:.4f} tokens"
        return f"embedded again: cosine {self.pooled_cosine:.4f} pooled{tokens}"


@dataclass(frozen=True)
class Witness:
    """Embeds rows of one place again. `chunks` and `version` are where their texts and vectors are read."""

    corpus: Corpus
    encoder: Encoder
    calibration: Calibration
    table: Table
    version: int
    chunks_version: int

    def examine(self, chunk_ids: Sequence[str]) -> list[Evidence]:
        """Embed these chunks and compare with the stored rows; those whose text or row is gone are left out."""
        store = self.corpus.store
        texts = {
            row["chunk_id"]: embedding_input(row["heading"], row["text"])
            for row in store.take(
                CHUNKS, ("chunk_id", "heading", "text"), chunk_ids, version=self.chunks_version
            ).to_pylist()
        }
        stored = [
            row
            for row in store.take(self.table, COLUMNS, chunk_ids, version=self.version).to_pylist()
            if row["chunk_id"] in texts
        ]
        if not stored:
            return []
        fresh = self.encoder.encode([texts[row["chunk_id"]] for row in stored])
        pooled = [np.asarray(row["pooled"], np.float32) for row in stored]
        tokens = [np.frombuffer(row["tokens"], np.int8) for row in stored]
        reach = float(np.median(rare_share(fresh.pooled, self.calibration)))
        return [
            self._compare(row["chunk_id"], one, matrix, true, true_tokens, reach)
            for row, one, matrix, true, true_tokens in zip(
                stored, pooled, tokens, fresh.pooled, fresh.tokens, strict=True
            )
        ]

    def _compare(
        self,
        chunk_id: str,
        pooled: np.ndarray,
        tokens: np.ndarray,
        true: np.ndarray,
        true_tokens: np.ndarray,
        reach: float,
    ) -> Evidence:
        same_size = tokens.size == true_tokens.size and pooled.size == true.size
        if not same_size or not np.isfinite(pooled).all():
            return Evidence(chunk_id, "incomplete_token_embeddings", 0.0, 0.0)
        matrix = TokenCodec.decode(tokens.reshape(true_tokens.shape))
        pooled_cosine = float(cosines(pooled[None], true[None])[0])
        token_cosine = float(cosines(matrix, TokenCodec.decode(true_tokens)).mean())
        same = pooled_cosine >= SAME_POOLED, token_cosine >= SAME_TOKENS
        drift = None if all(same) else self._name(pooled, matrix.mean(axis=0), true, same, reach)
        return Evidence(chunk_id, drift, pooled_cosine, token_cosine)

    def _name(
        self, pooled: np.ndarray, mean: np.ndarray, true: np.ndarray, same: tuple[bool, bool], reach: float
    ) -> str:
        """Tell vectors of another text from another model's and from no model's."""
        center = self.calibration.mean
        fits = cosines((pooled @ self.calibration.relation + self.calibration.relation_bias)[None], mean[None])[0]
        plausible = rare_share(pooled[None], self.calibration)[0] <= IMPLAUSIBLE * reach
        related = cosines((pooled - center)[None], (true - center)[None])[0] >= CORRELATED
        whole = not any(same)
        if fits >= self.calibration.relation_min and plausible:
            return "foreign_model_vectors" if related else "shuffled_vectors"
        if whole and fits >= self.calibration.relation_min - 0.1:
            return "foreign_model_vectors"
        return "shuffled_vectors" if plausible else "mock_vectors"
