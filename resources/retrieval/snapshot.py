"""A consistent set of parts, opened for reading: live's snapshot, or the candidate while it is evaluated.

Everything is read at fixed versions, so nothing changes under a query's feet. Fulfils `RetrievalView`; ranks nothing
itself.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from resources.embedding.encoder import Encoder, load_encoder
from resources.errors import ModelError, NoSnapshotError
from resources.index.bm25 import Bm25Index
from resources.index.dense import DenseIndex
from resources.retrieval.view import ChunkRow, DocumentRow
from resources.store.base import CorpusStore
from resources.store.snapshots import Manifest
from resources.store.tables import CHUNKS, DOCUMENTS, token_embeddings

CHUNK_FIELDS = ("chunk_id", "document_id", "heading", "text", "start", "end", "ordinal")
DOCUMENT_FIELDS = ("document_id", "title", "source", "key", "metadata")


@dataclass(frozen=True)
class SnapshotView:
    """The parts that a manifest names, published or not."""

    store: CorpusStore
    manifest: Manifest

    @cached_property
    def encoder(self) -> Encoder:
        """The model the snapshot was embedded with; ModelError when that model is not to be had any more."""
        encoder = load_encoder(self.manifest.model)
        if encoder.identity.fingerprint != self.manifest.model_fingerprint:
            raise ModelError(
                f"corpus {self.store.corpus}: snapshot {self.manifest.number} was embedded by another version "
                f"of {self.manifest.model} "
                "than the one installed; restore that model, or materialise the corpus again"
            )
        return encoder

    @cached_property
    def dense(self) -> DenseIndex:
        """The FAISS generation, without the removed documents."""
        return DenseIndex.open(self.store.indexes.fetch(self.manifest.dense), self.manifest.removed_documents)

    @cached_property
    def bm25(self) -> Bm25Index:
        """The tantivy generation, without the removed documents."""
        return Bm25Index.open(self.store.indexes.fetch(self.manifest.bm25), self.manifest.removed_documents)

    def chunks(self, chunk_ids: Sequence[str]) -> dict[str, ChunkRow]:
        """Return the chunks by id."""
        rows = self.store.take(CHUNKS, CHUNK_FIELDS, chunk_ids, version=self.manifest.chunks_version)
        return {row["chunk_id"]: ChunkRow(**row) for row in rows.to_pylist()}

    def documents(self, document_ids: Sequence[str]) -> dict[str, DocumentRow]:
        """Return the documents by id, without their text."""
        rows = self.store.take(DOCUMENTS, DOCUMENT_FIELDS, document_ids, version=self.manifest.documents_version)
        return {
            row["document_id"]: DocumentRow(**row | {"metadata": json.loads(row["metadata"] or "{}")})
            for row in rows.to_pylist()
        }

    def token_vectors(self, chunk_ids: Sequence[str]) -> dict[str, "np.ndarray[tuple[int, int], np.dtype[np.int8]]"]:
        """Return the stored token vectors by chunk id, each (n_tokens, token dimension) int8."""
        table = token_embeddings(self.manifest.model_fingerprint, self.manifest.dimension)
        rows = self.store.take(
            table, ("chunk_id", "n_tokens", "tokens"), chunk_ids, version=self.manifest.embeddings_version
        )
        return {
            chunk_id: np.frombuffer(tokens, dtype=np.int8).reshape(count, -1)
            for chunk_id, count, tokens in zip(
                *(rows[name].to_pylist() for name in ("chunk_id", "n_tokens", "tokens")), strict=True
            )
        }


def open_live(store: CorpusStore) -> SnapshotView:
    """Open what queries read; NoSnapshotError when nothing is published."""
    live = store.snapshots.live()
    if live is None:
        raise NoSnapshotError(
            f"corpus {store.corpus} has no snapshot yet. Build it: rag-assets ensure search-ready --corpus "
            f"{store.corpus} --auto-fix"
        )
    return SnapshotView(store, live)


def served_documents(store: CorpusStore, manifest: Manifest) -> dict[str, str]:
    """Return the text hash of every document that a snapshot serves, by id."""
    rows = store.rows(DOCUMENTS, ("document_id", "text_hash"), version=manifest.documents_version)
    removed = set(manifest.removed_documents)
    pairs = zip(rows["document_id"].to_pylist(), rows["text_hash"].to_pylist(), strict=True)
    return {one: text for one, text in pairs if text is not None and one not in removed}
