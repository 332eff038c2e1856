"""Vectors that other software keeps: read, never written, and judged by the validators that judge our own.

`table` says what a foreign table is, `postgres`, `qdrant` and `iris` read one, `roles` tells its columns apart, `fit`,
`proof` and `look` judge it, `registration` remembers that it was adopted.
"""
