"""What a corpus may choose about its ranking. No ranking happens here."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class RetrievalSettings(BaseModel):
    """The defaults were chosen on Cranfield and PubMedQA, see `docs/retrieval.md`.

    `fusion`: how `hybrid` joins BM25 and dense scores (`fusion.weighted_z` or `fusion.reciprocal_rank`).
    `bm25_weight`: BM25's share in `weighted_z`; the dense scores have the rest.
    `depth`: chunks asked of each index, over which scores are calibrated.
    `maxsim_weight`, `maxsim_candidates`: how much `colbert` adds for MaxSim, and to how many of `hybrid`'s best chunks.
    `mmr_lambda`: 1 ranks by relevance alone, 0 by novelty alone; None leaves every ranking as it is.
    `mmr_candidates`: how many of the best are re-ordered for diversity.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    fusion: Literal["z-score", "rrf"] = "z-score"
    bm25_weight: float = Field(0.35, ge=0, le=1)
    rrf_k: int = Field(60, ge=1)
    depth: int = Field(500, ge=10, le=10_000)
    maxsim_weight: float = Field(0.3, ge=0)
    maxsim_candidates: int = Field(100, ge=1, le=1_000)
    mmr_lambda: float | None = Field(None, ge=0, le=1)
    mmr_candidates: int = Field(50, ge=1, le=1_000)
