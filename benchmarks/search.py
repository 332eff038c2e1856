"""Queries one at a time: BM25 against tantivy and bm25s, `hybrid` against encoder, FAISS and tantivy called by hand."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tantivy

from benchmarks import data, made
from benchmarks.made import Shape
from benchmarks.measure import Row, WrongAnswerError, interleaved
from resources.corpus import open_corpus
from resources.index.dense import PROBES
from resources.index.generation import read_manifest
from resources.index.segments import ANALYSER, FIELDS, FOLDER, analyser
from resources.retrieval.pipelines import retrieve
from resources.retrieval.settings import RetrievalSettings
from resources.retrieval.snapshot import SnapshotView, open_live
from resources.store.tables import CHUNKS

TOP = 10
DEPTH = RetrievalSettings().depth


def run(work: Path, full: bool) -> Iterator[Row]:
    """Ask PubMedQA's questions of a corpus whose chunks are sentences of PubMedQA and PMC."""
    chunks, asked, passes = (100_000, 500, 5) if full else (10_000, 100, 3)
    folder = made.once(
        work.parent / f"search-{chunks}", lambda draft: made.synthetic(draft, Shape(chunks, sentences=6))
    )
    view = open_live(open_corpus(made.reopened(folder), made.NAME).store)
    questions = [one.text for one in data.questions()[:asked]]
    raw = by_hand_bm25(view)
    yield from _bm25(view, raw, questions, passes, chunks)
    yield from _hybrid(view, raw, questions, passes, chunks)


def _bm25(
    view: SnapshotView, raw: Callable[[str, int], list[float]], questions: list[str], passes: int, chunks: int
) -> Iterator[Row]:
    peer = _bm25s(view)
    times = interleaved(
        [lambda one: view.bm25.search(one, TOP), lambda one: raw(one, TOP), lambda one: peer(one, TOP)],
        questions,
        passes,
    )
    for question in questions:
        ours, theirs = [hit.score for hit in view.bm25.search(question, TOP)], raw(question, TOP)
        if not np.allclose(ours, theirs, rtol=1e-5):
            raise WrongAnswerError(f"{question!r} scores {ours}, by raw tantivy {theirs}")
    what = f"BM25, {chunks:,} chunks, best {TOP}"
    mine, cpu = times.per_pass(0, "ms"), times.cpu("ms")
    yield Row(what, "ms", mine, "raw tantivy", times.per_pass(1, "ms"), ratio=1.1, facts=cpu, profile=times.profile)
    yield Row(what, "ms", mine, "bm25s", times.per_pass(2, "ms"), facts=times.cpu("ms", 2))


def _hybrid(
    view: SnapshotView, raw: Callable[[str, int], list[float]], questions: list[str], passes: int, chunks: int
) -> Iterator[Row]:
    encode, dense = _by_hand_encoder(view), by_hand_dense(view)

    def by_hand(question: str) -> None:
        dense(encode(question), DEPTH)
        raw(question, DEPTH)

    ours = view.encoder.encode_queries(questions[:1]).pooled
    if (ours * encode(questions[0])).sum() < 0.999:
        raise WrongAnswerError("the encoder called by hand makes other vectors")
    times = interleaved([lambda one: retrieve(view, [one], pipeline="hybrid", k=TOP), by_hand], questions, passes)
    what = f"hybrid query, {chunks:,} chunks, encoding included"
    against = f"encoder, FAISS and tantivy by hand, best {DEPTH} of each, not fused"
    mine, theirs, cpu = times.per_pass(0, "ms"), times.per_pass(1, "ms"), times.cpu("ms")
    yield Row(what, "ms", mine, against, theirs, ratio=1.15, facts=cpu, profile=times.profile)
    yield Row(f"{what}, p95", "ms", times.per_pass(0, "ms", 95), against, times.per_pass(1, "ms", 95), most=20)


def by_hand_bm25(view: SnapshotView) -> Callable[[str, int], list[float]]:
    """Return tantivy's own search over the same segments: the same terms in the same kind of query, rows looked up."""
    path = view.store.indexes.fetch(view.manifest.bm25)
    language = read_manifest(path).parameters["language"]
    index = tantivy.Index.open(str(path / FOLDER))
    index.register_tokenizer(ANALYSER, analyser(language))
    searcher, schema, terms_of = index.searcher(), index.schema, analyser(language)

    def search(question: str, k: int) -> list[float]:
        clauses = [
            (tantivy.Occur.Should, tantivy.Query.term_query(schema, field, term, index_option="freq"))
            for term in terms_of.analyze(question)
            for field in FIELDS
        ]
        hits = searcher.search(tantivy.Query.boolean_query(clauses), k, count=False).hits
        searcher.fast_field_values("row", [address for _, address in hits])
        return [score for score, _ in hits]

    return search


def by_hand_dense(view: SnapshotView) -> Callable[[np.ndarray, int], list[Any]]:
    """Return FAISS's own search over the same files with the same number of probes, one after the other, not joined."""
    import faiss

    path = view.store.indexes.fetch(view.manifest.dense)
    manifest = read_manifest(path)
    shards = [faiss.read_index(str(path / f"{part.name}.faiss"), faiss.IO_FLAG_MMAP_IFC) for part in manifest.parts]
    for shard in shards:
        if isinstance(shard, faiss.IndexIVF):
            shard.nprobe = min(PROBES, shard.nlist)
    return lambda query, k: [shard.search(query, k) for shard in shards]


def _by_hand_encoder(view: SnapshotView) -> Callable[[str], np.ndarray]:
    """Return transformers and torch without us: the same model in the same number format, mean pooling."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    identity = view.encoder.identity
    kind = torch.bfloat16 if torch.cpu.get_capabilities().get("avx512_bf16") else torch.float32
    model = AutoModel.from_pretrained(str(identity.path), dtype=kind).eval()
    tokenizer = AutoTokenizer.from_pretrained(str(identity.path))

    def encode(question: str) -> np.ndarray:
        with torch.inference_mode():
            hidden = model(**tokenizer(question, return_tensors="pt")).last_hidden_state.float()
            return np.asarray(torch.nn.functional.normalize(hidden.mean(dim=1), dim=1).numpy())

    return encode


def _bm25s(view: SnapshotView) -> Callable[[str, int], object]:
    """Return bm25s over the same texts, with its own tokenizer and English stop words."""
    import bm25s

    rows = view.store.rows(CHUNKS, ("text",), version=view.manifest.chunks_version)
    index = bm25s.BM25()
    index.index(bm25s.tokenize(rows["text"].to_pylist(), stopwords="en", show_progress=False), show_progress=False)

    def search(question: str, k: int) -> object:
        tokens = bm25s.tokenize(question, stopwords="en", show_progress=False)
        return index.retrieve(tokens, k=k, show_progress=False)

    return search
