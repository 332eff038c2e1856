"""Recovery of damaged tables: drop what cannot be read, so that the stages make it again like anything that is missing.

What is damaged and how a table is committed without it: `resources.store.damage`. Not here: making the rows again.
"""

import pyarrow as pa
import pyarrow.compute as pc
import structlog

from resources.corpus import Corpus
from resources.errors import LostDocumentsError, StoreError
from resources.materialisation.base import some
from resources.reconciliation import history
from resources.reconciliation.observe import SystemState
from resources.store.snapshots import now
from resources.store.tables import DOCUMENTS, QUARANTINE, Table
from resources.store.writer import CorpusWriter

log = structlog.get_logger(__name__)


def recover(corpus: Corpus, writer: CorpusWriter, table: Table) -> None:
    """Drop the damaged rows of a table and of the quarantine, whose marks the next checks and audits set again."""
    for one in (table, QUARANTINE):
        for damage in writer.drop_damaged(one):
            log.warning("dropped what cannot be read; it is made again", corpus=corpus.name, damage=str(damage))


def recover_documents(corpus: Corpus, writer: CorpusWriter) -> None:
    """Drop the damaged documents, which their sources have to bring again.

    StoreError, and nothing is dropped, while a source cannot be listed: its documents would count as removed.
    LostDocumentsError names the documents that no source lists any more, after the drop: once.
    """
    state = SystemState(corpus)
    if DOCUMENTS.name not in state.damage:
        recover(corpus, writer, DOCUMENTS)
        return
    if silent := sorted({*state.listing.unreachable, *state.listing.empty}):
        raise StoreError(
            f"corpus {corpus.name}: the documents table is damaged, and source {silent[0]} cannot be listed, so its "
            "documents could not be made again; nothing is dropped. Mend the source, or take it out of rag.yaml"
        )
    lost = _lost(state)
    if lost:
        history.append(corpus.store, {"kind": "lost", "at": now(), "run": writer.run, "documents": lost})
    recover(corpus, writer, DOCUMENTS)
    if lost:
        raise LostDocumentsError(
            f"corpus {corpus.name}: {len(lost)} documents are lost: {some(lost)}. Their rows cannot be read and no "
            "source lists them; all are named by the newest entry of the history. Run it again to rebuild the rest"
        )


def _lost(state: SystemState) -> list[str]:
    """Return the documents that have chunks, but neither a readable row nor a source, and were not removed."""
    known = pa.concat_arrays(
        [
            state.candidate.documents["document_id"].combine_chunks(),
            state.listing.table["document_id"].combine_chunks(),
            pa.array(state.live.removed_documents if state.live else (), pa.string()),
        ]
    )
    chunked = pc.unique(state.candidate.chunks["document_id"])
    lost: list[str] = sorted(chunked.filter(pc.invert(pc.is_in(chunked, known))).to_pylist())
    return lost
