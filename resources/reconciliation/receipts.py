"""The receipts of erasures, as far as a look reads them: one that says pending is drift. Writing them: `erasure`."""

import json
from collections.abc import Iterator
from pathlib import PurePosixPath

from resources.reconciliation.drift import DriftIssue, Severity, issue, validator
from resources.reconciliation.observe import SystemState

RECEIPTS = "erasures"


@validator("snapshot")
def _erasures(state: SystemState) -> Iterator[DriftIssue]:
    files = state.corpus.store.files
    receipts = [(PurePosixPath(path).stem, files.read(path)) for path in files.list(RECEIPTS)]
    yield from issue(
        "erasure_pending",
        Severity.HIGH,
        "both",
        [receipt for receipt, content in receipts if not _is_complete(content)],
        "run the same erase again",
        "{n} erasures did not end; the documents are hidden, and files still hold them",
    )


def _is_complete(receipt: bytes) -> bool:
    """Whether a receipt says that every place is erased; one that cannot be understood does not."""
    try:
        return all(json.loads(receipt)["places"].values())
    except (ValueError, KeyError, TypeError, AttributeError):
        return False
