"""A build from an empty store, against sentence-transformers embedding the very same chunks and doing nothing else."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import data, made, measure
from benchmarks.measure import Row, WrongAnswerError, hottest
from resources.chunking.base import embedding_input
from resources.corpus import Corpus, open_corpus
from resources.embedding.checkpoint import DEFAULT_MODEL, open_checkpoint
from resources.store.tables import CHUNKS

WARM_DOCUMENTS = 20
BATCH = 32
SAME = 0.999


def run(work: Path, full: bool) -> Iterator[Row]:
    """Build, and let the baseline encode the chunks, in turn; both are warm and have their model loaded."""
    import torch
    from sentence_transformers import SentenceTransformer

    threads = torch.get_num_threads()
    documents, passes = (1000, 3) if full else (60, 2)
    theirs = SentenceTransformer(str(open_checkpoint(DEFAULT_MODEL).path), device="cpu")
    warm, _, _ = _built(work / "warm", data.beir(work / "warm-beir", WARM_DOCUMENTS))
    theirs.encode(_texts(warm)[1], batch_size=BATCH)
    source = data.beir(work / "beir", documents) if documents < 1000 else data.collection("pubmedqa")
    indexed, published, encoded, chunks = [], [], [], 0
    for turn in range(passes):
        corpus, to_indexes, to_published = _built(work / str(turn), source)
        ids, texts = _texts(corpus)
        torch.set_num_threads(threads)  # the baseline gets every core, whatever ours did with them
        start = time.perf_counter()
        vectors = theirs.encode(texts, batch_size=BATCH)
        encoded.append(time.perf_counter() - start)
        _compare(corpus, ids, vectors)
        indexed.append(to_indexes)
        published.append(to_published)
        chunks = len(texts)
    profile = hottest(lambda: _built(work / "profile", source)) if measure.profiling else ""
    against = f"SentenceTransformer.encode(batch_size={BATCH}) alone"
    facts = {"chunks": chunks, "chunks_per_second": round(chunks / float(np.median(indexed)), 1)}
    what = f"{documents:,} PubMedQA documents, empty store to"
    yield Row(f"{what} finished indexes", "s", indexed, against, encoded, ratio=0.6, facts=facts, profile=profile)
    yield Row(f"{what} evaluated ({documents:,} questions) and published", "s", published, against, encoded, ratio=1.0)


def _built(folder: Path, source: Path) -> tuple[Corpus, float, float]:
    """Build a corpus; return it, and the seconds until its indexes were audited and until it was published."""
    loaded = made.settings(folder, {"type": "beir", "path": str(source)})
    start = time.time()
    ends = made.build(loaded)
    whole = time.time() - start
    return open_corpus(loaded, made.NAME), max(end for step, end in ends.items() if "_index" in step) - start, whole


def _texts(corpus: Corpus) -> tuple[list[str], list[str]]:
    rows = corpus.store.rows(CHUNKS, ("chunk_id", "heading", "text")).to_pylist()
    return [row["chunk_id"] for row in rows], [embedding_input(row["heading"], row["text"]) for row in rows]


def _compare(corpus: Corpus, ids: list[str], theirs: np.ndarray) -> None:
    """Both must have made the same vectors."""
    rows = corpus.store.rows(corpus.embeddings, ("chunk_id", "pooled"))
    places = {one: at for at, one in enumerate(rows["chunk_id"].to_pylist())}
    ours = rows["pooled"].combine_chunks().flatten().to_numpy().reshape(len(places), -1)
    cosines = (ours[[places[one] for one in ids]] * theirs).sum(axis=1)
    if cosines.min() < SAME:
        raise WrongAnswerError(f"a vector has a cosine of {cosines.min():.4f} to the baseline's")
