"""Documents that failed before: which are tried now, and when the others are, against a naive reading of the rules."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from resources.reconciliation.diff import DocumentsDiff
from resources.reconciliation.waiting import LONGEST_WAIT, next_try, put_off
from resources.sources.failures import FAILURES

NOW = "2026-06-01T12:00:00+00:00"
TIMES = st.sampled_from([None, "2026-06-01T11:59:59+00:00", NOW, "2026-06-01T12:00:01+00:00"])
STATUS = st.sampled_from(["ok", "failed", "unread", "forgotten"])
WHY = st.sampled_from(["changed", "reparse", "retry", "gone", "same"])
ROWS = st.dictionaries(
    st.sampled_from([f"d{number}" for number in range(8)]),
    st.tuples(st.sampled_from(["up", "down"]), STATUS, TIMES, WHY),
)


@given(ROWS, st.sampled_from([(), ("down",)]))
def test_what_is_put_off(rows, unreachable):
    def chosen(why):
        return sorted(one for one, row in rows.items() if row[3] == why)

    diff = DocumentsDiff(["m"], chosen("changed"), chosen("reparse"), chosen("retry"), chosen("gone"), 0)
    columns = ("source", "status", "next_try")
    stored = pa.table(
        {
            "document_id": pa.array(list(rows), pa.string()),
            **{name: pa.array([row[at] for row in rows.values()], pa.string()) for at, name in enumerate(columns)},
        }
    )
    found = put_off(diff, stored, unreachable=unreachable, now=NOW)
    for one, (source, status, when, why) in rows.items():
        tried = {*found.changed, *found.reparse, *found.retry}
        early = when is not None and when > NOW
        if source in unreachable or early or why == "gone":
            assert one not in tried
        elif why == "changed" or why == "retry":
            assert one in tried
        elif why == "reparse":
            assert (one in tried) == (status != "forgotten" or when is not None)
        else:
            assert (one in tried) == (when is not None)
        assert (one in found.waiting) == (early and why in ("changed", "reparse", "retry"))
    assert (found.missing, found.gone) == (diff.missing, diff.gone)


@given(st.sampled_from(sorted(FAILURES)), st.integers(1, 1000))
def test_waits_grow_to_a_day_and_only_where_time_may_help(failure, attempts):
    now = datetime(2026, 6, 1, tzinfo=UTC)
    when = next_try(failure, attempts, now)
    assert (when is not None) == FAILURES[failure].strategy.later
    if when is not None:
        wait = datetime.fromisoformat(when) - now
        assert timedelta(minutes=1) <= wait <= LONGEST_WAIT
        following = next_try(failure, attempts + 1, now)
        assert following is not None and following >= when
