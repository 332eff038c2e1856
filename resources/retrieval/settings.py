"""What a corpus may choose about its ranking. No ranking happens here."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class RetrievalSettings(BaseModel):
    """The defaults were chosen by nDCG@10 on Cranfield and checked on PubMedQA, both with all-MiniLM-L6-v2.

    `fusion`: how `hybrid` joins BM25 and dense scores, `fusion.weighted_z` (Cranfield 0.416, PubMedQA 0.990) or
    `fusion.reciprocal_rank` (0.410, 0.985); BM25 alone has 0.370 and 0.978, single vectors 0.373 and 0.986.
    `bm25_weight`: BM25's share in `weighted_z`; the dense scores have the rest. 0.3 to 0.4 is a plateau.
    `depth`: chunks asked of each index, over which scores are calibrated: 200 gives 0.411, 500 0.416, 1000 0.416.
    `maxsim_weight`, `maxsim_candidates`: how much `colbert` adds for MaxSim, and to how many of `hybrid`'s best chunks.
    Weights from 0.1 to 0.3 and 50 to 200 candidates are within 0.002 of each other.
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

    @model_validator(mode="after")
    def _candidates_are_calibrated(self) -> "RetrievalSettings":
        # Re-ranking below `depth` would make the first hits depend on how many are asked for.
        if self.maxsim_candidates > self.depth:
            raise ValueError(f"maxsim_candidates must be at most depth, which is {self.depth}")
        return self
