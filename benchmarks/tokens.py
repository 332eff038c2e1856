"""Token vectors: MaxSim over what the store keeps, against numpy over float16 matrices in memory, and their size."""

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import data, made
from benchmarks.made import Shape
from benchmarks.measure import Row, WrongAnswerError, interleaved
from resources.corpus import open_corpus
from resources.retrieval.maxsim import maxsim
from resources.retrieval.snapshot import open_live

TOKENS, DIMENSION = 240, 384
CANDIDATES = 100
IN_MEMORY = 1_000


def run(work: Path, full: bool) -> Iterator[Row]:
    """Score random chunks of a corpus for PubMedQA's questions."""
    chunks, asked, passes = (10_000, 100, 5) if full else (2_000, 50, 3)
    shape = Shape(chunks, tokens=TOKENS)
    folder = made.once(work.parent / f"tokens-{chunks}", lambda draft: made.synthetic(draft, shape))
    corpus = open_corpus(made.reopened(folder), made.NAME)
    view = open_live(corpus.store)
    questions = [one.text for one in data.questions()[:asked]]
    encoded = view.encoder.encode_queries(questions)
    rng = random.Random(data.SEED)
    ids = corpus.store.rows(corpus.embeddings, ("chunk_id",))["chunk_id"].to_pylist()
    wanted = [rng.sample(ids, CANDIDATES) for _ in questions]
    numbers = np.random.default_rng(data.SEED)
    matrices = numbers.standard_normal((IN_MEMORY, TOKENS, DIMENSION), dtype=np.float32).astype(np.float16)
    places = [rng.sample(range(IN_MEMORY), CANDIDATES) for _ in questions]
    queries = [numbers.standard_normal((len(one), DIMENSION), dtype=np.float32) for one in encoded.tokens]

    def ours(at: int) -> np.ndarray:
        stored = view.token_vectors(wanted[at])
        return maxsim(encoded.tokens[at], [stored[one] for one in wanted[at]], view.encoder.codec)

    def numpy_alone(at: int) -> list[float]:
        query = queries[at].T
        return [float((matrices[place].astype(np.float32) @ query).max(axis=0).mean()) for place in places[at]]

    _check(view.token_vectors(wanted[0]), wanted[0], encoded.tokens[0], ours(0))
    times = interleaved([ours, numpy_alone], range(asked), passes)
    yield Row(
        f"MaxSim, {CANDIDATES} chunks × {TOKENS} tokens, read from a store of {chunks:,}",
        "ms",
        times.per_pass(0, "ms"),
        "numpy, float16 matrices in memory",
        times.per_pass(1, "ms"),
        ratio=1.0,
        most=10,
        facts=times.cpu("ms"),
        profile=times.profile,
    )
    table = folder / ".rag" / "corpora" / made.NAME / f"{corpus.embeddings.name}.lance"
    size = sum(file.stat().st_size for file in table.rglob("*") if file.is_file())
    yield Row(
        f"disk for {chunks:,} chunks × {TOKENS} tokens, pooled vectors included",
        "MB",
        [size / 1e6],
        "raw float16 matrices",
        [chunks * TOKENS * DIMENSION * 2 / 1e6],
        ratio=0.12,
    )


def _check(stored: dict[str, np.ndarray], ids: list[str], query: np.ndarray, found: np.ndarray) -> None:
    expected = [float((stored[one].astype(np.float32) / 127 @ query.T).max(axis=0).mean()) for one in ids]
    if not np.allclose(found, expected, atol=1e-4):
        raise WrongAnswerError("MaxSim differs from its definition")
