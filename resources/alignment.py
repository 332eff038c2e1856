"""Where the ids of one table stand in another: the join behind every comparison, for millions of rows.

Ids that are digests are compared as integers, sorted once a column; Arrow's hash join, which takes the others, is four
times as slow and starts anew each time. Pure arithmetic on columns; what a missing id means is the caller's business.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from resources.identity import DIGEST_BYTES

Places = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

BLOCK = 1 << 16
_NO_DIGIT = 255
_DIGITS = np.full(256, _NO_DIGIT, np.uint8)
_DIGITS[list(b"0123456789abcdef")] = np.arange(16, dtype=np.uint8)


class _Keys(NamedTuple):
    """Digests as two 64-bit halves, sorted by the first one; `order` is where each of them stood."""

    first: npt.NDArray[np.uint64]
    second: npt.NDArray[np.uint64]
    order: Places


class Ids:
    """A column of ids without nulls. An id that occurs twice stands where any of them does."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        self.column = column

    def __len__(self) -> int:
        return len(self.column)

    @property
    def are_digests(self) -> bool:
        """Whether they are all digests, so that looking one up needs no pass over the column."""
        return self._keys is not None

    def places_in(self, other: "Ids") -> Places:
        """Return where each of these ids stands in `other`, int64 (n,); -1 where it does not."""
        places = _places(self._keys, other._keys) if self._keys and other._keys else None
        if places is None:
            found = pc.fill_null(pc.index_in(self.column, value_set=other.column), -1)
            places = found.to_numpy().astype(np.int64)
        return places

    def chosen(self, mask: Mask) -> list[str]:
        """Return the ids under the mask, in order."""
        ids: list[str] = sorted(self.column.filter(pa.array(mask)).to_pylist()) if mask.any() else []
        return ids

    @cached_property
    def _keys(self) -> _Keys | None:
        """The ids as integers; None unless all of them are digests."""
        if not len(self.column) or self.column.type != pa.string() or self.column.null_count:
            return None
        halves = np.empty((len(self.column), 2), np.uint64)
        start = 0
        for chunk in self.column.chunks:
            for offset in range(0, len(chunk), BLOCK):
                block = _integers(chunk.slice(offset, BLOCK))
                if block is None:
                    return None
                halves[start : start + len(block)] = block
                start += len(block)
        order = np.argsort(halves[:, 0])
        return _Keys(halves[order, 0], halves[order, 1], order)


@dataclass(frozen=True)
class Keyed:
    """Rows and their ids: a table that is compared more than once is sorted only once."""

    rows: pa.Table
    ids: Ids

    @classmethod
    def by(cls, name: str, rows: pa.Table) -> "Keyed":
        """Return the rows with the ids in their column `name`."""
        return cls(rows, Ids(rows[name]))


def _integers(digests: pa.Array) -> npt.NDArray[np.uint64] | None:
    """Return digests as integers (n, 2); None when one of them is something else."""
    width = 2 * DIGEST_BYTES
    _, offsets, data = digests.buffers()
    bounds = np.frombuffer(offsets, np.int32)[digests.offset : digests.offset + len(digests) + 1]
    if (np.diff(bounds) != width).any():
        return None
    digits = _DIGITS[np.frombuffer(data, np.uint8)[bounds[0] : bounds[-1]].reshape(-1, width)]
    if (digits == _NO_DIGIT).any():
        return None
    return ((digits[:, 0::2] << 4) | digits[:, 1::2]).view(">u8").astype(np.uint64)


def _places(mine: _Keys, theirs: _Keys) -> Places | None:
    """Compare the first halves, then the second ones; None in the case that two ids share their first half only."""
    if np.array_equal(mine.first, theirs.first):
        near, hits = np.arange(len(mine.first)), np.ones(len(mine.first), np.bool_)
    else:
        near = np.minimum(np.searchsorted(theirs.first, mine.first), len(theirs.first) - 1)
        hits = theirs.first[near] == mine.first
    if not np.array_equal(theirs.second[near[hits]], mine.second[hits]):
        return None
    places = np.full(len(near), -1, np.int64)
    places[mine.order[hits]] = theirs.order[near[hits]]
    return places
