from rag_assets_tests.retrieval.built_corpus import cranfield, topics  # noqa: F401
