"""The `snapshot` asset: publish the candidate. Nothing else moves live, except that removals hide documents at once."""

from dataclasses import replace

import structlog

from resources.corpus import Corpus
from resources.errors import LeaseLostError, SourceError, StoreError
from resources.materialisation.base import Materialised, MetricValue
from resources.materialisation.candidate import candidate_manifest
from resources.materialisation.report import decide, figures, read_candidate_report
from resources.materialisation.retention import collect, compact, retain
from resources.reconciliation.observe import SystemState
from resources.reconciliation.questions import report_folder
from resources.store.retention import Needs
from resources.store.snapshots import Manifest
from resources.store.writer import CorpusWriter

log = structlog.get_logger(__name__)


def make_snapshot(corpus: Corpus, writer: CorpusWriter) -> Materialised:
    """Publish the candidate unless live serves the same already, is pinned, or the gate holds it back."""
    state = SystemState(corpus)
    live = state.live
    if live is not None and live.pinned:
        return _described(live, "pinned")
    evaluation = read_candidate_report(corpus, state)
    evaluated = report_folder(corpus, state).name
    report = evaluated if evaluation.queries else None
    same = live is not None and (live.content, live.report) == (state.content, report)
    if live is not None and same and not (state.hidden or state.live_problems or state.bad_in_live):
        return _described(live, "unchanged")
    decision = decide(corpus, state)
    if not decision.publish:
        raise StoreError(f"corpus {corpus.name}: the gate holds the candidate back: {decision.reason}")
    compact(corpus, writer)
    draft = candidate_manifest(state, writer.run)
    metrics = evaluation.means if evaluation.queries else {}
    manifest = draft.model_copy(update={"report": report, "metrics": metrics})
    retain(corpus, manifest)
    published = _described(writer.publish(manifest), "published")
    return replace(published, metrics=published.metrics | _tidied(corpus, writer, evaluated))


def _tidied(corpus: Corpus, writer: CorpusWriter, report: str) -> dict[str, MetricValue]:
    """Clear away what the new snapshot made needless. It is published whether that succeeds or not."""
    try:
        garbage = collect(corpus, writer, Needs(corpus.embeddings, reports=(report,)))
    except LeaseLostError:
        raise
    except (StoreError, SourceError) as error:
        log.warning("nothing was cleared away; the next run does", corpus=corpus.name, reason=str(error))
        return {"not_cleared": str(error)}
    return {f"cleared_{kind}": count for kind, count in garbage.counts.items() if count}


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
