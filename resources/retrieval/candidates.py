"""What the encoder, the indexes and the token vectors say about a batch of queries, each asked at most once.

Several pipelines that answer the same queries share one of these. Nothing is ranked here.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from resources.embedding.encoder import QueryEncoding
from resources.errors import VectorError
from resources.index.entries import Scored
from resources.retrieval.maxsim import maxsim
from resources.retrieval.settings import RetrievalSettings
from resources.retrieval.view import RetrievalView

TOKEN_BLOCK = 16


class Candidates:
    """`queries` asked of `view`, `depth` chunks of each index. Not for sharing between threads.

    `documents` names the document of every chunk found so far.
    """

    def __init__(self, view: RetrievalView, queries: Sequence[str], settings: RetrievalSettings, depth: int) -> None:
        self.view = view
        self.queries = queries
        self.settings = settings
        self.depth = depth
        self.documents: dict[str, str] = {}
        self._longest = [0] * len(queries)

    def deeper(self, numbers: Sequence[int], factor: int) -> "Candidates":
        """Return the same for some of the queries, to be asked `factor` times as deep."""
        queries = [self.queries[number] for number in numbers]
        same = Candidates(self.view, queries, self.settings, self.depth * factor)
        if "encoding" in self.__dict__:
            same.encoding = self.encoding.of(numbers)
        return same

    def is_exhausted(self, number: int) -> bool:
        """Say whether the indexes asked so far have nothing more to tell about query `number`."""
        return self._longest[number] < self.depth

    @cached_property
    def encoding(self) -> QueryEncoding:
        """The encoded queries."""
        return self.view.encoder.encode_queries(self.queries)

    @cached_property
    def dense(self) -> list[dict[str, float]]:
        """Per query: cosine by chunk id, best first."""
        return self._scores(self.view.dense.search(self.encoding.pooled, self.depth))

    @cached_property
    def bm25(self) -> list[dict[str, float]]:
        """Per query: BM25 score by chunk id, best first; only chunks that share a term with the query."""
        return self._scores([self.view.bm25.search(query, self.depth) for query in self.queries])

    def maxsim(self, wanted: Sequence[Sequence[str]]) -> Iterator[dict[str, float]]:
        """Yield, per query, the MaxSim of the chunks wanted for it.

        Token vectors are read for a few queries at a time: together they can want every chunk of the corpus.
        """
        for start in range(0, len(wanted), TOKEN_BLOCK):
            block = wanted[start : start + TOKEN_BLOCK]
            stored = self._token_vectors(list(dict.fromkeys(chunk for chunks in block for chunk in chunks)))
            for query, chunks in zip(self.encoding.tokens[start : start + TOKEN_BLOCK], block, strict=True):
                scores = maxsim(query, [stored[chunk] for chunk in chunks], self.view.encoder.codec)
                yield dict(zip(chunks, scores.tolist(), strict=True))

    def mean_vectors(self, chunks: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return one unit vector a chunk (n, token_dimension): the mean of its stored token vectors."""
        stored = self._token_vectors(chunks)
        means = np.stack([stored[chunk].mean(axis=0, dtype=np.float32) for chunk in chunks])
        unit: npt.NDArray[np.float32] = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9)
        return unit

    def _token_vectors(self, chunks: Sequence[str]) -> Mapping[str, npt.NDArray[np.int8]]:
        stored = self.view.token_vectors(chunks)
        for chunk in chunks:
            if chunk not in stored or not len(stored[chunk]):
                raise VectorError(f"chunk {chunk} is indexed without token vectors: materialise token_embeddings again")
        return stored

    def _scores(self, found: Sequence[Sequence[Scored]]) -> list[dict[str, float]]:
        for number, scored in enumerate(found):
            self._longest[number] = max(self._longest[number], len(scored))
            self.documents.update((one.chunk_id, one.document_id) for one in scored)
        return [{one.chunk_id: one.score for one in scored} for scored in found]
