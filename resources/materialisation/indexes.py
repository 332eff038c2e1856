"""The `dense_index` and `bm25_index` assets: one generation each, of the same chunks.

How a generation is built: `resources.index`.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa

from resources.corpus import Corpus
from resources.errors import StoreError
from resources.index.bm25 import build_bm25
from resources.index.dense import build_dense
from resources.index.generation import read_manifest
from resources.materialisation.base import Materialised, some
from resources.observability.progress import track
from resources.reconciliation.observe import SystemState
from resources.store.tables import CHUNKS, Table
from resources.store.writer import CorpusWriter


def make_dense(corpus: Corpus, writer: CorpusWriter) -> Materialised:
    """Bring the FAISS generation up to the candidate's chunks."""
    state = SystemState(corpus)
    wanted = _embedded(state)
    with track("dense index", wanted.num_rows) as progress:
        path = build_dense(
            corpus.store.indexes.local,
            wanted,
            partial(_fetch, corpus, corpus.embeddings, ("chunk_id", "pooled")),
            fingerprint=corpus.model.fingerprint,
            dimension=corpus.model.dimension,
            previous=_previous(state, "dense"),
            progress=lambda done, _: progress.advance(done - progress.done),
        )
    return _kept(corpus, path)


def make_bm25(corpus: Corpus, writer: CorpusWriter) -> Materialised:
    """Bring the tantivy generation up to the candidate's chunks."""
    state = SystemState(corpus)
    wanted = _embedded(state)
    with track("BM25 index", wanted.num_rows) as progress:
        path = build_bm25(
            corpus.store.indexes.local,
            wanted,
            partial(_fetch, corpus, CHUNKS, ("chunk_id", "heading", "text")),
            previous=_previous(state, "bm25"),
            progress=lambda done, _: progress.advance(done - progress.done),
        )
    return _kept(corpus, path)


def _embedded(state: SystemState) -> pa.Table:
    wanted = state.indexable
    if wanted["checksum"].null_count:
        missing = wanted.filter(wanted["checksum"].is_null())["chunk_id"].to_pylist()
        raise StoreError(
            f"corpus {state.corpus.name}: {len(missing)} chunks lack token embeddings ({some(missing)}); "
            "materialise token_embeddings first"
        )
    return wanted


def _previous(state: SystemState, kind: str) -> Path | None:
    return state.index(kind).path


def _fetch(corpus: Corpus, table: Table, columns: tuple[str, ...], chunk_ids: list[str]) -> Iterator[pa.RecordBatch]:
    return corpus.store.batches(table, columns, keys=chunk_ids)


def _kept(corpus: Corpus, path: Path) -> Materialised:
    corpus.store.indexes.keep(path.name)
    manifest = read_manifest(path)
    size = sum(record.bytes for record in manifest.files.values())
    written = sum((path / file).stat().st_size for file in manifest.files if (path / file).stat().st_nlink == 1)
    return Materialised(
        manifest.count,
        path.name,
        {
            "generation": path.name,
            "parts": len(manifest.parts),
            "bytes": size,
            "bytes_not_shared": written,
            "ids_digest": manifest.ids_digest,
            "folder": str(path),
        },
    )
