"""Parsing in confined worker processes against a loop over the same parsers in one process, and what confinement costs.

Documents are PMC articles and the readable files of the collection, over and over, in random order.
"""

import csv
import random
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.data import SEED, collection
from benchmarks.measure import Row, WrongAnswerError, interleaved
from resources.parsing.base import READABLE, ParsedDocument, RawDocument
from resources.parsing.pool import ParserPool, parser_pool
from resources.parsing.reading import parse
from resources.parsing.registry import media_type_of
from resources.parsing.settings import ParsingSettings

ARTICLES = 260
TARGET_RATIO = 1 / 1.7


def run(work: Path, full: bool) -> Iterator[Row]:
    """Parse everything in a loop, with a worker for each core, and with one worker."""
    documents = mixed(1000 if full else 200)
    megabytes = sum(len(one.data) for one in documents) / 1e6
    with parser_pool(ParsingSettings()) as pool, parser_pool(ParsingSettings(workers=1)) as single:
        calls: list[Callable[[Sequence[RawDocument]], object]] = [_pooled(pool), _pooled(single), _looped]
        times = interleaved(calls, [documents], 5 if full else 3)
        facts = {"workers": pool.workers, "MB": round(megabytes, 1)}
    baseline = times.per_pass(2, "s")
    name = f"parse {len(documents):,} mixed documents"
    yield Row(name, "s", times.per_pass(0, "s"), "a loop in one process", baseline, ratio=TARGET_RATIO, facts=facts)
    yield Row(f"{name}, one worker", "s", times.per_pass(1, "s"), "a loop in one process", baseline, facts=facts)


def mixed(count: int) -> list[RawDocument]:
    """Return so many documents: about a quarter articles, the rest every other format alike."""
    with (collection("files").parent / "MANIFEST.tsv").open(encoding="utf-8") as file:
        paths = [row["path"] for row in csv.DictReader(file, delimiter="\t") if row["expect"] == "text"]
    files = [(path, media_type_of(path) or "", (collection("files").parent / path).read_bytes()) for path in paths]
    with tarfile.open(collection("pmc") / "pmc-xml.tar.gz") as archive:
        members = [member for member in archive if member.isfile()][: min(ARTICLES, count // 4)]
        articles = [
            (one.name, "application/xml", stream.read()) for one in members if (stream := archive.extractfile(one))
        ]
    chance = random.Random(SEED)
    chosen = articles + [chance.choice(files) for _ in range(count - len(articles))]
    chance.shuffle(chosen)
    return [RawDocument(f"{number} {name}", "1", kind, data) for number, (name, kind, data) in enumerate(chosen)]


def _pooled(pool: ParserPool) -> Callable[[Sequence[RawDocument]], object]:
    return lambda documents: _checked(list(pool.parse(documents)), documents)


def _looped(documents: Sequence[RawDocument]) -> object:
    return _checked([parse(one) for one in documents], documents)


def _checked(outcomes: list[ParsedDocument], documents: Sequence[RawDocument]) -> int:
    readable = {one.key for one in outcomes if one.status in READABLE}
    if unread := [one.key for one in documents if one.key not in readable]:
        raise WrongAnswerError(f"{len(unread)} documents were not read, the first: {unread[0]}")
    return len(readable)
