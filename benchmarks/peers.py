"""Two ways that others use to keep an index up to date, on documents that are read already, with embeddings for free.

Both compare the documents with a ledger of their own and never look at what the vector store holds.
"""

from collections.abc import Callable, Mapping

Sync = Callable[[Mapping[str, str]], int]
"""Bring the peer's store up to these documents, text by name; returns how many it took for new or changed."""


def langchain(dimension: int) -> Sync:
    """Return LangChain's `index()`, with record manager and vector store in memory, cleaning up incrementally."""
    from langchain_core.documents import Document
    from langchain_core.embeddings import DeterministicFakeEmbedding
    from langchain_core.indexing import InMemoryRecordManager, index
    from langchain_core.vectorstores import InMemoryVectorStore

    manager = InMemoryRecordManager("benchmark")
    manager.create_schema()
    store = InMemoryVectorStore(DeterministicFakeEmbedding(size=dimension))

    def sync(texts: Mapping[str, str]) -> int:
        documents = [Document(text, metadata={"source": name}) for name, text in texts.items()]
        done = index(
            documents,
            manager,
            store,
            cleanup="incremental",
            source_id_key="source",
            key_encoder="sha256",
            batch_size=1000,
        )
        return done["num_added"]

    return sync


def llama_index(dimension: int) -> Sync:
    """Return LlamaIndex's `IngestionPipeline`, with document and vector store in memory, strategy upserts."""
    from llama_index.core import Document, MockEmbedding
    from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
    from llama_index.core.storage.docstore import SimpleDocumentStore
    from llama_index.core.vector_stores import SimpleVectorStore

    pipeline = IngestionPipeline(
        transformations=[MockEmbedding(embed_dim=dimension)],
        docstore=SimpleDocumentStore(),
        vector_store=SimpleVectorStore(),
        docstore_strategy=DocstoreStrategy.UPSERTS,
        disable_cache=True,
    )
    return lambda texts: len(pipeline.run(documents=[Document(text=text, doc_id=name) for name, text in texts.items()]))
