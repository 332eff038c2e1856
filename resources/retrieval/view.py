"""What retrieval, answering and evaluation need to see of a corpus: one consistent set of parts, read-only.

Here: the protocol and the rows it returns. Not here: where they are stored, and which snapshot they belong to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from resources.embedding.encoder import Encoder
from resources.index.bm25 import Bm25Index
from resources.index.dense import DenseIndex


@dataclass(frozen=True, slots=True)
class ChunkRow:
    """A passage: characters [start, end) of its document's text, number `ordinal` in it, under `heading`."""

    chunk_id: str
    document_id: str
    heading: str
    text: str
    start: int
    end: int
    ordinal: int


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """A document without its text; `key` is the name its source knows it by."""

    document_id: str
    title: str | None
    source: str
    key: str
    metadata: dict[str, Any]


class RetrievalView(Protocol):
    """Encoder, indexes and tables that were made from each other. An id that is not there is absent from the answer."""

    @property
    def encoder(self) -> Encoder:
        """The model that the chunks were embedded with."""
        ...

    @property
    def dense(self) -> DenseIndex:
        """The chunks' pooled vectors."""
        ...

    @property
    def bm25(self) -> Bm25Index:
        """The chunks' headings and texts."""
        ...

    def chunks(self, chunk_ids: Sequence[str]) -> Mapping[str, ChunkRow]:
        """Return the chunks by id."""
        ...

    def documents(self, document_ids: Sequence[str]) -> Mapping[str, DocumentRow]:
        """Return the documents by id."""
        ...

    def token_vectors(self, chunk_ids: Sequence[str]) -> Mapping[str, npt.NDArray[np.int8]]:
        """Return the stored token vectors by chunk id, each (tokens, token_dimension)."""
        ...
