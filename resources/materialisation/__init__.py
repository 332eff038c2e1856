"""How each asset is made: one module an asset, one shape: `plan` (look, and cut the work into shards), `do` (one
shard), `seal` (verify).

Materialising is reconciling: `plan` asks `resources.reconciliation` for the difference, `do` reads its work list from
the store again and does only that, so a second run does nothing and a crashed one is simply run again. Dagster is not
known here.
"""
