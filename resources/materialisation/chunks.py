"""The `chunks` asset: every searchable document is cut into passages that fit the model.

Only documents whose text or chunker changed are cut again; ids derive from document and text, so passages that stayed
the same keep theirs. Not here: how text is cut (`resources.chunking`).
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from resources.chunking.base import chunk_document, embedding_input
from resources.corpus import Corpus
from resources.errors import StoreError
from resources.identity import chunk_id, digest, set_digest
from resources.materialisation.base import Materialised, share, some
from resources.materialisation.recovery import recover
from resources.observability.progress import track
from resources.reconciliation.observe import SystemState
from resources.store.tables import CHUNKS, DOCUMENTS
from resources.store.writer import CorpusWriter

COMMIT_DOCUMENTS = 512
COMMIT_ROWS = 4096


def plan(corpus: Corpus, writer: CorpusWriter) -> int:
    """Delete chunks whose document is not to be searched, and count the documents to be cut."""
    recover(corpus, writer, CHUNKS)
    diff = SystemState(corpus).chunks
    writer.delete(CHUNKS, diff.orphans)
    return writer.allowance.shards(len(diff.rechunk))


def do(corpus: Corpus, writer: CorpusWriter, shard: int, shards: int) -> None:
    """Cut this shard's documents; a document's old chunks go in the commit that brings its new ones."""
    wanted = writer.allowance.documents(share(SystemState(corpus).chunks.rechunk, shard, shards), shards)
    with track("chunks", len(wanted)) as progress:
        documents: list[str] = []
        rows: list[dict[str, Any]] = []
        for document in _documents(corpus, wanted):
            documents.append(document["document_id"])
            rows.extend(cut(corpus, document))
            if len(documents) >= COMMIT_DOCUMENTS or len(rows) >= COMMIT_ROWS:
                _commit(writer, documents, rows)
                progress.advance(len(documents))
                documents, rows = [], []
                writer.allowance.check()
        _commit(writer, documents, rows)
        progress.advance(len(documents))


def _documents(corpus: Corpus, ids: list[str]) -> Iterator[dict[str, Any]]:
    columns = ("document_id", "title", "text", "text_hash")
    for batch in corpus.store.batches(DOCUMENTS, columns, keys=ids):
        yield from batch.to_pylist()


def cut(corpus: Corpus, document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the chunk rows of one document (document_id, title, text, text_hash)."""
    chunks = chunk_document(document["title"] or "", document["text"], corpus.tokenizer, corpus.settings.chunking)
    seen: Counter[tuple[str, str]] = Counter()
    rows = []
    for chunk in chunks:
        content = (chunk.heading, chunk.text)
        rows.append(
            {
                "chunk_id": chunk_id(document["document_id"], *content, seen[content]),
                "document_id": document["document_id"],
                "ordinal": chunk.ordinal,
                "of": len(chunks),
                "start": chunk.start,
                "end": chunk.end,
                "heading": chunk.heading,
                "text": chunk.text,
                "text_hash": digest("chunk", embedding_input(*content)),
                "tokens": chunk.tokens,
                "document_hash": document["text_hash"],
                "fingerprint": corpus.chunker,
            }
        )
        seen[content] += 1
    return rows


def _commit(writer: CorpusWriter, documents: list[str], rows: list[dict[str, Any]]) -> None:
    writer.replace(CHUNKS, pa.Table.from_pylist(rows, schema=CHUNKS.schema), column="document_id", values=documents)


def seal(corpus: Corpus, writer: CorpusWriter) -> Materialised:
    """Verify that every searchable document is cut as it should be."""
    state = SystemState(corpus)
    writer.allowance.require_done(state.chunks.rechunk, "documents to be cut")
    if left := [*state.chunks.rechunk, *state.chunks.orphans]:
        raise StoreError(
            f"corpus {corpus.name}: chunks of {len(left)} documents are still not as they should be: {some(left)}"
        )
    chunks = state.candidate.chunks
    return Materialised(
        chunks.num_rows,
        set_digest(chunks["chunk_id"].to_pylist()),
        {
            "documents": state.searchable.num_rows,
            "tokens": pc.sum(chunks["tokens"]).as_py() or 0,
            "mean_tokens": round(pc.mean(chunks["tokens"]).as_py() or 0.0, 1),
            "max_tokens": pc.max(chunks["tokens"]).as_py() or 0,
        },
    )
