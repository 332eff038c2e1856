"""Are the stored vectors the vectors of their texts? Validators, the audit that runs them, and what it leaves behind.

`catalogue` registers validators, `exact` and `plausible` hold them, `text` tells which rows to doubt first, `inquiry`
which to embed again, `proof` embeds them, `look` puts it together, `marks` writes what was proven into the quarantine.
Nothing here repairs: the next run of the assets embeds marked rows again.
"""

from resources.reconciliation.audit import exact, plausible  # noqa: F401 - each registers its validators, in this order
