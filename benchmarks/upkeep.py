"""A corpus of 10,000 documents of real text: building it, looking at it, editing a document of it.

LangChain's `index()` and LlamaIndex's `IngestionPipeline` get the same documents, read already, whole, and with an
embedder that costs nothing. Both compare them with their own ledger and look at no store.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

from benchmarks import data, made, measure, peers
from benchmarks.measure import Row, WrongAnswerError, hottest, in_child, interleaved, memory
from benchmarks.peers import Sync
from rag_assets.instance import open_instance
from rag_assets.runs import materialise
from resources.chunking.base import embedding_input
from resources.corpus import Corpus, open_corpus
from resources.embedding.encoder import EncodedBatch, Encoder
from resources.identity import digest
from resources.settings import Settings
from resources.store.tables import CHUNKS

DIMENSION = 384
PEERS = ("LangChain index()", "LlamaIndex IngestionPipeline")
SENTENCE = " Edition {} of this document says one thing more than the one before."
WARM_DOCUMENTS = 20


class Built(NamedTuple):
    """What building a corpus took."""

    seconds: float
    chunks: int
    peak_mb: float


def run(work: Path, full: bool) -> Iterator[Row]:
    """Build, look, edit."""
    documents, passes = (10_000, 5) if full else (150, 2)
    folder = work.parent / f"upkeep-{documents}"
    if full:
        yield from _growth(work, folder, documents)
    made.once(folder, lambda draft: in_child(build, draft, documents))
    loaded = made.reopened(folder)
    yield from _look(loaded, folder, passes)
    yield from _edit(loaded, folder, passes)
    yield from _repair(loaded, folder, max(5, documents // 100))


def _growth(work: Path, folder: Path, documents: int) -> Iterator[Row]:
    """Build at a tenth of the size, at the full size, and at a tenth again, each in a process of its own."""
    small = documents // 10
    figures: list[Built] = []
    before = in_child(build, work / "before", small)
    made.once(folder, lambda draft: figures.append(in_child(build, draft, documents)))
    after = in_child(build, work / "after", small)
    if not figures:
        return
    (large,) = figures
    facts = {"chunks": large.chunks, "seconds": round(large.seconds)}
    each = [one.seconds / one.chunks * 1000 for one in (before, after)]
    yield Row(
        f"{documents:,} documents built, time a chunk",
        "ms",
        [large.seconds / large.chunks * 1000] * 2,
        f"{small:,} documents of the same mixture",
        each,
        ratio=1.05,
        facts=facts,
    )
    yield Row(
        f"{documents:,} documents built, peak memory",
        "MB",
        [large.peak_mb] * 2,
        f"{small:,} documents of the same mixture",
        [one.peak_mb for one in (before, after)],
        ratio=1.1,
        most=2000,
    )


def build(folder: Path, documents: int) -> Built:
    """Build a corpus of files in `folder`, asked PubMedQA's questions, up to publishing. For a process of its own."""
    measure.quieten()
    made.build(_written(folder.with_name(f"{folder.name}-warm"), WARM_DOCUMENTS))
    loaded = _written(folder, documents)
    start = time.time()
    ends = made.build(loaded)
    seconds = max(end for step, end in ends.items() if "_index" in step) - start
    corpus = open_corpus(loaded, made.NAME)
    return Built(seconds, corpus.store.rows(CHUNKS, ("chunk_id",)).num_rows, memory("VmHWM"))


def _written(folder: Path, documents: int) -> Settings:
    """Write the first documents of the mixture as files, and the questions that some of them answer."""
    texts = folder / "texts"
    texts.mkdir(parents=True)
    chosen = data.mixture()[:documents]
    for name, text in chosen:
        (texts / f"{name}.txt").write_text(text, "utf-8")
    names = {name for name, _ in chosen}
    judged = [
        {"id": one.key, "text": one.text, "relevant": {f"folder:pubmedqa-{one.key}.txt": 1}}
        for one in data.questions()
        if f"pubmedqa-{one.key}" in names
    ]
    (folder / "questions.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in judged), "utf-8")
    return made.settings(folder, {"type": "folder", "path": "texts"}, evaluation={"set": "questions.jsonl"})


def _look(loaded: Settings, folder: Path, passes: int) -> Iterator[Row]:
    """Look as `ensure search-ready --validate-only` does, in a process that lives on; sources and store are read."""
    texts = _texts(folder)
    syncs = _in_step(texts)
    times = interleaved([lambda _: made.healthy(loaded), *(_no_op(sync, texts) for sync in syncs)], [None], passes)
    what = f"a look at {len(texts):,} healthy documents"
    mine, theirs, others = (times.per_pass(call, "s") for call in range(3))
    cpu = times.cpu("s")
    yield Row(what, "s", mine, f"{PEERS[0]}, no-op", theirs, most=0.2, facts=cpu, profile=times.profile)
    yield Row(what, "s", mine, f"{PEERS[1]}, no-op", others, facts=times.cpu("s", 2))


def _in_step(texts: dict[str, str]) -> list[Sync]:
    """Return the peers, with these documents in their stores."""
    syncs = [peers.langchain(DIMENSION), peers.llama_index(DIMENSION)]
    for sync in syncs:
        sync(texts)
    return syncs


def _no_op(sync: Sync, texts: dict[str, str]) -> Callable[[None], None]:
    def call(_: None) -> None:
        if sync(texts):
            raise WrongAnswerError("a peer found something to do where nothing had changed")

    return call


def _edit(loaded: Settings, folder: Path, passes: int) -> Iterator[Row]:
    """Add a sentence to the longest document and publish it, gate included, in a process that lives on."""
    texts = _texts(folder)
    syncs = _in_step(texts)
    name = max(texts, key=lambda one: len(texts[one]))
    chunks: list[int] = []
    busy: list[float] = []
    with open_instance(loaded) as instance, _embedding() as embedded:

        def publish() -> None:
            outcome = materialise(loaded, open_corpus(loaded, made.NAME), None, instance, "benchmark")
            if not outcome.success:
                raise WrongAnswerError(f"the run failed: {outcome.problem}")

        def edit() -> None:
            texts[name] += SENTENCE.format(time.time_ns())
            (folder / "texts" / name).write_text(texts[name], "utf-8")

        seconds = []
        for _ in range(passes + 1):
            edit()
            before = _chunk_ids(open_corpus(loaded, made.NAME))
            embedded.clear()
            started = time.process_time()
            took = _seconds(publish)
            busy.append(time.process_time() - started)
            seconds.append([took, *(_seconds(partial(sync, texts)) for sync in syncs)])
            new = _chunk_ids(made.healthy(loaded)) - before
            if not new or len(new) != sum(embedded):
                raise WrongAnswerError(f"{len(new)} chunks changed, {sum(embedded)} were embedded")
            chunks.append(len(new))
        profile = ""
        if measure.profiling:
            edit()
            profile = hottest(publish)
    mine, *others = zip(*seconds[1:], strict=True)
    what = f"one edited document in {len(texts):,}, to published"
    facts = {"chunks_embedded": max(chunks), "cpu_s": round(min(busy), 2)}
    yield Row(what, "s", mine, f"{PEERS[0]}, not embedding", others[0], most=5, facts=facts, profile=profile)
    yield Row(what, "s", mine, f"{PEERS[1]}, not embedding", others[1])


def _repair(loaded: Settings, folder: Path, count: int) -> Iterator[Row]:
    """Edit `count` documents and publish them; what they cost is to follow from their chunks, not from the corpus."""
    texts = _texts(folder)
    chosen = sorted(texts, key=lambda one: digest("repaired", one))[:count]
    corpus = open_corpus(loaded, made.NAME)
    before = _rows(corpus)
    for name in chosen:
        (folder / "texts" / name).write_text(texts[name] + SENTENCE.format(time.time_ns()), "utf-8")
    with open_instance(loaded) as instance, _embedding() as embedded:
        started = time.perf_counter()
        outcome = materialise(loaded, corpus, None, instance, "benchmark")
        seconds = time.perf_counter() - started
    if not outcome.success:
        raise WrongAnswerError(f"the run failed: {outcome.problem}")
    after = _rows(made.healthy(loaded))
    new = sorted(after.keys() - before.keys())
    if not 0 < sum(embedded) <= len(new):
        raise WrongAnswerError(f"{len(new)} chunks changed, {sum(embedded)} were embedded")
    touched = {f"folder:{name}" for name in chosen}
    gone = {one for one in before.keys() - after.keys() if before[one][0] not in touched}
    moved = [one for one in before.keys() & after.keys() if before[one] != after[one]]
    if gone or moved:
        raise WrongAnswerError(f"rows of other documents changed: {[*gone, *moved][:3]}")
    wanted = set(new)
    chunks = [
        embedding_input(row["heading"], row["text"])
        for batch in corpus.store.batches(CHUNKS, ("chunk_id", "heading", "text"))
        for row in batch.to_pylist()
        if row["chunk_id"] in wanted
    ]
    encoding = _seconds(partial(corpus.encoder.encode, list(dict.fromkeys(chunks))))
    yield Row(
        f"{count} edited documents in {len(texts):,}, to published",
        "s",
        [seconds],
        "1.3 × embedding their new chunks, and 5 s",
        [1.3 * encoding + 5],
        ratio=1.0,
        facts={"chunks_embedded": sum(embedded), "embedding_s": round(encoding, 2)},
    )


def _rows(corpus: Corpus) -> dict[str, tuple[str, str]]:
    """Return the document and the embedding's checksum of every chunk."""
    documents = corpus.store.rows(CHUNKS, ("chunk_id", "document_id")).to_pylist()
    sums = corpus.store.rows(corpus.embeddings, ("chunk_id", "checksum")).to_pylist()
    checksum = {row["chunk_id"]: row["checksum"] for row in sums}
    return {row["chunk_id"]: (row["document_id"], checksum[row["chunk_id"]]) for row in documents}


def _texts(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text("utf-8") for file in sorted((folder / "texts").iterdir())}


def _chunk_ids(corpus: Corpus) -> set[str]:
    return set(corpus.store.rows(CHUNKS, ("chunk_id",))["chunk_id"].to_pylist())


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


@contextmanager
def _embedding() -> Iterator[list[int]]:
    """Note how many texts each call of the encoder embeds; questions are not counted."""
    counts: list[int] = []
    encode = Encoder.encode

    def counting(self: Encoder, texts: Sequence[str]) -> EncodedBatch:
        counts.append(len(texts))
        return encode(self, texts)

    with patch.object(Encoder, "encode", counting):
        yield counts
