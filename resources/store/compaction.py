"""When a Lance table is worth compacting, and how: many commits leave many small fragments, and updates leave deleted
rows in them.

Only neighbours can be joined, and only up to a size, so that a growing table is not written anew from its beginning
each time. Which versions are deleted afterwards: `retention`.
"""

from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import lance

FRAGMENT_BYTES = 256 << 20
"""What a fragment is joined up to."""
FRAGMENT_ROWS = 1 << 20
SPARED = 16
"""Fragments to be spared before compaction is due: opening one costs a read, so a scan of few is as fast as of one."""
DELETED_SHARE = 0.1
BATCH_ROWS = 2048


class _Fragment(NamedTuple):
    rows: int
    deleted: int
    bytes: int


def is_due(dataset: "lance.LanceDataset") -> bool:
    """Whether compaction would spare many fragments, or a tenth of the rows in the files are deleted ones."""
    fragments = _fragments(dataset)
    rows = sum(one.rows for one in fragments)
    if sum(one.deleted for one in fragments) > DELETED_SHARE * rows:
        return True
    target = _target_rows(fragments)
    spared = 0
    for is_small, some in groupby(fragments, key=lambda one: one.rows < target):
        if is_small:
            neighbours = list(some)
            spared += len(neighbours) - -(-sum(one.rows for one in neighbours) // target)
    return spared >= SPARED


def compact(dataset: "lance.LanceDataset") -> None:
    """Join small neighbouring fragments and drop deleted rows, in one new version."""
    dataset.optimize.compact_files(
        target_rows_per_fragment=_target_rows(_fragments(dataset)),
        materialize_deletions_threshold=DELETED_SHARE,
        batch_size=BATCH_ROWS,
        num_threads=1,
    )


def _fragments(dataset: "lance.LanceDataset") -> list[_Fragment]:
    found = []
    for fragment in dataset.get_fragments():
        metadata = fragment.metadata
        size = sum(file.file_size_bytes or 0 for file in metadata.files)
        found.append(_Fragment(metadata.physical_rows, metadata.num_deletions, size))
    return found


def _target_rows(fragments: list[_Fragment]) -> int:
    rows, size = sum(one.rows for one in fragments), sum(one.bytes for one in fragments)
    return max(BATCH_ROWS, min(FRAGMENT_ROWS, FRAGMENT_BYTES * rows // max(size, 1)))
