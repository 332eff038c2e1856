"""The gate: whether the candidate answers well enough to replace live. It holds back changes, never removals."""

from collections.abc import Iterator

from rag_assets.checks.shapes import Verdict, audit
from resources.corpus import Corpus
from resources.materialisation.report import decide
from resources.store.writer import CorpusWriter


def _gate(corpus: Corpus, writer: CorpusWriter) -> Iterator[Verdict]:
    decision = decide(corpus)
    yield Verdict(
        "gate",
        decision.publish,
        True,
        {
            "reason": decision.reason,
            "compared_queries": decision.compared,
            "excluded_queries": decision.excluded,
            "mean_difference": decision.mean_difference,
            "allowed_drop": corpus.settings.evaluation.allowed_drop,
        },
    )


audit_ragas_report = audit(
    "ragas_report",
    {"gate": "The candidate's answers are not worse than live's by more than the allowed drop, query by query."},
    _gate,
)
