"""A corpus of a million chunks: searching its vectors, looking at it, and what it takes of memory.

The corpus is synthetic (`made.synthetic`): vectors of a `Cloud`, short texts, four token vectors a chunk.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import data, made, measure
from benchmarks.made import Cloud, Shape
from benchmarks.measure import Row, WrongAnswerError, hottest, in_child, interleaved, memory, reset_peak
from benchmarks.search import by_hand_dense
from resources.corpus import Corpus, open_corpus
from resources.retrieval.pipelines import retrieve
from resources.retrieval.snapshot import open_live

TOP = 10
QUERY_SEED = 1 << 40


class Looked(NamedTuple):
    """Seconds of each look, how much memory the first added at its peak, and where the time goes."""

    seconds: list[float]
    growth_mb: float
    profile: str


def run(work: Path, full: bool) -> Iterator[Row]:
    """Make the corpus, unless it is there, and measure on it in processes of their own."""
    chunks, asked, passes = (1_000_000, 500, 5) if full else (60_000, 200, 3)
    folder = work.parent / f"million-{chunks}"
    made.once(folder, lambda draft: in_child(make, draft, chunks))
    facts = json.loads((folder / made.MADE).read_text("utf-8"))
    yield from _search(open_corpus(made.reopened(folder), made.NAME), asked, passes, facts)
    looked = in_child(look, folder, passes, profile=measure.profiling)
    what = f"a look at {chunks:,} healthy chunks"
    yield Row(what, "s", looked.seconds, most=2, profile=looked.profile)
    yield Row(f"{what}, memory added", "MB", [looked.growth_mb], most=500)
    total, private = in_child(loaded, folder)
    facts = {"without_mapped_files": round(private)}
    yield Row(f"a loaded snapshot of {chunks:,} chunks", "MB", [total], most=1536, facts=facts)


def make(folder: Path, chunks: int) -> None:
    """Make the corpus. For a process of its own."""
    measure.quieten()
    made.synthetic(folder, Shape(chunks))


def _search(corpus: Corpus, asked: int, passes: int, facts: dict[str, Any]) -> Iterator[Row]:
    """Search one vector at a time on one thread, ours and FAISS on the same files, and compare with an exact search."""
    import faiss

    faiss.omp_set_num_threads(1)
    view = open_live(corpus.store)
    queries = Cloud(corpus.model.dimension).draw(asked, QUERY_SEED)
    raw = by_hand_dense(view)
    ones = [query[None] for query in queries]
    times = interleaved([lambda one: view.dense.search(one, TOP), lambda one: raw(one, TOP)], ones, passes)
    exact_ids, best = _exact(corpus, queries)
    found = [view.dense.search(one, TOP)[0] for one in ones]
    for hits, one in zip(found, ones, strict=True):
        by_hand = np.sort(np.hstack([scores[0] for scores, _ in raw(one, TOP)]))[::-1][:TOP]
        if not np.allclose([hit.score for hit in hits], by_hand, atol=1e-4):
            raise WrongAnswerError("a search finds other scores than FAISS called by hand")
    recall = np.mean(
        [len({hit.chunk_id for hit in hits} & set(ids)) / TOP for hits, ids in zip(found, exact_ids, strict=True)]
    )
    if recall < 0.5 or any(hits[0].score > score + 0.05 for hits, score in zip(found, best, strict=True)):
        raise WrongAnswerError(f"recall@{TOP} is {recall:.3f}")
    shape = f"{view.manifest.counts['chunks']:,} × {corpus.model.dimension}"
    what = f"vector search, {shape}, one thread"
    against = "FAISS by hand on the same files, not joined"
    mine, facts = times.per_pass(0, "ms"), facts | times.cpu("ms")
    yield Row(what, "ms", mine, against, times.per_pass(1, "ms"), ratio=1.1, facts=facts, profile=times.profile)
    yield Row(f"{what}, p95", "ms", times.per_pass(0, "ms", 95), against, times.per_pass(1, "ms", 95), most=5)
    yield Row(f"recall@{TOP}, {shape}", "", [float(recall)], least=0.97)


def _exact(corpus: Corpus, queries: np.ndarray) -> tuple[list[list[str]], np.ndarray]:
    """Return the chunk ids of each query's nearest vectors, and the best score, by reading all of them."""
    ids: list[str] = []
    scores = np.full((len(queries), TOP), -np.inf, dtype=np.float32)
    places = np.full((len(queries), TOP), -1)
    for batch in corpus.store.batches(corpus.embeddings, ("chunk_id", "pooled")):
        vectors = batch.column("pooled").flatten().to_numpy().reshape(len(batch), -1)
        every = np.hstack([scores, queries @ vectors.T])
        numbers = np.hstack([places, np.tile(np.arange(len(ids), len(ids) + len(batch)), (len(queries), 1))])
        best = np.argpartition(-every, TOP, axis=1)[:, :TOP]
        scores, places = np.take_along_axis(every, best, 1), np.take_along_axis(numbers, best, 1)
        ids += batch.column("chunk_id").to_pylist()
    return [[ids[place] for place in row] for row in places], scores.max(axis=1)


def look(folder: Path, passes: int, *, profile: bool) -> Looked:
    """Look as a process that lives on does. For a process of its own, because its memory is measured."""
    measure.quieten()
    settings = made.reopened(folder)
    opened = open_corpus(settings, made.NAME)
    _ = opened.chunker, opened.model
    import faiss  # noqa: F401 - so that what is added is the corpus and no library
    import tantivy  # noqa: F401

    reset_peak()
    before = memory()
    seconds = []
    growth = 0.0
    for _ in range(passes + 1):
        start = time.perf_counter()
        made.healthy(settings)
        seconds.append(time.perf_counter() - start)
        growth = growth or memory("VmHWM") - before
    return Looked(seconds[1:], growth, hottest(lambda: made.healthy(settings)) if profile else "")


def loaded(folder: Path) -> tuple[float, float]:
    """Open what is live, ask it a few questions of every pipeline, return resident MB with and without mapped files.

    For a process of its own.
    """
    measure.quieten()
    view = open_live(open_corpus(made.reopened(folder), made.NAME).store)
    for question in data.questions()[:20]:
        for pipeline in ("bm25", "basic", "hybrid", "colbert"):
            hits = retrieve(view, [question.text], pipeline=pipeline)[0]
            view.chunks([hit.chunk_id for hit in hits])
    return memory(), memory("RssAnon")
