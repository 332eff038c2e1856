"""What is kept of every row while a table streams by: 20 bytes and an id. Memory grows with rows, not with vectors."""

import hashlib

import numpy as np
import pyarrow as pa

from resources.reconciliation.audit.block import Block
from resources.reconciliation.audit.calibration import Calibration, rare_share


class Summary:
    """Of each row, in reading order: digests of pooled vector and text, and the share of rare directions.

    Of all rows: the pooled vectors' mean and mean square.
    """

    def __init__(self, calibration: Calibration) -> None:
        dimension = len(calibration.mean)
        self._calibration = calibration
        self._shares: list[np.ndarray] = []
        self._ids: list[pa.Array] = []
        self._vectors: list[np.ndarray] = []
        self._texts: list[np.ndarray] = []
        self._sum = np.zeros(dimension)
        self._square = 0.0
        self._counted = 0

    def add(self, block: Block) -> None:
        """Take note of a block."""
        rows = np.ascontiguousarray(block.pooled)
        self._ids.append(block.rows.column("chunk_id"))
        self._vectors.append(_digests([row.tobytes() for row in rows]))
        self._texts.append(_digests([one.encode() for one in block.text_hashes]))
        good = np.isfinite(block.norms)
        self._shares.append(np.full(len(block), np.nan, np.float32))
        if rows.shape[1] == len(self._sum):
            self._shares[-1] = rare_share(rows, self._calibration)
            self._sum += rows[good].sum(axis=0, dtype=np.float64)
            self._square += float((block.norms[good].astype(np.float64) ** 2).sum())
            self._counted += int(good.sum())

    def __len__(self) -> int:
        return sum(len(one) for one in self._ids)

    @property
    def ids(self) -> pa.ChunkedArray:
        """The chunks' ids in reading order."""
        return pa.chunked_array(self._ids, pa.string())

    @property
    def spread(self) -> float:
        """1 - |mean|² of the pooled vectors, scaled to unit length: 0 when all are the same, 1 without any bias."""
        if self._square == 0:
            return 0.0
        mean = self._sum / self._counted
        return float(1 - mean @ mean / (self._square / self._counted))

    @property
    def rare_shares(self) -> np.ndarray:
        """How much of each vector lies in directions that the model hardly uses, float32 (n,); NaN where unknown."""
        return np.concatenate(self._shares) if self._shares else np.zeros(0, np.float32)

    def texts_of_its_vector(self) -> np.ndarray:
        """Return, per row, how many different texts have exactly its pooled vector, int (n,)."""
        if not self._vectors:
            return np.zeros(0, int)
        vectors, texts = np.concatenate(self._vectors), np.concatenate(self._texts)
        _, group = np.unique(vectors, return_inverse=True)
        pairs = np.unique(np.stack([group, np.unique(texts, return_inverse=True)[1]]), axis=1)
        distinct = np.bincount(pairs[0], minlength=group.max() + 1)
        found: np.ndarray = distinct[group]
        return found


def _digests(values: list[bytes]) -> np.ndarray:
    return np.frombuffer(b"".join(hashlib.blake2b(one, digest_size=8).digest() for one in values), np.uint64)
