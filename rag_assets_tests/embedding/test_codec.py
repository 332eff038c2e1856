"""The compact form keeps directions: stored token vectors, and MaxSim rankings, are nearly those of full vectors."""

from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import pytest

from resources.embedding import projection
from resources.embedding.checkpoint import DEFAULT_MODEL, open_checkpoint
from resources.embedding.codec import TokenCodec
from resources.embedding.fit_projection import fit
from resources.embedding.identity import CODEC_VERSION, model_identity


@pytest.fixture(scope="module")
def codec():
    return TokenCodec.for_model(model_identity(DEFAULT_MODEL))


@pytest.fixture(scope="module")
def passages():
    """The opening of every second help topic, as uncompressed token vectors, in float32."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(open_checkpoint(DEFAULT_MODEL).path), device="cpu")
    texts = [topic[:300] for topic in list(topics.values())[::2]]
    return [one.numpy() for one in model.encode(texts, output_value="token_embeddings", batch_size=16)]


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def test_the_shipped_projection_is_orthonormal_and_64_dimensional(codec):
    components = codec.projection.components
    assert components.shape == (384, 64) and components.dtype == np.float32
    assert np.allclose(components.T @ components, np.eye(64), atol=1e-5)


def test_a_token_takes_64_bytes_and_rounding_loses_next_to_nothing(codec, passages):
    tokens = np.concatenate(passages)
    stored = codec.encode(tokens)
    assert stored.dtype == np.int8 and stored.shape == (len(tokens), 64)
    assert cosines(codec.decode(stored), codec.project(tokens)).min() > 0.9995


def test_a_model_without_a_projection_keeps_its_dimension(passages):
    codec, tokens = TokenCodec(None), np.concatenate(passages)
    stored = codec.encode(tokens)
    assert stored.shape == tokens.shape
    assert cosines(codec.decode(stored), tokens).min() > 0.998


def test_maxsim_ranks_compact_vectors_like_full_ones(codec, passages):
    """A passage's first 12 tokens ask for it: it comes first, and the ranks of all passages agree."""

    def ranking(queries: list[np.ndarray], documents: list[np.ndarray]) -> np.ndarray:
        return np.array([[(query @ document.T).max(1).sum() for document in documents] for query in queries])

    exact, asked = TokenCodec(None), range(0, len(passages), 2)
    full = ranking([exact.project(passages[n][:12]) for n in asked], [exact.project(one) for one in passages])
    compact = ranking(
        [codec.project(passages[n][:12]) for n in asked], [codec.decode(codec.encode(one)) for one in passages]
    )
    assert (compact.argmax(1) == np.array(asked)).mean() > 0.95
    ranks = [scores.argsort(1).argsort(1) for scores in (full, compact)]
    assert np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(*ranks, strict=True)]) > 0.85


def test_another_projection_or_codec_is_another_fingerprint(monkeypatch):
    before = model_identity(DEFAULT_MODEL).fingerprint
    monkeypatch.setattr("resources.embedding.identity.CODEC_VERSION", CODEC_VERSION + "-next")
    assert model_identity(DEFAULT_MODEL).fingerprint != before
    monkeypatch.undo()
    monkeypatch.setattr("resources.embedding.identity.shipped_projection", lambda weights: None)
    assert model_identity(DEFAULT_MODEL).fingerprint != before


def test_every_shipped_projection_is_there():
    for weights in projection.SHIPPED:
        assert projection.shipped_projection(weights) is not None
    data = Path(projection.__file__).parent / "data"
    assert {file.name for file in data.glob("*.npz")} == set(projection.SHIPPED.values())


def test_fitting_finds_the_directions_that_vary():
    random = np.random.default_rng(7)
    basis, _ = np.linalg.qr(random.normal(size=(20, 20)))
    spread = np.r_[np.full(3, 5.0), np.full(17, 0.1)]
    vectors = random.normal(size=(5000, 20)) * spread @ basis.T + 3.0
    mean, components = fit(iter(np.array_split(vectors, 7)), 20, 3)
    assert np.allclose(mean, vectors.mean(0), atol=1e-4)
    overlap = np.linalg.norm(basis[:, :3].T @ components) ** 2
    assert overlap == pytest.approx(3, abs=0.01), "both span the same 3-dimensional space"
