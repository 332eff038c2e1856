"""Small corpora in memory, made of real text by the real encoder and the real indexes: what the tests retrieve from."""

import json
import os
import pydoc_data.topics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from resources.chunking.base import chunk_document, embedding_input
from resources.chunking.settings import ChunkingSettings
from resources.embedding.encoder import EncodedBatch, Encoder, load_encoder
from resources.identity import chunk_id, digest
from resources.index.bm25 import Bm25Index, Bm25Parameters, build_bm25
from resources.index.dense import DenseIndex, build_dense
from resources.index.shards import DenseParameters
from resources.retrieval.view import ChunkRow, DocumentRow
from resources.sources.base import JudgedQuery

DATA = Path(__file__).parents[3] / "shared" / "data"
MODEL = "all-MiniLM-L6-v2"


@dataclass(frozen=True)
class Text:
    """A document before it is indexed."""

    key: str
    title: str
    text: str


@dataclass(frozen=True)
class BuiltCorpus:
    """Fulfils `RetrievalView`. The indexes lie under `folder`; `rows` by chunk id."""

    folder: Path
    rows: dict[str, ChunkRow]
    titles: dict[str, str]
    vectors: EncodedBatch
    dense_path: Path
    bm25_path: Path

    @property
    def encoder(self) -> Encoder:
        return load_encoder(MODEL)

    @cached_property
    def dense(self) -> DenseIndex:
        return DenseIndex.open(self.dense_path)

    @cached_property
    def bm25(self) -> Bm25Index:
        return Bm25Index.open(self.bm25_path)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {chunk: number for number, chunk in enumerate(self.rows)}

    def chunks(self, chunk_ids: Sequence[str]) -> dict[str, ChunkRow]:
        return {one: self.rows[one] for one in chunk_ids if one in self.rows}

    def documents(self, document_ids: Sequence[str]) -> dict[str, DocumentRow]:
        return {
            one: DocumentRow(one, self.titles[one] or None, "beir", one.partition(":")[2], {})
            for one in document_ids
            if one in self.titles
        }

    def token_vectors(self, chunk_ids: Sequence[str]) -> dict[str, npt.NDArray[np.int8]]:
        return {one: self.vectors.tokens[self._places[one]] for one in chunk_ids if one in self._places}


def build(texts: Sequence[Text], folder: Path, pieces: int = 1, cache: Path | None = None) -> BuiltCorpus:
    """Chunk, embed and index the texts; empty ones are left out."""
    rows = chunk(texts, pieces)
    return index(rows, {f"beir:{one.key}": one.title for one in texts}, embed(rows, cache), folder)


def chunk(texts: Sequence[Text], pieces: int = 1) -> dict[str, ChunkRow]:
    """Return the first `pieces` chunks of each text, each as long as the model reads."""
    encoder = load_encoder(MODEL)
    settings = ChunkingSettings(strategy="fixed", tokens=encoder.identity.max_tokens, overlap=0)
    rows: dict[str, ChunkRow] = {}
    for one in texts:
        document = f"beir:{one.key}"
        for cut in chunk_document(one.title, one.text, encoder.tokenizer, settings)[:pieces]:
            name = chunk_id(document, cut.heading, cut.text, cut.ordinal)
            rows[name] = ChunkRow(name, document, cut.heading, cut.text, cut.start, cut.end, cut.ordinal)
    return rows


def embed(rows: dict[str, ChunkRow], cache: Path | None = None) -> EncodedBatch:
    """Run the model over the chunks, or read what an earlier run with the same chunks and model left in `cache`."""
    encoder = load_encoder(MODEL)
    if cache is None:
        return encoder.encode([embedding_input(row.heading, row.text) for row in rows.values()])
    file = cache / f"{digest(encoder.identity.fingerprint, *rows)}.npz"
    if not file.exists():
        fresh = embed(rows)
        draft = file.with_name(f"{os.getpid()}.npz")
        lengths = [len(one) for one in fresh.tokens]
        np.savez(draft, tokens=np.concatenate(fresh.tokens), lengths=lengths, pooled=fresh.pooled)
        draft.replace(file)
    with np.load(file) as kept:
        return EncodedBatch(np.split(kept["tokens"], np.cumsum(kept["lengths"])[:-1]), kept["pooled"])


def index(rows: dict[str, ChunkRow], titles: dict[str, str], vectors: EncodedBatch, folder: Path) -> BuiltCorpus:
    """Build both indexes under `folder`."""
    encoder = load_encoder(MODEL)
    entries = pa.table(
        {
            "chunk_id": list(rows),
            "document_id": [row.document_id for row in rows.values()],
            "checksum": [digest(pooled.tobytes())[:16] for pooled in vectors.pooled],
        }
    )
    places = {chunk: number for number, chunk in enumerate(rows)}

    def pooled(ids: list[str]) -> list[pa.RecordBatch]:
        flat = vectors.pooled[[places[one] for one in ids]].ravel()
        column = pa.FixedSizeListArray.from_arrays(pa.array(flat), vectors.pooled.shape[1])
        return [pa.RecordBatch.from_arrays([pa.array(ids), column], names=["chunk_id", "pooled"])]

    def contents(ids: list[str]) -> list[pa.RecordBatch]:
        found = [rows[one] for one in ids]
        return [
            pa.RecordBatch.from_pydict(
                {"chunk_id": ids, "heading": [row.heading for row in found], "text": [row.text for row in found]}
            )
        ]

    dense = build_dense(
        folder,
        entries,
        lambda ids: iter(pooled(ids)),
        fingerprint=encoder.identity.fingerprint,
        dimension=encoder.identity.dimension,
        previous=None,
        parameters=DenseParameters(),
    )
    bm25 = build_bm25(
        folder,
        entries.drop_columns(["checksum"]),
        lambda ids: iter(contents(ids)),
        previous=None,
        parameters=Bm25Parameters(),
    )
    return BuiltCorpus(folder, rows, titles, vectors, dense, bm25)


def read_beir(name: str) -> tuple[list[Text], list[JudgedQuery]]:
    """Read a development collection; the test is skipped where it is not at hand. Relevant documents by document id."""
    folder = DATA / name
    if not folder.is_dir():
        pytest.skip(f"the collection {name} is not at {folder}")
    documents = _read_lines(folder / "corpus.jsonl")
    grades: dict[str, dict[str, int]] = {}
    for line in (folder / "qrels" / "test.tsv").read_text("utf-8").splitlines()[1:]:
        query, document, grade = line.split("\t")
        grades.setdefault(query, {})[f"beir:{document}"] = int(grade)
    queries = _read_lines(folder / "queries.jsonl")
    judged = [JudgedQuery(one["_id"], one["text"], grades[one["_id"]]) for one in queries if one["_id"] in grades]
    return [Text(one["_id"], one.get("title", ""), one["text"]) for one in documents], judged


def _read_lines(file: Path) -> list[dict[str, Any]]:
    with file.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def subset(texts: Sequence[Text], judged: Sequence[JudgedQuery], size: int) -> tuple[list[Text], list[JudgedQuery]]:
    """Keep the first `size` documents and the queries that still have a relevant one among them."""
    kept = list(texts[:size])
    ids = {f"beir:{one.key}" for one in kept}
    relevant = [(one, {key: grade for key, grade in one.relevant.items() if key in ids}) for one in judged]
    return kept, [JudgedQuery(one.query_id, one.text, left) for one, left in relevant if left]


@pytest.fixture(scope="session")
def topics(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> BuiltCorpus:
    """Forty articles of Python's own documentation, up to four chunks each: there on every machine."""
    texts = [Text(name, name, text.strip()) for name, text in sorted(pydoc_data.topics.topics.items())[:40]]
    return build(texts, tmp_path_factory.mktemp("topics"), 4, request.config.cache.mkdir("embedded"))


@pytest.fixture(scope="session")
def cranfield(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[BuiltCorpus, list[JudgedQuery]]:
    """Two hundred abstracts of Cranfield, one chunk each, and the queries they answer."""
    texts, judged = subset(*read_beir("cranfield"), 200)
    return build(texts, tmp_path_factory.mktemp("cranfield"), 1, request.config.cache.mkdir("embedded")), judged
