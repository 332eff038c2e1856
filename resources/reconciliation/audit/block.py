"""A batch of stored embeddings, decoded once: columns as numpy arrays and the figures that several validators need.

Nothing is judged here.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from resources.embedding.codec import SCALE
from resources.embedding.identity import ModelIdentity

COLUMNS = ("chunk_id", "text_hash", "fingerprint", "n_tokens", "tokens", "pooled", "checksum")
ROWS = 512


@dataclass(frozen=True)
class Block:
    """At most `ROWS` rows of a token_embeddings table. `expected` is what the tokenizer counted for each chunk, int32
    (n,); validators see only rows that belong to a chunk.
    """

    rows: pa.RecordBatch
    expected: np.ndarray
    identity: ModelIdentity

    def __len__(self) -> int:
        return int(self.rows.num_rows)

    @cached_property
    def ids(self) -> list[str]:
        """The chunks' ids."""
        ids: list[str] = self.rows.column("chunk_id").to_pylist()
        return ids

    @cached_property
    def text_hashes(self) -> list[str]:
        """The hashes of the texts that the vectors claim to be of."""
        hashes: list[str] = self.rows.column("text_hash").to_pylist()
        return hashes

    @cached_property
    def declared(self) -> np.ndarray:
        """How many token vectors each row says it has, int32 (n,)."""
        counts: np.ndarray = self.rows.column("n_tokens").to_numpy(zero_copy_only=False)
        return counts

    @cached_property
    def pooled(self) -> np.ndarray:
        """The pooled vectors, float32 (n, d)."""
        values = self.rows.column("pooled").flatten().to_numpy(zero_copy_only=False)
        return np.asarray(values, np.float32).reshape(len(self), -1)

    @cached_property
    def norms(self) -> np.ndarray:
        """The pooled vectors' lengths, float32 (n,); not finite where a number is not."""
        with np.errstate(over="ignore", invalid="ignore"):
            norms: np.ndarray = np.sqrt(np.einsum("ij,ij->i", self.pooled, self.pooled))
        return norms

    @cached_property
    def _buffers(self) -> tuple[np.ndarray, np.ndarray]:
        column = self.rows.column("tokens")
        _, offsets, data = column.buffers()
        ends = np.frombuffer(offsets, np.int32)[column.offset : column.offset + len(column) + 1]
        return ends, np.frombuffer(data, np.int8) if data is not None else np.empty(0, np.int8)

    @cached_property
    def token_bytes(self) -> np.ndarray:
        """The size of each token matrix, int32 (n,)."""
        sizes: np.ndarray = np.diff(self._buffers[0])
        return sizes

    @cached_property
    def shaped(self) -> np.ndarray:
        """Whether the token matrix has at least one row and as many as declared, bool (n,)."""
        whole: np.ndarray = (self.declared > 0) & (self.token_bytes == self.declared * self.identity.token_dimension)
        return whole

    @cached_property
    def token_vectors(self) -> np.ndarray:
        """The token vectors of the `shaped` rows one after the other, float32 (m, token_dimension)."""
        ends, data = self._buffers
        if self.shaped.all():
            flat = data[ends[0] : ends[-1]]
        else:
            flat = np.concatenate(
                [data[ends[row] : ends[row + 1]] for row in np.flatnonzero(self.shaped)] or [np.empty(0, np.int8)]
            )
        vectors: np.ndarray = flat.reshape(-1, self.identity.token_dimension).astype(np.float32) / np.float32(SCALE)
        return vectors

    @cached_property
    def starts(self) -> np.ndarray:
        """Where each `shaped` row begins in `token_vectors`."""
        counts = self.declared[self.shaped].astype(np.intp)
        starts: np.ndarray = np.cumsum(counts) - counts
        return starts

    @cached_property
    def token_norms(self) -> np.ndarray:
        """The length of every vector in `token_vectors`."""
        norms: np.ndarray = np.sqrt(np.einsum("ij,ij->i", self.token_vectors, self.token_vectors))
        return norms

    @cached_property
    def token_means(self) -> np.ndarray:
        """The mean token vector of each row, float32 (n, token_dimension); zero where a row is not `shaped`."""
        means = np.zeros((len(self), self.identity.token_dimension), np.float32)
        if self.shaped.any():
            sums = np.add.reduceat(self.token_vectors, self.starts, axis=0)
            means[self.shaped] = sums / self.declared[self.shaped, None]
        return means

    def spread(self, values: np.ndarray, fill: bool | float = False) -> np.ndarray:
        """Return one value per row from one per `shaped` row; the others get `fill`."""
        out = np.full(len(self), fill, dtype=values.dtype)
        out[self.shaped] = values
        return out

    def tokens_of(self, row: int) -> bytes:
        """Return a row's token matrix as it is stored."""
        ends, data = self._buffers
        return data[ends[row] : ends[row + 1]].tobytes()
