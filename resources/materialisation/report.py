"""The `ragas_report` asset: the candidate is asked the judged queries, and the gate compares it with live.

A report is kept under the digest of everything it depends on, so the same candidate is not asked twice. Not here:
metrics, the page and the gate's arithmetic (`resources.evaluation`).
"""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from resources.corpus import Corpus
from resources.errors import StoreError
from resources.evaluation.gate import GateDecision, gate
from resources.evaluation.outcome import PER_QUERY, Evaluation
from resources.evaluation.report import ask, evaluate, read_evaluation, write_report
from resources.materialisation.base import Materialised, MetricValue
from resources.materialisation.candidate import open_candidate
from resources.observability.progress import track
from resources.reconciliation.observe import SystemState
from resources.reconciliation.questions import questions, report_folder
from resources.retrieval.snapshot import open_live, served_documents
from resources.retrieval.view import RetrievalView
from resources.sources.base import JudgedQuery
from resources.store.writer import CorpusWriter


def make_report(corpus: Corpus, writer: CorpusWriter) -> Materialised:
    """Evaluate the candidate, unless the very same was evaluated before."""
    state = SystemState(corpus)
    folder = report_folder(corpus, state)
    if not (folder / "report.json").is_file():
        view = open_candidate(corpus, state, writer.run)
        evaluation = evaluate_view(corpus, view, questions(corpus, state), corpus.settings.evaluation.pipelines)
        write_report(evaluation, folder, live=_live_evaluation(corpus, state))
        corpus.store.reports.keep(folder.name)
    made = read_evaluation(folder)
    shown: dict[str, MetricValue] = {
        "queries": made.queries,
        **figures(made.means),
        "ragas": made.ragas_note or "measured",
    }
    return Materialised(made.queries, folder.name, shown | {"report": str(folder / "report.html")})


def evaluate_view(
    corpus: Corpus, view: RetrievalView, judged: Sequence[JudgedQuery], pipelines: Sequence[str]
) -> Evaluation:
    """Ask `view` every query of every pipeline, with the corpus's settings."""
    with track("evaluation", len(judged)) as progress:
        return evaluate(
            view, judged, pipelines, corpus.settings.retrieval, lambda done, _: progress.advance(done - progress.done)
        )


def figures(means: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Return the figures of all pipelines under one name each, for plotting."""
    return {
        f"{pipeline} {name}": float(value)
        for pipeline, measured in means.items()
        for name, value in measured.items()
        if isinstance(value, int | float)
    }


def decide(corpus: Corpus, state: SystemState | None = None) -> GateDecision:
    """Let the gate compare the candidate's evaluation with live, on the queries that both can be asked.

    A live that is damaged is not compared with: what replaces it must not wait for it.
    """
    state = state or SystemState(corpus)
    live = None if state.live_problems else state.live
    settings = corpus.settings.evaluation
    judged = questions(corpus, state)
    return gate(
        read_candidate_report(corpus, state).per_query,
        _live_answers(corpus, state, judged) if live is not None else None,
        state.searchable["document_id"].to_pylist(),
        served_documents(corpus.store, live) if live is not None else (),
        judged,
        allowed_drop=settings.allowed_drop,
        metric=settings.metric,
        pipeline=settings.pipeline,
    )


def _live_answers(corpus: Corpus, state: SystemState, judged: Sequence[JudgedQuery]) -> pa.Table:
    """Return how live answers the judged queries: from its report, and by asking it those that the report lacks."""
    reported = _live_evaluation(corpus, state)
    table = reported.per_query if reported is not None else PER_QUERY.empty_table()
    pipeline = corpus.settings.evaluation.pipeline
    known = set(table.filter(pc.equal(table["pipeline"], pipeline))["query_id"].to_pylist())
    missing = [one for one in judged if one.query_id not in known]
    if missing:
        asked = ask(open_live(corpus.store), missing, (pipeline,), corpus.settings.retrieval)
        table = pa.concat_tables([table, asked])
    return table


def _live_evaluation(corpus: Corpus, state: SystemState) -> Evaluation | None:
    live = state.live
    if live is None or live.report is None or not state.report_exists(live.report):
        return None
    return read_evaluation(corpus.store.reports.fetch(live.report))


def read_candidate_report(corpus: Corpus, state: SystemState) -> Evaluation:
    """Return the evaluation of the candidate as it is now; StoreError when it has not been evaluated."""
    folder = report_folder(corpus, state)
    if not (folder / "report.json").is_file():
        raise StoreError(f"corpus {corpus.name}: the candidate has not been evaluated; materialise ragas_report first")
    return read_evaluation(folder)
