"""The checks around publishing: whether the candidate may replace live, and whether what is live is one whole.

The gate holds back changes, never removals.
"""

from collections.abc import Iterator

import dagster as dg

from rag_assets.checks.shapes import Verdict, audit, ids_metadata
from resources.corpus import Corpus
from resources.index.generation import read_manifest
from resources.materialisation.report import decide
from resources.reconciliation.analyse import Severity, analyse
from resources.reconciliation.freshness import freshness, record_agreement
from resources.reconciliation.generations import KINDS
from resources.reconciliation.observe import SystemState
from resources.store.writer import CorpusWriter


def _gate(corpus: Corpus, writer: CorpusWriter) -> Iterator[Verdict]:
    decision = decide(corpus)
    metadata = {
        "reason": decision.reason,
        "compared_queries": decision.compared,
        "excluded_queries": decision.excluded,
    }
    if decision.mean_difference is not None:
        metadata["mean_difference"] = round(decision.mean_difference, 4)
    yield Verdict("gate", decision.publish, True, metadata)


def _snapshot(corpus: Corpus, writer: CorpusWriter) -> Iterator[Verdict]:
    state = SystemState(corpus)
    problems = list(state.live_problems)
    if state.live is not None and not problems:
        for kind in KINDS:
            manifest = read_manifest(corpus.store.indexes.fetch(getattr(state.live, kind)))
            if manifest.ids_digest != state.live.chunks_digest:
                problems.append(f"the {kind} index holds other chunks than snapshot {state.live.number} names")
    yield Verdict("is_whole", not problems, True, {"problems": dg.MetadataValue.json(problems)})
    left = [one for one in analyse(state, corpus.settings.target_state) if one.severity > Severity.LOW]
    types = {"drift": dg.MetadataValue.json([one.type for one in left])}
    yield Verdict("is_current", not left, False, ids_metadata([one for issue in left for one in issue.ids]) | types)
    if not left:
        record_agreement(corpus)
    found = freshness(corpus)
    yield Verdict("is_fresh", found.level == "fresh", False, {"reason": found.said, "level": found.level})


audit_ragas_report = audit(
    "ragas_report",
    {"gate": "The candidate's answers are not worse than live's by more than the allowed drop, query by query."},
    _gate,
)
audit_snapshot = audit(
    "snapshot",
    {
        "is_whole": "Everything that live names is there, and its indexes hold the same chunks as its table.",
        "is_current": "Another look at everything finds nothing left to do: live is what sources and settings ask for.",
        "is_fresh": "The corpus was known to agree with its sources within its own `freshness` limits.",
    },
    _snapshot,
    informative={"is_current", "is_fresh"},
)
