"""The `snapshot` asset: publish the candidate. Nothing else moves live, except that removals hide documents at once."""

from resources.corpus import Corpus
from resources.errors import StoreError
from resources.materialisation.base import Materialised
from resources.materialisation.candidate import candidate_manifest
from resources.materialisation.report import decide, figures, read_candidate_report
from resources.reconciliation.observe import SystemState
from resources.reconciliation.questions import report_folder
from resources.store.snapshots import Manifest
from resources.store.tables import CHUNKS, DOCUMENTS
from resources.store.writer import CorpusWriter


def make_snapshot(corpus: Corpus, writer: CorpusWriter) -> Materialised:
    """Publish the candidate unless live serves the same already, is pinned, or the gate holds it back."""
    state = SystemState(corpus)
    live = state.live
    if live is not None and live.pinned:
        return _described(live, "pinned")
    evaluation = read_candidate_report(corpus, state)
    report = report_folder(corpus, state).name if evaluation.queries else None
    same = live is not None and (live.content, live.report) == (state.content, report)
    if live is not None and same and not (state.hidden or state.live_problems or state.bad_in_live):
        return _described(live, "unchanged")
    decision = decide(corpus, state)
    if not decision.publish:
        raise StoreError(f"corpus {corpus.name}: the gate holds the candidate back: {decision.reason}")
    draft = candidate_manifest(state, writer.run)
    metrics = evaluation.means if evaluation.queries else {}
    manifest = draft.model_copy(update={"report": report, "metrics": metrics})
    retain(corpus, manifest)
    return _described(writer.publish(manifest), "published")


def retain(corpus: Corpus, manifest: Manifest) -> None:
    """Protect the versions first: a clean-up between these two steps must not take them away."""
    label = f"snapshot-{manifest.number:08d}"
    for table, version in (
        (DOCUMENTS, manifest.documents_version),
        (CHUNKS, manifest.chunks_version),
        (corpus.embeddings, manifest.embeddings_version),
    ):
        corpus.store.retain(table, version, label)


def _described(manifest: Manifest, outcome: str) -> Materialised:
    return Materialised(
        manifest.counts["documents"],
        manifest.content,
        {
            "snapshot": manifest.number,
            "outcome": outcome,
            "model": manifest.model,
            "removed_documents": len(manifest.removed_documents),
            **manifest.counts,
            **figures(manifest.metrics),
        },
    )
