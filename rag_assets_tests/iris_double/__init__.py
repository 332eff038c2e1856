"""A strict double of IRIS: refuses what IRIS refuses, executes the rest with SQLite, and has the driver's quirks.

It encodes our reading of InterSystems' manual and of what others report; it was never compared with a live server.
`lint` is the refusing, `dialect` the translation, `dbapi` the driver, `mutate` shows that the stores' tests catch
planted bugs with it.
"""
