"""When an asset is materialised because the one before it was: the automation condition that all but the first share.

For one asset materialised by hand, or a run that stopped halfway. What is wrong in a corpus is the drift sensor's to
find (`sensors.drift`); here only events are followed.
"""

import dagster as dg

_AC = dg.AutomationCondition

FOLLOW = (
    _AC.any_deps_match(_AC.data_version_changed() | _AC.will_be_requested()).since_last_handled()
    & _AC.all_deps_blocking_checks_passed()
    & ~_AC.any_deps_missing()
    & ~_AC.any_deps_in_progress()
    & ~_AC.in_progress()
).with_label("an asset before it changed and passed its blocking checks")
"""Once for each change of an asset before it; never when it was materialised without a change, so it cannot go on for
ever, and never after a failed attempt, so it cannot storm."""
