"""Rolling back: an older snapshot's content under a new number, pinned so that nothing publishes over it until it is
unpinned.
"""

from resources.corpus import Corpus
from resources.errors import NoSnapshotError
from resources.materialisation.base import writing_by_hand
from resources.retrieval.snapshot import SnapshotView, served_documents
from resources.store.snapshots import Manifest
from resources.store.tables import DOCUMENTS


def roll_back(corpus: Corpus, number: int) -> Manifest:
    """Make the content of snapshot `number` live again, pinned. Documents that were removed since stay removed.

    Refused before anything changes when its files or its query encoder are gone (IndexDamagedError, StoreError,
    ModelError).
    """
    store = corpus.store
    wanted = store.snapshots.read(number)
    view = SnapshotView(store, wanted)
    _ = view.dense, view.bm25, view.encoder
    with writing_by_hand(corpus) as writer:
        store.snapshots.read(number)  # a collection of garbage may have been quicker
        kept = set(store.rows(DOCUMENTS, ("document_id",))["document_id"].to_pylist())
        removed = {*wanted.removed_documents, *(served_documents(store, wanted).keys() - kept)}
        changes = {"kind": "rollback", "run": writer.run, "pinned": True, "restored_from": number}
        return writer.publish(store.snapshots.successor(wanted, **changes, removed_documents=tuple(sorted(removed))))


def unpin(corpus: Corpus) -> Manifest:
    """Let the next run publish over live."""
    snapshots = corpus.store.snapshots
    with writing_by_hand(corpus) as writer:
        live = snapshots.live()
        if live is None:
            raise NoSnapshotError(f"corpus {corpus.name} has no snapshot, so none is pinned")
        return writer.publish(snapshots.successor(live, run=writer.run, pinned=False)) if live.pinned else live
