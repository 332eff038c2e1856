"""Corpora to measure on, made through the store and the stages, so that a look at them finds nothing amiss.

`settings`, `build` and `healthy` are for corpora of real text; `synthetic` makes one of any size in minutes, because
nothing in it is embedded. What is measured on them belongs in the benchmarks.
"""

import json
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks import data
from benchmarks.measure import WrongAnswerError
from rag_assets.instance import open_instance
from rag_assets.runs import materialise
from resources.chunking.base import embedding_input
from resources.corpus import Corpus, open_corpus
from resources.embedding.vectors import checksum
from resources.identity import chunk_id, digest
from resources.materialisation import documents
from resources.materialisation.candidate import candidate_manifest
from resources.materialisation.indexes import make_bm25, make_dense
from resources.reconciliation.analyse import analyse, holds
from resources.reconciliation.observe import SystemState
from resources.settings import Settings, load_settings
from resources.store.tables import CHUNKS, DOCUMENTS
from resources.store.writer import writing

NAME = "bench"
MADE = "made.json"
Floats = npt.NDArray[np.float32]

TOPICS = 5_000
LATENT = 24
WITHIN = 0.7
NOISE = 0.25
TOKEN_POOL = 20_000
BLOCK = 50_000


def settings(folder: Path, source: dict[str, Any], **corpus: Any) -> Settings:
    """Write `rag.yaml` with one corpus into `folder` and read it; RAG_HOME and Dagster's home are in there too."""
    folder.mkdir(parents=True, exist_ok=True)
    body = {"corpora": {NAME: {"sources": [source], **corpus}}}
    (folder / "rag.yaml").write_text(json.dumps(body), "utf-8")
    return reopened(folder)


def reopened(folder: Path) -> Settings:
    """Read the settings of a corpus made in `folder`, whatever the environment says."""
    for name in ("RAG_HOME", "RAG_CONFIG", "DAGSTER_HOME"):
        os.environ.pop(name, None)
    return load_settings(folder / "rag.yaml")


def build(loaded: Settings) -> dict[str, float]:
    """Materialise everything; return the time at which each step ended, by name (seconds since the epoch)."""
    with open_instance(loaded) as instance:
        outcome = materialise(loaded, open_corpus(loaded, NAME), None, instance, "benchmark")
        if not outcome.success:
            raise WrongAnswerError(f"the run failed: {outcome.problem}")
        steps = instance.get_run_step_stats(outcome.run_id)
    return {one.step_key: one.end_time for one in steps if one.end_time is not None}


def healthy(loaded: Settings) -> Corpus:
    """Open the corpus; WrongAnswerError when a look finds it anything but `search-ready`."""
    corpus = open_corpus(loaded, NAME)
    issues = analyse(SystemState(corpus), "search-ready")
    if not holds(issues):
        raise WrongAnswerError(f"the corpus is not healthy: {', '.join(issue.type for issue in issues)}")
    return corpus


def once(folder: Path, make: Callable[[Path], object]) -> Path:
    """Return `folder`, made unless an earlier benchmark left it there whole."""
    if not folder.exists():
        draft = folder.with_name(f"{folder.name}.draft")
        shutil.rmtree(draft, ignore_errors=True)
        make(draft)
        draft.rename(folder)
    return folder


class Cloud:
    """Unit vectors that are not trivially easy to search, like real embeddings.

    5,000 overlapping topics of uneven size (Zipf) in 24 latent dimensions, mapped to all dimensions, plus noise in
    all of them. The numbers are chosen so that an IVF index of 33,500 of them misses as much as one of as many sentence
    embeddings does: recall@10 is 0.979 with 64 probes and 0.986 with 96, of real ones 0.975 to 0.989.
    """

    def __init__(self, dimension: int) -> None:
        rng = np.random.default_rng(data.SEED)
        self._topics = rng.normal(size=(TOPICS, LATENT)).astype(np.float32)
        self._mapping = rng.normal(size=(LATENT, dimension)).astype(np.float32) / np.float32(np.sqrt(LATENT))
        weights = 1 / np.arange(1, TOPICS + 1)
        self._weights = weights / weights.sum()

    def draw(self, count: int, seed: int) -> Floats:
        """Return `count` vectors, (count, dimension); the same for the same seed."""
        rng = np.random.default_rng([data.SEED, seed])
        latent = self._topics[rng.choice(TOPICS, count, p=self._weights)]
        latent = latent + WITHIN * rng.standard_normal(latent.shape, dtype=np.float32)
        vectors = latent @ self._mapping
        vectors += NOISE * rng.standard_normal(vectors.shape, dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors


@dataclass(frozen=True)
class Shape:
    """A synthetic corpus: how many chunks, chunks a document, sentences and token vectors a chunk."""

    chunks: int
    per_document: int = 20
    sentences: int = 2
    tokens: int = 4


def synthetic(folder: Path, shape: Shape) -> Settings:
    """Make a published corpus: documents by their stage, chunks and vectors written, indexes by their stages.

    Chunks are sentences of real text in random order, pooled vectors come from a `Cloud`, token vectors are random.
    Nothing is evaluated. How long the indexes took is left in `made.json`.
    """
    texts = folder / "texts"
    for number in range(shape.chunks // shape.per_document):
        file = texts / f"{number // 1000:04d}" / f"{number:08d}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"Document {number} of a corpus that is made to measure.", "utf-8")
    loaded = settings(folder, {"type": "folder", "path": "texts"})
    corpus = open_corpus(loaded, NAME)
    with writing(corpus.store, "benchmark", wait=0) as writer:
        shards = documents.plan(corpus, writer)
        for shard in range(shards):
            documents.do(corpus, writer, shard, shards)
        for number, (chunks, embeddings) in enumerate(_rows(corpus, shape)):
            writer.upsert(CHUNKS, chunks)
            writer.upsert(corpus.embeddings, embeddings)
            print(f"  {min((number + 1) * BLOCK, shape.chunks):,} chunks written", flush=True)
        seconds = {}
        for make in (make_dense, make_bm25):
            start = time.perf_counter()
            make(corpus, writer)
            seconds[f"{make.__name__}_seconds"] = round(time.perf_counter() - start, 1)
        writer.publish(candidate_manifest(SystemState(corpus), writer.run))
    corpus.store.lease.release("benchmark")
    (folder / MADE).write_text(json.dumps(seconds), "utf-8")
    return loaded


def _rows(corpus: Corpus, shape: Shape) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Yield the rows of both tables, about 50,000 chunks at a time."""
    stored = corpus.store.rows(DOCUMENTS, ("document_id", "text_hash")).sort_by("document_id")
    pairs = list(zip(stored["document_id"].to_pylist(), stored["text_hash"].to_pylist(), strict=True))
    cloud, tokens = Cloud(corpus.model.dimension), _token_pool(corpus.model.token_dimension)
    rng = random.Random(data.SEED)
    step = max(1, BLOCK // shape.per_document)
    for start in range(0, len(pairs), step):
        rows = [
            _chunk(one, ordinal, text_hash, " ".join(rng.choices(data.sentences(), k=shape.sentences)), shape)
            for one, text_hash in pairs[start : start + step]
            for ordinal in range(shape.per_document)
        ]
        chunks = pa.Table.from_pylist([row | {"fingerprint": corpus.chunker} for row in rows], schema=CHUNKS.schema)
        pooled = cloud.draw(len(rows), start)
        starts = rng.choices(range(len(tokens) - shape.tokens), k=len(rows))
        matrices = [tokens[at : at + shape.tokens].tobytes() for at in starts]
        embeddings = pa.table(
            {
                "chunk_id": chunks["chunk_id"],
                "text_hash": chunks["text_hash"],
                "fingerprint": [corpus.model.fingerprint] * len(rows),
                "n_tokens": chunks["tokens"],
                "tokens": matrices,
                "pooled": pa.FixedSizeListArray.from_arrays(pooled.reshape(-1), pooled.shape[1]),
                "checksum": [checksum(matrix, one.tobytes()) for matrix, one in zip(matrices, pooled, strict=True)],
            },
            schema=corpus.embeddings.schema,
        )
        yield chunks, embeddings


def _chunk(document: str, ordinal: int, document_hash: str, text: str, shape: Shape) -> dict[str, Any]:
    text = f"{text} ({ordinal})"
    return {
        "chunk_id": chunk_id(document, "", text, 0),
        "document_id": document,
        "ordinal": ordinal,
        "of": shape.per_document,
        "start": 0,
        "end": len(text),
        "heading": "",
        "text": text,
        "text_hash": digest("chunk", embedding_input("", text)),
        "tokens": shape.tokens,
        "document_hash": document_hash,
    }


def _token_pool(dimension: int) -> npt.NDArray[np.int8]:
    """Return stored token vectors to take matrices from: random directions, as the codec keeps them."""
    raw = np.random.default_rng(data.SEED).standard_normal((TOKEN_POOL, dimension), dtype=np.float32)
    raw /= np.linalg.norm(raw, axis=1, keepdims=True)
    return np.rint(raw * 127).astype(np.int8)
