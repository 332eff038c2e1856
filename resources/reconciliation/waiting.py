"""Documents that could not be read before: which of them are to be tried now, and when the others are.

Pure. What a failure calls for is said by its class (`resources.sources.failures`).
"""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from resources.reconciliation.diff import DocumentsDiff
from resources.sources.failures import FAILURES, ReadError

FIRST_WAIT = timedelta(minutes=1)
LONGEST_WAIT = timedelta(hours=24)
GROWTH = 4


def put_off(diff: DocumentsDiff, stored: pa.Table, *, unreachable: Collection[str], now: str) -> DocumentsDiff:
    """Leave out what is not to be tried yet, and what belongs to a source that cannot be listed; add what is due.

    `stored`: document_id, source, status and next_try; times as ISO 8601 in UTC, which compare as text.
    """
    unseen = pc.is_in(stored["source"], pa.array(list(unreachable), pa.string()))
    early = pc.fill_null(pc.greater(stored["next_try"], now), False)
    due = pc.fill_null(pc.less_equal(stored["next_try"], now), False)
    given_up = pc.equal(stored["status"], "forgotten")
    ids = stored["document_id"]
    kept_back = set(ids.filter(pc.or_(unseen, early)).to_pylist())
    no_reparse = kept_back.union(ids.filter(given_up).to_pylist())
    fetched = {*diff.changed, *diff.reparse, *diff.retry}
    again = set(ids.filter(due).to_pylist()) - kept_back - set(diff.gone) - set(diff.changed)
    return replace(
        diff,
        changed=[one for one in diff.changed if one not in kept_back],
        reparse=[one for one in diff.reparse if one not in no_reparse and one not in again],
        retry=sorted({one for one in diff.retry if one not in kept_back} | again),
        waiting=sorted(fetched.intersection(ids.filter(early).to_pylist())),
    )


def next_try(failure: str, attempts: int, now: datetime) -> str | None:
    """Return when a document that failed `attempts` times in a row is tried again, ISO 8601; None for not by itself.

    A minute after the first failure, four times as long after each further one, at most a day.
    """
    if not FAILURES.get(failure, ReadError).strategy.later:
        return None
    wait: timedelta = min(LONGEST_WAIT, FIRST_WAIT * GROWTH ** min(attempts - 1, 10))
    return (now + wait).isoformat(timespec="seconds")
