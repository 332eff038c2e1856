"""Where a corpus lives: tables, the writer's lease, and numbered snapshots.

`base` says what any store offers, `tables` what the tables hold; `lance_store` is the embedded one. Nothing here knows
what a chunker or a model is, and nothing here plans or repairs.
"""
