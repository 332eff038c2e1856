"""Index generations: immutable folders of files that answer dense and BM25 queries, and how one grows from the last.

Here: what an index folder holds, how it is built, shared, verified, opened and searched. Not here: where the vectors
and texts come from (the store hands them in), how scores are fused (retrieval), and which generation is live (the
snapshot says so).
"""
