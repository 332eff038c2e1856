"""How documents are cut into chunks: the settings. The cutting itself is `resources.chunking.base`."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class ChunkingSettings(BaseModel):
    """`tokens`: the most a chunk may have, heading and special tokens included; a model that reads fewer lowers it.

    `overlap`: how many tokens of the previous chunk may be repeated, in whole units of the strategy.
    The defaults are the ones `docs/chunking.md` measures.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    strategy: Literal["fixed", "sentence", "markdown"] = "sentence"
    tokens: int = Field(default=200, ge=32, le=8192)
    overlap: int = Field(default=30, ge=0)

    @model_validator(mode="after")
    def _advances(self) -> "ChunkingSettings":
        if 2 * self.overlap > self.tokens:
            raise ValueError("overlap must be at most half of tokens")
        return self
