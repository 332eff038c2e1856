"""Fits the projection that ships for the default model: `python -m resources.embedding.fit_projection FILE.npz`.

The text is neutral to every corpus: the Python language reference and the standard library's docstrings. The directions
are the first principal components of the unit token vectors, the leading eigenvectors of their covariance. Run once,
when a model is added; only tests import this.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from resources.embedding.checkpoint import DEFAULT_MODEL, open_checkpoint

KEPT_DIMENSIONS = 64
TEXTS = 4000


def fit(vectors: Iterator[np.ndarray], dimension: int, kept: int) -> tuple[np.ndarray, np.ndarray]:
    """Return mean (d,) and components (d, kept), float32, of vectors that arrive as (n, d) blocks."""
    count, total, products = 0, np.zeros(dimension), np.zeros((dimension, dimension))
    for block in vectors:
        block = block.astype(np.float64)
        count += len(block)
        total += block.sum(axis=0)
        products += block.T @ block
    mean = total / count
    _, directions = np.linalg.eigh(products / count - np.outer(mean, mean))
    components = directions[:, ::-1][:, :kept]
    # An eigenvector's sign is arbitrary: make its largest coordinate positive, so that a second fit gives the same.
    components = components * np.sign(components[np.abs(components).argmax(axis=0), np.arange(kept)])
    return mean.astype(np.float32), np.ascontiguousarray(components, np.float32)


def neutral_texts() -> list[str]:
    """Return paragraphs of the language reference and docstrings of the standard library, evenly sampled."""
    from pydoc_data.topics import topics

    texts = [paragraph for topic in topics.values() for paragraph in topic.split("\n\n")]
    for path in sorted(Path(ast.__file__).parent.glob("*.py")):
        texts += [
            ast.get_docstring(node) or ""
            for node in ast.walk(ast.parse(path.read_bytes()))
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        ]
    long_enough = [text for text in texts if len(text) >= 80]
    return long_enough[:: max(1, len(long_enough) // TEXTS)]


def token_vectors(texts: list[str], path: Path) -> Iterator[np.ndarray]:
    """Yield the unit token vectors that the model under `path` gives the texts, uncompressed."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(path))
    for start in range(0, len(texts), 64):
        batch = model.encode(texts[start : start + 64], output_value="token_embeddings", convert_to_numpy=False)
        block = np.concatenate([vectors.float().cpu().numpy() for vectors in batch])
        yield block / np.linalg.norm(block, axis=1, keepdims=True)


def main() -> None:
    """Fit on the default model and write the file named on the command line."""
    checkpoint = open_checkpoint(DEFAULT_MODEL)
    vectors = token_vectors(neutral_texts(), checkpoint.path)
    mean, components = fit(vectors, checkpoint.dimension, KEPT_DIMENSIONS)
    np.savez_compressed(sys.argv[1], mean=mean, components=components)


if __name__ == "__main__":
    main()
