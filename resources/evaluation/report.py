"""Evaluating: judged queries are asked of several pipelines, and the outcome gets its three forms on disk.

Here: running the queries, and reading and writing JSON, table and page. Not here: what an evaluation holds (`outcome`),
a metric's definition (`metrics`, `ragas_metrics`), how the page looks (`page`), and what follows (`gate`).
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from resources.embedding.encoder import Encoder, QueryEncoding
from resources.errors import StoreError
from resources.evaluation.metrics import DEPTH, means, per_query
from resources.evaluation.outcome import PER_QUERY, Evaluation
from resources.evaluation.page import render
from resources.evaluation.ragas_metrics import Contexts, RagasFigures, measure, unavailable
from resources.evaluation.sample import fixed_sample
from resources.retrieval.candidates import Candidates
from resources.retrieval.pipelines import Hit, find_pipeline, retrieve, retrieve_from
from resources.retrieval.settings import RetrievalSettings
from resources.retrieval.view import RetrievalView
from resources.sources.base import JudgedQuery

FORMAT = 1
BLOCK = 64
ENCODED_BLOCKS = 16
RAGAS_SHARE, RAGAS_LEAST, RAGAS_MOST = 8, 20, 50
LATENCY_SHARE, LATENCY_LEAST, LATENCY_MOST = 20, 10, 50
LATENCY_K = 10
RAGAS_K = 10
RAGAS_PASSAGES = 100

Progress = Callable[[int, int], None]


def evaluate(
    view: RetrievalView,
    judged: Sequence[JudgedQuery],
    pipelines: Sequence[str],
    settings: RetrievalSettings | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Ask every query of every pipeline. `judged`: relevant documents by document id.

    Latency is measured on a fixed sample of the queries, one at a time: a twentieth of them, 10 to 50. RAGAS is
    computed on an eighth, 20 to 50, so both cost seconds whatever the set. `progress` is told queries asked and queries
    in all. Raises SettingsError for an unknown pipeline, and what `retrieve` raises.
    """
    for name in pipelines:
        find_pipeline(name)
    chosen = settings or RetrievalSettings()
    asked = [one for one in judged if any(grade > 0 for grade in one.relevant.values())]
    rankings = _rankings(view, asked, pipelines, chosen, progress)
    judgments = {one.query_id: one.relevant for one in asked}
    scores = {name: per_query(judgments, ranking) for name, ranking in rankings.items()}
    timed = fixed_sample(asked, min(max(len(asked) // LATENCY_SHARE, LATENCY_LEAST), LATENCY_MOST))
    read = fixed_sample(asked, min(max(len(asked) // RAGAS_SHARE, RAGAS_LEAST), RAGAS_MOST))
    latencies = {name: _latencies(view, timed, name, chosen) for name in pipelines}
    ragas = _ragas(view, read, pipelines, chosen)
    return Evaluation(
        queries=len(asked),
        left_out=len(judged) - len(asked),
        per_query=_table(asked, rankings, scores),
        means={
            name: {**means(scores[name]), "latency_ms": _percentiles(latencies[name]), **ragas[name].means}
            for name in pipelines
        },
        latencies=latencies,
        ragas_queries=max((one.queries for one in ragas.values()), default=0),
        ragas_note=next((one.note for one in ragas.values() if one.note), ""),
    )


def ask(
    view: RetrievalView, judged: Sequence[JudgedQuery], pipelines: Sequence[str], settings: RetrievalSettings
) -> pa.Table:
    """Return the rows of `Evaluation.per_query` alone: no latencies, no RAGAS, nothing to wait for."""
    rankings = _rankings(view, judged, pipelines, settings, None)
    judgments = {one.query_id: one.relevant for one in judged}
    return _table(judged, rankings, {name: per_query(judgments, ranking) for name, ranking in rankings.items()})


def write_report(evaluation: Evaluation, folder: Path, live: Evaluation | None = None) -> None:
    """Write `per_query.parquet`, `report.html` and, last, `report.json`: a folder that has it is complete.

    With `live`, the page compares the two. Raises StoreError when the folder cannot be written.
    """
    content = {"format": FORMAT, **evaluation.as_json(), "latency_samples_ms": evaluation.latencies}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(evaluation.per_query, folder / "per_query.parquet", compression="zstd")
        (folder / "report.html").write_text(render(evaluation, live), "utf-8")
        draft = folder / ".report.json"
        draft.write_text(json.dumps(content, indent=1), "utf-8")
        draft.replace(folder / "report.json")
    except OSError as error:
        raise StoreError(
            f"report {folder} cannot be written ({error.strerror}): free space or fix its rights"
        ) from error


def read_evaluation(folder: Path) -> Evaluation:
    """Read what `write_report` wrote. Raises StoreError when it is missing, damaged or of another format."""
    try:
        content = json.loads((folder / "report.json").read_text("utf-8"))
        if content["format"] != FORMAT:
            raise StoreError(f"report {folder} has format {content['format']}, not {FORMAT}: evaluate again")
        return Evaluation(
            queries=content["queries"],
            left_out=content["left_out"],
            per_query=pq.read_table(folder / "per_query.parquet"),
            means=content["pipelines"],
            latencies=content["latency_samples_ms"],
            ragas_queries=content["ragas"]["queries"],
            ragas_note=content["ragas"]["note"],
        )
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise StoreError(f"report {folder} cannot be read ({error}): delete it and evaluate again") from error


def _rankings(
    view: RetrievalView,
    asked: Sequence[JudgedQuery],
    pipelines: Sequence[str],
    settings: RetrievalSettings,
    progress: Progress | None,
) -> dict[str, dict[str, list[str]]]:
    """Return the best documents by query id by pipeline. A block of queries is encoded and searched once for all."""
    rankings: dict[str, dict[str, list[str]]] = {name: {} for name in pipelines}
    for start in range(0, len(asked), BLOCK):
        block = asked[start : start + BLOCK]
        candidates = _candidates(view, block, pipelines, settings, max(settings.depth, DEPTH))
        for name in pipelines:
            for query, hits in zip(block, retrieve_from(candidates, pipeline=name, k=DEPTH), strict=True):
                rankings[name][query.query_id] = [hit.document_id for hit in hits]
        if progress is not None:
            progress(start + len(block), len(asked))
    return rankings


def _candidates(
    view: RetrievalView, asked: Sequence[JudgedQuery], pipelines: Sequence[str], settings: RetrievalSettings, depth: int
) -> Candidates:
    """Return what the pipelines share. Snapshot after snapshot is asked the same, so the encoding is remembered."""
    candidates = Candidates(view, [one.text for one in asked], settings, depth)
    if any("dense_index" in find_pipeline(name).needs for name in pipelines):
        candidates.encoding = _encoded(view.encoder, tuple(candidates.queries))
    return candidates


@lru_cache(maxsize=ENCODED_BLOCKS)
def _encoded(encoder: Encoder, queries: tuple[str, ...]) -> QueryEncoding:
    return encoder.encode_queries(queries)


def _latencies(
    view: RetrievalView, sample: Sequence[JudgedQuery], pipeline: str, settings: RetrievalSettings
) -> list[float]:
    """Return the milliseconds of each query; the first is asked once more than the others, to open what opens late."""
    for query in sample[:1]:
        retrieve(view, [query.text], pipeline=pipeline, k=LATENCY_K, settings=settings)
    milliseconds = []
    for query in sample:
        started = time.perf_counter()
        retrieve(view, [query.text], pipeline=pipeline, k=LATENCY_K, settings=settings)
        milliseconds.append((time.perf_counter() - started) * 1000)
    return milliseconds


def _percentiles(milliseconds: Sequence[float]) -> dict[str, float]:
    if not milliseconds:
        return {"p50": 0.0, "p95": 0.0}
    p50, p95 = np.percentile(milliseconds, [50, 95])
    return {"p50": float(p50), "p95": float(p95)}


def _ragas(
    view: RetrievalView, sample: Sequence[JudgedQuery], pipelines: Sequence[str], settings: RetrievalSettings
) -> dict[str, RagasFigures]:
    """Return RAGAS' means by pipeline: documents by id, passages by text, ten of each.

    Judgments name documents, not passages, so every passage of a relevant document stands for a relevant one. Queries
    with more than a hundred of those are left out, which bounds the comparisons of texts.
    """
    note = unavailable()
    if note or not sample:
        return {name: RagasFigures(0, note) for name in pipelines}
    passages = _passages(view, {key for one in sample for key, grade in one.relevant.items() if grade > 0})
    relevant = {one.query_id: [key for key, grade in one.relevant.items() if grade > 0] for one in sample}
    texts = {query: [text for key in keys for text in passages.get(key, ())] for query, keys in relevant.items()}
    kept = [one for one in sample if 0 < len(texts[one.query_id]) <= RAGAS_PASSAGES]
    figures = {}
    candidates = _candidates(view, kept, pipelines, settings, max(settings.depth, RAGAS_K))
    for name in pipelines:
        documents = retrieve_from(candidates, pipeline=name, k=RAGAS_K)
        chunks = retrieve_from(candidates, pipeline=name, k=RAGAS_K, group_by_document=False)
        figures[name] = measure(
            [
                Contexts([hit.document_id for hit in ids], relevant[one.query_id], read, texts[one.query_id])
                for one, ids, read in zip(kept, documents, _texts(view, chunks), strict=True)
            ]
        )
    return figures


def _passages(view: RetrievalView, documents: set[str]) -> dict[str, list[str]]:
    """Return the texts of all passages of each document."""
    entries = view.dense.entries()
    wanted = entries.filter(pc.is_in(entries["document_id"], pa.array(sorted(documents), pa.string())))
    found: dict[str, list[str]] = {}
    for row in view.chunks(wanted["chunk_id"].to_pylist()).values():
        found.setdefault(row.document_id, []).append(row.text)
    return found


def _texts(view: RetrievalView, hits: Sequence[Sequence[Hit]]) -> list[list[str]]:
    rows = view.chunks(list(dict.fromkeys(hit.chunk_id for one in hits for hit in one)))
    return [[rows[hit.chunk_id].text for hit in one] for one in hits]


def _table(
    asked: Sequence[JudgedQuery],
    rankings: Mapping[str, Mapping[str, list[str]]],
    scores: Mapping[str, Mapping[str, Mapping[str, float]]],
) -> pa.Table:
    rows = [
        {
            "query_id": one.query_id,
            "text": one.text,
            "pipeline": name,
            **scores[name][one.query_id],
            "relevant": [key for key, grade in one.relevant.items() if grade > 0],
            "retrieved": ranking[one.query_id],
        }
        for name, ranking in rankings.items()
        for one in asked
    ]
    return pa.Table.from_pylist(rows, schema=PER_QUERY)
