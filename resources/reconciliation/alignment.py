"""Where the ids of one table stand in another: the join behind every comparison, for millions of rows.

Ids that are digests are compared as integers, sorted once a column; Arrow's hash join, which takes the others, is four
times as slow. Pure arithmetic on columns; what a missing id means is `diff`'s business.
"""

from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from resources.identity import DIGEST_BYTES

Places = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

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

    def __init__(self, column: pa.ChunkedArray | pa.Array) -> None:
        self.column: pa.Array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column

    def __len__(self) -> int:
        return len(self.column)

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
        column, width = self.column, 2 * DIGEST_BYTES
        if not len(column) or column.type != pa.string() or column.null_count:
            return None
        _, offsets, data = column.buffers()
        bounds = np.frombuffer(offsets, np.int32)[column.offset : column.offset + len(column) + 1]
        if (np.diff(bounds) != width).any():
            return None
        digits = _DIGITS[np.frombuffer(data, np.uint8)[bounds[0] : bounds[-1]].reshape(-1, width)]
        if (digits == _NO_DIGIT).any():
            return None
        halves = ((digits[:, 0::2] << 4) | digits[:, 1::2]).view(">u8").astype(np.uint64)
        order = np.argsort(halves[:, 0])
        return _Keys(halves[order, 0], halves[order, 1], order)


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
