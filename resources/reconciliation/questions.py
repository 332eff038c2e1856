"""What a candidate is asked before it is published, and under which name the answers are kept.

From the settings' file of judged queries when there is one, from the sources that have some otherwise. Nothing is asked
here (`resources.evaluation`).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow.compute as pc

from resources.corpus import Corpus
from resources.errors import SettingsError
from resources.evaluation import ragas_metrics
from resources.evaluation.sample import fixed_sample
from resources.identity import digest
from resources.reconciliation.duplicates import distinct, representatives
from resources.reconciliation.listing import document_id, judged_sources
from resources.reconciliation.observe import SystemState, without
from resources.sources.base import EvaluationSource, JudgedQuery
from resources.store.snapshots import Manifest
from resources.store.tables import DOCUMENTS

SMALL_CHANGE = 0.1


def report_folder(corpus: Corpus, state: SystemState) -> Path:
    """Return where the candidate's report lies; a candidate that live serves keeps the one it came with."""
    live = state.live
    names = [_report_name(corpus, state, asked) for asked in _question_sets(corpus, state)]
    if live is not None and live.report in names and live.content == state.content and state.report_exists(live.report):
        return corpus.store.reports.fetch(live.report)
    return corpus.store.reports.fetch(names[0])


def _report_name(corpus: Corpus, state: SystemState, asked: Sequence[JudgedQuery]) -> str:
    """Name a report for all it depends on: the candidate, the questions, and the settings they are asked with."""
    return digest(
        "report",
        state.content,
        json.dumps([(one.query_id, one.text, sorted(one.relevant.items())) for one in asked]),
        json.dumps(corpus.settings.evaluation.pipelines),
        corpus.settings.retrieval.model_dump_json(),
        ragas_metrics.unavailable(),
    )


def questions(corpus: Corpus, state: SystemState) -> list[JudgedQuery]:
    """Return what the candidate is asked: a fixed sample after a small change, everything otherwise."""
    return _question_sets(corpus, state)[0]


def _question_sets(corpus: Corpus, state: SystemState) -> list[list[JudgedQuery]]:
    """Return the questions to ask, and the other set that the same candidate may have been asked before."""
    everything = judged_queries(corpus, state.stands_for)
    sample = fixed_sample(everything, corpus.settings.evaluation.sample)
    return [sample, everything] if _is_small_change(state) else [everything, sample]


def judged_queries(corpus: Corpus, documents: Mapping[str, str]) -> list[JudgedQuery]:
    """Return the judged queries that one of these documents is relevant for, by the id of the one found for it.

    From the settings' file when there is one, from the sources that have some otherwise.
    """
    file = corpus.settings.evaluation.set
    found = _from_file(corpus.base / file) if file is not None else _from_sources(corpus)
    kept = []
    for one in found:
        relevant = {documents[key]: grade for key, grade in one.relevant.items() if grade > 0 and key in documents}
        if relevant:
            kept.append(JudgedQuery(one.query_id, one.text, relevant))
    return kept


def served_by(corpus: Corpus, manifest: Manifest) -> dict[str, str]:
    """Return what `judged_queries` needs for a snapshot: the documents it serves, by the id of the one found for it."""
    columns = ("document_id", "source", "text_hash", "principals", "status")
    rows = corpus.store.rows(DOCUMENTS, columns, version=manifest.documents_version)
    readable = without(rows.filter(pc.is_valid(rows["text_hash"])), "document_id", manifest.removed_documents)
    return representatives(readable, distinct(readable, apart=judged_sources(corpus)))


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
