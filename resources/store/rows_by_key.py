"""Where the rows of one version of a table are, by key, so that a random read needs no scan. Reads nothing itself."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from resources.alignment import Ids

if TYPE_CHECKING:
    import lance


class RowsByKey:
    """Where the rows of one version of a table are: about 40 bytes a row, and a random read needs no scan."""

    def __init__(self, dataset: "lance.LanceDataset", keys: pa.ChunkedArray, row_ids: np.ndarray) -> None:
        self.dataset = dataset
        self.row_ids = row_ids
        self._digests = ids if (ids := Ids(keys)).are_digests else None
        if self._digests is None:
            encoded = np.array([one.encode() for one in keys.to_pylist()], dtype=np.bytes_)
            self._order = np.argsort(encoded, kind="stable")
            self._keys = encoded[self._order]

    def find(self, keys: Sequence[str]) -> "np.ndarray[Any, np.dtype[np.int64]]":
        """Return the places of those keys that exist, in the order of the rows."""
        if self._digests is not None:
            places = Ids(pa.chunked_array([pa.array(keys, pa.string())])).places_in(self._digests)
            return np.unique(places[places >= 0])
        wanted = np.array([key.encode() for key in keys], dtype=np.bytes_)
        near = np.minimum(np.searchsorted(self._keys, wanted), max(len(self._keys) - 1, 0))
        return np.unique(self._order[near[self._keys[near] == wanted]] if len(self._keys) else near[:0])
