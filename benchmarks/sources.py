"""Following sources: a folder in which nothing changed, and reading its files, against doing the same by hand."""

import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks import made
from benchmarks.measure import Row, WrongAnswerError, interleaved
from resources.corpus import Corpus, open_corpus
from resources.materialisation import documents
from resources.reconciliation.observe import SystemState
from resources.settings import Settings
from resources.sources.base import RawDocument
from resources.sources.fetching import fetch_all, list_source
from resources.store.writer import writing

FILES_A_FOLDER = 500


def run(work: Path, full: bool) -> Iterator[Row]:
    """Store the files once, then look again and again; and read them all, again and again."""
    files, passes = (10_000, 9) if full else (1000, 5)
    texts = work / "texts"
    for number in range(files):
        path = texts / f"{number // FILES_A_FOLDER:03}" / f"{number:06}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"This is document {number}, which is about the number {number * 7919}.\n", "utf-8")
    loaded = made.settings(work, {"type": "folder", "path": "texts"})
    _store(_open(loaded))
    look = interleaved([lambda _: _look(loaded, files), lambda _: _walk(str(texts), files)], [None], passes)
    what = f"look at {files:,} unchanged files"
    started = time.process_time()
    _look(loaded, files)
    facts = {"processor seconds": round(time.process_time() - started, 3)}
    against = "os.scandir and stat"
    yield Row(what, "s", look.per_pass(0, "s"), against, look.per_pass(1, "s"), most=1.0, facts=facts)
    read = interleaved([partial(_fetch, loaded, files), partial(_read, texts, files)], [None], passes)
    yield Row(f"read {files:,} files", "s", read.per_pass(0, "s"), "open and read", read.per_pass(1, "s"))


def _open(loaded: Settings) -> Corpus:
    return open_corpus(loaded, made.NAME)


def _store(corpus: Corpus) -> None:
    with writing(corpus.store, "benchmark", wait=0) as writer:
        shards = documents.plan(corpus, writer)
        for shard in range(shards):
            documents.do(corpus, writer, shard, shards)
    corpus.store.lease.release("benchmark")


def _look(loaded: Settings, files: int) -> None:
    diff = SystemState(_open(loaded))
    if diff.documents.fetch or diff.documents.gone or diff.listing.table.num_rows != files:
        raise WrongAnswerError(f"{len(diff.documents.fetch)} of {files} unchanged files are to be fetched again")


def _walk(folder: str, files: int) -> None:
    if (found := _stat_all(folder)) != files:
        raise WrongAnswerError(f"{found} of {files} files")


def _stat_all(folder: str) -> int:
    with os.scandir(folder) as entries:
        return sum(_stat_all(entry.path) if entry.is_dir() else int(entry.stat().st_size > 0) for entry in entries)


def _fetch(loaded: Settings, files: int, _: None) -> None:
    [source] = _open(loaded).sources
    items = list_source(source)
    if sum(isinstance(one, RawDocument) for _, _, one in fetch_all([(source, items)])) != files:
        raise WrongAnswerError("a file was not read")


def _read(texts: Path, files: int, _: None) -> None:
    if sum(bool(path.read_bytes()) for path in texts.rglob("*.txt")) != files:
        raise WrongAnswerError("a file was not read")
