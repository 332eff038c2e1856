"""The candidate as a manifest that is not published yet: what is evaluated, and, once the gate agrees, what becomes
live.
"""

from resources.corpus import Corpus
from resources.errors import StoreError
from resources.reconciliation.generations import KINDS
from resources.reconciliation.observe import SystemState
from resources.retrieval.snapshot import SnapshotView
from resources.store.snapshots import Manifest, now
from resources.store.tables import CHUNKS, DOCUMENTS


def candidate_manifest(state: SystemState, run: str) -> Manifest:
    """Return the manifest of the candidate under the next number; StoreError when its parts do not agree."""
    corpus, store = state.corpus, state.corpus.store
    if not state.is_complete:
        raise StoreError(
            f"corpus {corpus.name}: the candidate's parts do not agree with each other yet; materialise "
            "everything upstream first"
        )
    dense, bm25 = (path for kind in KINDS if (path := state.index(kind).path) is not None)
    numbers = store.snapshots.numbers()
    return Manifest(
        number=(numbers[-1] if numbers else 0) + 1,
        corpus=corpus.name,
        kind="publish",
        created=now(),
        run=run,
        content=state.content,
        documents_version=store.version(DOCUMENTS),
        chunks_version=store.version(CHUNKS),
        embeddings_version=store.version(corpus.embeddings),
        model=corpus.model.name,
        model_fingerprint=corpus.model.fingerprint,
        dimension=corpus.model.dimension,
        dense=dense.name,
        bm25=bm25.name,
        chunks_digest=state.chunks_digest,
        counts={
            "documents": state.searchable.num_rows,
            "chunks": state.indexable.num_rows,
            "embeddings": state.candidate.embeddings.num_rows,
        },
        report=None,
    )


def open_candidate(corpus: Corpus, state: SystemState, run: str) -> SnapshotView:
    """Open the candidate for reading."""
    return SnapshotView(corpus.store, candidate_manifest(state, run))
