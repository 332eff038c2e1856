"""Row-level contracts of the tables, as Great Expectations suites over small scalar columns.

What a suite cannot say (one table against another, an index against its table) is drift: see
`resources.reconciliation`. Here nothing is written; `quarantine` decides which rows are kept out.
"""
