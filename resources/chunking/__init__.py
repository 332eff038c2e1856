"""Cuts a parsed document into passages that fit the embedding model. Knows nothing of stores, sources or vectors."""
