"""Fits a calibration on a model's own output: `python -m resources.reconciliation.audit.calibrate FILE.npz`.

The text is neutral to every corpus: Python's own documentation, cut into chunks of about 200 and 48 tokens. The file
that ships is made by this command; other models are fitted when they are first audited. The one threshold lies between
what healthy chunks of a half of the text score and what the same chunks score with each other's vectors, so no corpus
that is audited decides it.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from resources.chunking.base import chunk_document, embedding_input
from resources.chunking.settings import ChunkingSettings
from resources.embedding.checkpoint import DEFAULT_MODEL
from resources.embedding.codec import TokenCodec
from resources.embedding.encoder import EncodedBatch, Encoder, load_encoder
from resources.embedding.identity import ModelIdentity
from resources.embedding.tokenizer import Tokenizer
from resources.identity import digest
from resources.observability.progress import track
from resources.reconciliation.audit.calibration import Calibration, cosines
from resources.reconciliation.audit.text import static_embeddings
from resources.sources.pydoc import PydocOptions, PydocSource

SIZES = (200, 48)
SHIPPED_CHUNKS = 3000
FITTED_CHUNKS = 1000
RIDGE = 1e-3
RARE = 1 / 3
AT_ONCE = 256


def neutral_chunks(tokenizer: Tokenizer, of_a_size: int) -> list[str]:
    """Return chunks of Python's documentation, the same ones each time, short and long, shuffled."""
    source = PydocSource("neutral", PydocOptions())
    documents = []
    for item in source.discover():
        with source.open(item) as opened:
            documents.append((opened.title or "", opened.stream.read().decode()))
    chosen: set[str] = set()
    for size in SIZES:
        settings = ChunkingSettings(tokens=min(size, tokenizer.max_tokens), overlap=0)
        texts = {
            embedding_input(chunk.heading, chunk.text)
            for title, text in documents
            for chunk in chunk_document(title, text, tokenizer, settings)
        }
        chosen.update(sorted(texts, key=digest)[:of_a_size])
    return sorted(chosen, key=digest)


def fit(encoder: Encoder, of_a_size: int = FITTED_CHUNKS) -> Calibration:
    """Embed neutral chunks, `of_a_size` of each size, and fit the model's calibration on them: a minute or two."""
    texts = neutral_chunks(encoder.tokenizer, of_a_size)
    ids = encoder.tokenizer.ids(texts)
    order = sorted(range(len(texts)), key=lambda one: len(ids[one]))
    pooled = np.empty((len(texts), encoder.identity.dimension), np.float32)
    tokens: list[np.ndarray] = [np.empty(0)] * len(texts)
    with track(f"calibration of {encoder.identity.name}", len(texts)) as progress:
        for start in range(0, len(order), AT_ONCE):
            group = order[start : start + AT_ONCE]
            encoded = encoder.encode([texts[one] for one in group])
            pooled[group] = encoded.pooled
            for one, matrix in zip(group, encoded.tokens, strict=True):
                tokens[one] = matrix
            progress.advance(len(group))
    return fit_on(encoder.identity, ids, EncodedBatch(tokens, pooled))


def fit_on(identity: ModelIdentity, ids: Sequence[Sequence[int]], encoded: EncodedBatch) -> Calibration:
    """Fit a calibration on texts (token ids) and what the model made of them."""
    pooled = encoded.pooled
    means = np.stack([TokenCodec.decode(matrix).mean(axis=0) for matrix in encoded.tokens])
    half = np.arange(len(pooled)) % 2 == 0
    threshold = _threshold(*_ridge([(pooled[half], means[half])]), pooled[~half], means[~half])
    relation, relation_bias = _ridge([(pooled, means)])
    text, text_bias = _ridge(_token_pairs(static_embeddings(identity), ids, encoded.tokens))
    mean = pooled.mean(axis=0)
    _, directions = np.linalg.eigh(np.cov((pooled - mean).T))
    return Calibration(
        relation=relation,
        relation_bias=relation_bias,
        relation_min=threshold,
        own=text[: identity.dimension],
        context=text[identity.dimension :],
        text_bias=text_bias,
        mean=mean,
        rare=directions[:, : int(identity.dimension * RARE)].astype(np.float32),
        spread=float(1 - mean @ mean / (pooled * pooled).sum(axis=1).mean()),
        fingerprint=identity.fingerprint,
    )


def _token_pairs(
    table: np.ndarray, ids: Sequence[Sequence[int]], tokens: Sequence[np.ndarray]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield, in blocks, what each token vector is predicted from (m, 2 d) and the token vectors (m, t)."""
    for start in range(0, len(ids), AT_ONCE):
        static = [table[np.asarray(one)] for one in ids[start : start + AT_ONCE]]
        context = [np.broadcast_to(one.mean(axis=0), one.shape) for one in static]
        features = np.hstack([np.concatenate(static), np.concatenate(context)])
        yield features, TokenCodec.decode(np.concatenate(tokens[start : start + AT_ONCE]))


def _ridge(
    pairs: Iterator[tuple[np.ndarray, np.ndarray]] | list[tuple[np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray]:
    """Return the matrix and bias of a ridge regression on blocks (m, features), (m, targets) that arrive in turn."""
    count, sums, cross, square = 0, None, None, None
    for features, targets in pairs:
        both = np.hstack([features, targets]).astype(np.float64)
        width = features.shape[1]
        count += len(both)
        sums = both.sum(axis=0) + (0 if sums is None else sums)
        square = both[:, :width].T @ both[:, :width] + (0 if square is None else square)
        cross = both[:, :width].T @ both[:, width:] + (0 if cross is None else cross)
    assert sums is not None and square is not None and cross is not None
    mean, target_mean = np.split(sums / count, [len(square)])
    covariance = square / count - np.outer(mean, mean)
    penalty = RIDGE * np.trace(covariance) / len(covariance)
    weights = np.linalg.solve(
        covariance + penalty * np.eye(len(covariance)), cross / count - np.outer(mean, target_mean)
    )
    return weights.astype(np.float32), (target_mean - mean @ weights).astype(np.float32)


def _threshold(weights: np.ndarray, bias: np.ndarray, pooled: np.ndarray, means: np.ndarray) -> float:
    """Return the cosine midway (by Fisher's z) between the worst healthy chunks and the best ones with the pooled
    vector of another; where the two overlap, what one healthy chunk in a thousand falls below.
    """
    predicted = pooled @ weights + bias
    healthy = float(np.quantile(cosines(predicted, means), 0.001))
    foreign = float(np.quantile(cosines(np.roll(predicted, 1, axis=0), means), 0.99))
    return float(np.tanh((np.arctanh(healthy) + np.arctanh(foreign)) / 2)) if foreign < healthy else healthy


def main() -> None:
    """Fit the default model and write the file named on the command line."""
    fit(load_encoder(DEFAULT_MODEL), SHIPPED_CHUNKS).save(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
