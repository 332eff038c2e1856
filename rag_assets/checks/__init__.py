"""The asset checks: they audit the candidate before it can become live.

One multi-check an asset (a check step costs more than a check).

What is checked is said in `resources`; here verdicts become Dagster's. A bad row is quarantined and reported as a
warning; only systemic failure blocks.
"""
