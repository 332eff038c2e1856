"""The `ragas_report` asset: the candidate is asked the judged queries, and the gate compares it with live.

A report is kept under the digest of everything it depends on, so the same candidate is not asked twice. Not here: metrics, the page
and the gate's arithmetic (`resources.evaluation`).
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from resources.corpus import Corpus
from resources.errors import SettingsError, SourceError, StoreError
from resources.evaluation.gate import GateDecision, gate
from resources.evaluation.report import Evaluation, evaluate, read_evaluation, write_report
from resources.evaluation.sample import fixed_sample
from resources.identity import digest
from resources.materialisation.base import Materialised
from resources.materialisation.candidate import open_candidate
from resources.reconciliation.listing import document_id
from resources.reconciliation.observe import SystemState
from resources.retrieval.snapshot import SnapshotView, served_documents
from resources.sources.base import EvaluationSource, JudgedQuery
from resources.store.writer import CorpusWriter

SMALL_CHANGE = 0.1


def make_report(corpus: Corpus, writer: CorpusWriter) -> Materialised:
    """Evaluate the candidate, unless the very same was evaluated before."""
    state = SystemState(corpus)
    asked = questions(corpus, state)
    folder = corpus.store.reports / report_name(corpus, state, asked)
    if not (folder / "report.json").is_file():
        view = open_candidate(corpus, state, writer.run)
        evaluation = evaluate(view, asked, corpus.settings.evaluation.pipelines, corpus.settings.retrieval)
        write_report(evaluation, folder, live=_live_evaluation(corpus, state))
    evaluation = read_evaluation(folder)
    figures = {f"{pipeline} {name}": float(value) for pipeline, means in evaluation.means.items() for name, value in means.items() if isinstance(value, int | float)}
    return Materialised(len(asked), folder.name, {"queries": len(asked), **figures, "report": str(folder / "report.html")})
