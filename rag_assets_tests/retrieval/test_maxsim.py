import time

import numpy as np
import pytest

from rag_assets_tests.retrieval.built_corpus import BuiltCorpus
from resources.embedding.codec import TokenCodec
from resources.retrieval.maxsim import maxsim

CODEC = TokenCodec(None)


def _unit(rng: np.random.Generator, *shape: int) -> np.ndarray:
    vectors = rng.standard_normal(shape).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def test_maxsim_equals_its_definition() -> None:
    rng = np.random.default_rng(1)
    query = _unit(rng, 5, 16)
    passages = [np.rint(_unit(rng, length, 16) * 127).astype(np.int8) for length in (1, 7, 3)]
    expected = [np.mean([max(float(t @ (p / 127)) for p in passage) for t in query]) for passage in passages]
    assert maxsim(query, passages, CODEC) == pytest.approx(expected, abs=1e-5)


def test_no_passages() -> None:
    assert maxsim(_unit(np.random.default_rng(1), 3, 16), [], CODEC).shape == (0,)


def test_a_hundred_passages_take_less_than_ten_milliseconds() -> None:
    rng = np.random.default_rng(2)
    passages = [rng.integers(-127, 128, (240, 64), dtype=np.int8) for _ in range(100)]
    query = _unit(rng, 20, 64)
    seconds = []
    for _ in range(30):
        started = time.perf_counter()
        maxsim(query, passages, CODEC)
        seconds.append(time.perf_counter() - started)
    assert min(seconds) <= 0.010


def test_a_passage_covers_its_own_words_best(topics: BuiltCorpus) -> None:
    rows = list(topics.rows.values())[:30]
    stored = topics.token_vectors([row.chunk_id for row in rows])
    for row in rows[::6]:
        tokens = topics.encoder.encode_queries([row.text[:200]]).tokens[0]
        scores = maxsim(tokens, [stored[one.chunk_id] for one in rows], topics.encoder.codec)
        assert rows[int(scores.argmax())].document_id == row.document_id
