"""A small corpus in memory, made of real text by the real encoder and the real indexes: what the tests retrieve from.

One chunk a document, of the first tokens that fit the model. Fulfils `RetrievalView`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from resources.chunking.base import embedding_input
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
    """A corpus whose indexes lie under `folder`; `rows` by chunk id."""

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


def build(texts: Sequence[Text], folder: Path, pieces: int = 1) -> BuiltCorpus:
    """Chunk, embed and index the texts; empty ones are left out."""
    rows = chunk(texts, pieces)
    return index(rows, {f"beir:{one.key}": one.title for one in texts}, embed(rows), folder)


def chunk(texts: Sequence[Text], pieces: int = 1) -> dict[str, ChunkRow]:
    """Cut each text into at most `pieces` chunks that fit the model."""
    encoder = load_encoder(MODEL)
    rows: dict[str, ChunkRow] = {}
    for one in texts:
        document = f"beir:{one.key}"
        for ordinal, (start, end) in enumerate(_pieces(one, encoder, pieces)):
            text = one.text[start:end]
            name = chunk_id(document, one.title, text, 0)
            rows[name] = ChunkRow(name, document, one.title, text, start, end, ordinal)
    return rows


def embed(rows: dict[str, ChunkRow]) -> EncodedBatch:
    """Run the model over the chunks."""
    return load_encoder(MODEL).encode([embedding_input(row.heading, row.text) for row in rows.values()])


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


def _pieces(one: Text, encoder: Encoder, pieces: int) -> list[tuple[int, int]]:
    heading = int(encoder.tokenizer.count([one.title])[0])
    spans = encoder.tokenizer.spans(one.text)
    size = encoder.identity.max_tokens - heading
    groups = [spans[start : start + size] for start in range(0, len(spans), size)][:pieces]
    return [(int(group[0][0]), int(group[-1][1])) for group in groups]


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
