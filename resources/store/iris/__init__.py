"""A corpus in InterSystems IRIS: one SQL schema per corpus, spoken to through the plain DB-API.

`sql` holds every SQL text, `connection` the pool with its retries, `store` what `CorpusStore` promises. The driver
(extra `iris`) is proprietary, so it is optional and imported only in `connection`.
"""
