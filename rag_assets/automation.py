"""When an asset is materialised because the one before it was: the automation condition that all but the first share.

For one asset that somebody materialises in the UI. What is wrong in a corpus is the drift sensor's to
find (`sensors.drift`); here only events are followed.
"""

import dagster as dg

from sensors.graph import REASON_TAG

_AC = dg.AutomationCondition
_BY_HAND = ~_AC.executed_with_tags(tag_keys={REASON_TAG}) & ~_AC.executed_with_tags(
    tag_keys={"dagster/from_automation_condition"}
)
"""Made by a run that nothing here started: those carry on to where they should by themselves."""

FOLLOW = (
    _AC.any_deps_match((_AC.data_version_changed() & _BY_HAND) | _AC.will_be_requested()).since_last_handled()
    & _AC.all_deps_blocking_checks_passed()
    & ~_AC.any_deps_missing()
    & ~_AC.any_deps_in_progress()
    & ~_AC.in_progress()
).with_label("an asset before it was made by hand, changed, and passed its blocking checks")
"""Once for each change of an asset before it; never when that was made without a change, so it cannot go on for ever,
and never again after a failed attempt, so it cannot storm."""
