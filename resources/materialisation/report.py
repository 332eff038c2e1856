"""The `ragas_report` asset: the candidate is asked the judged queries, and the gate compares it with live.

A report is kept under the digest of everything it depends on, so the same candidate is not asked twice. Not here:
metrics, the page and the gate's arithmetic (`resources.evaluation`).
"""

import json
from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from resources.corpus import Corpus
from resources.errors import SettingsError, StoreError
from resources.evaluation import ragas_metrics
from resources.evaluation.gate import GateDecision, gate
from resources.evaluation.outcome import PER_QUERY, Evaluation
from resources.evaluation.report import ask, evaluate, read_evaluation, write_report
from resources.evaluation.sample import fixed_sample
from resources.identity import digest
from resources.materialisation.base import Materialised, MetricValue
from resources.materialisation.candidate import open_candidate
from resources.observability.progress import track
from resources.reconciliation.listing import document_id
from resources.reconciliation.observe import SystemState
from resources.retrieval.snapshot import open_live
from resources.retrieval.view import RetrievalView
from resources.sources.base import EvaluationSource, JudgedQuery
from resources.store.writer import CorpusWriter

SMALL_CHANGE = 0.1


def make_report(corpus: Corpus, writer: CorpusWriter) -> Materialised:
    """Evaluate the candidate, unless the very same was evaluated before."""
    state = SystemState(corpus)
    folder = report_folder(corpus, state)
    if not (folder / "report.json").is_file():
        view = open_candidate(corpus, state, writer.run)
        evaluation = evaluate_view(corpus, view, questions(corpus, state), corpus.settings.evaluation.pipelines)
        write_report(evaluation, folder, live=_live_evaluation(corpus, state))
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
    """Let the gate compare the candidate's evaluation with live, on the queries that both can be asked."""
    state = state or SystemState(corpus)
    settings = corpus.settings.evaluation
    judged = questions(corpus, state)
    return gate(
        read_candidate_report(corpus, state).per_query,
        _live_answers(corpus, state, judged),
        state.searchable["document_id"].to_pylist(),
        judged,
        allowed_drop=settings.allowed_drop,
        metric=settings.metric,
        pipeline=settings.pipeline,
    )


def _live_answers(corpus: Corpus, state: SystemState, judged: Sequence[JudgedQuery]) -> pa.Table | None:
    """Return how live answers the judged queries: from its report, and by asking it those that the report lacks."""
    if state.live is None:
        return None
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
    return read_evaluation(corpus.store.reports / live.report)


def read_candidate_report(corpus: Corpus, state: SystemState) -> Evaluation:
    """Return the evaluation of the candidate as it is now; StoreError when it has not been evaluated."""
    folder = report_folder(corpus, state)
    if not (folder / "report.json").is_file():
        raise StoreError(f"corpus {corpus.name}: the candidate has not been evaluated; materialise ragas_report first")
    return read_evaluation(folder)


def report_folder(corpus: Corpus, state: SystemState) -> Path:
    """Return where the candidate's report lies: named for the candidate, the questions and the settings asked with.

    A candidate that live serves already keeps the report it was published with.
    """
    live = state.live
    if (
        live is not None
        and live.report is not None
        and live.content == state.content
        and state.report_exists(live.report)
    ):
        return corpus.store.reports / live.report
    asked = [(one.query_id, one.text, sorted(one.relevant.items())) for one in questions(corpus, state)]
    settings = corpus.settings
    name = digest(
        "report",
        state.content,
        json.dumps(asked),
        json.dumps(settings.evaluation.pipelines),
        settings.retrieval.model_dump_json(),
        ragas_metrics.unavailable(),
    )
    return corpus.store.reports / name


def questions(corpus: Corpus, state: SystemState) -> list[JudgedQuery]:
    """Return what the candidate is asked: a fixed sample after a small change, everything otherwise."""
    judged = judged_queries(corpus, set(state.searchable["document_id"].to_pylist()))
    return fixed_sample(judged, corpus.settings.evaluation.sample) if _is_small_change(state) else judged


def judged_queries(corpus: Corpus, documents: Container[str]) -> list[JudgedQuery]:
    """Return the judged queries that one of these documents is relevant for, by document id.

    From the settings' file when there is one, from the sources that have some otherwise.
    """
    file = corpus.settings.evaluation.set
    found = _from_file(corpus.base / file) if file is not None else _from_sources(corpus)
    kept = []
    for one in found:
        relevant = {key: grade for key, grade in one.relevant.items() if grade > 0 and key in documents}
        if relevant:
            kept.append(JudgedQuery(one.query_id, one.text, relevant))
    return kept


def _from_sources(corpus: Corpus) -> Iterator[JudgedQuery]:
    for source in corpus.sources:
        if isinstance(source, EvaluationSource):
            for one in source.judged_queries():
                relevant = {document_id(source, key): grade for key, grade in one.relevant.items()}
                yield JudgedQuery(f"{source.name}:{one.query_id}", one.text, relevant)


def _from_file(file: Path) -> Iterator[JudgedQuery]:
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"evaluation.set: {file} cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                row = json.loads(line)
                relevant = {str(key): int(grade) for key, grade in row["relevant"].items()}
                yield JudgedQuery(str(row["id"]), str(row["text"]), relevant)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                shape = '{"id": "q1", "text": "…", "relevant": {"DOCUMENT_ID": 1}}'
                raise SettingsError(f"evaluation.set: {file}:{number}: expected {shape} ({error!r})") from error


def _is_small_change(state: SystemState) -> bool:
    """Whether live was made alike and at most a tenth of its chunks differ from the candidate's."""
    live, tables = state.live, state.live_tables
    if live is None or tables is None or live.model_fingerprint != state.corpus.model.fingerprint:
        return False
    old, new = (set(table["chunk_id"].to_pylist()) for table in (tables.chunks, state.candidate.chunks))
    return len(old ^ new) <= SMALL_CHANGE * max(len(old), 1)
