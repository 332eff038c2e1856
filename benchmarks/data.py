"""Real text to measure on: PubMedQA's abstracts, passages of PMC articles, Python's help topics.

The collections lie beside the checkout in `shared/data` and are no part of the project. Corpora are made of them in
`made`.
"""

import json
import random
import re
import tarfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from pydoc_data.topics import topics
from typing import NamedTuple
from xml.etree import ElementTree

from benchmarks.measure import MissingDataError

DATA = Path(__file__).parents[2] / "shared" / "data"
SEED = 20
SHORTEST_PASSAGE = 300


class Question(NamedTuple):
    """A question, and the key of the abstract that answers it."""

    text: str
    key: str


def collection(name: str) -> Path:
    """Return where a collection lies; MissingDataError where it does not."""
    folder = DATA / name
    if not folder.is_dir():
        raise MissingDataError(f"needs the development data in {folder}")
    return folder


def pubmedqa() -> dict[str, str]:
    """Return the abstracts by key."""
    with (collection("pubmedqa") / "corpus.jsonl").open(encoding="utf-8") as lines:
        return {one["_id"]: one["text"] for one in map(json.loads, lines)}


def questions() -> list[Question]:
    """Return PubMedQA's questions."""
    with (collection("pubmedqa") / "queries.jsonl").open(encoding="utf-8") as lines:
        return [Question(one["text"], one["_id"].removeprefix("q")) for one in map(json.loads, lines)]


def beir(folder: Path, documents: int) -> Path:
    """Write the first abstracts and their questions to `folder` in the BEIR layout."""
    (folder / "qrels").mkdir(parents=True)
    kept = dict(list(pubmedqa().items())[:documents])
    asked = [one for one in questions() if one.key in kept]
    corpus = [json.dumps({"_id": key, "title": "", "text": text}) for key, text in kept.items()]
    queries = [json.dumps({"_id": f"q{one.key}", "text": one.text}) for one in asked]
    qrels = ["query-id\tcorpus-id\tscore", *(f"q{one.key}\t{one.key}\t1" for one in asked)]
    for name, lines in (("corpus.jsonl", corpus), ("queries.jsonl", queries), ("qrels/test.tsv", qrels)):
        (folder / name).write_text("\n".join(lines) + "\n", "utf-8")
    return folder


@cache
def mixture() -> list[tuple[str, str]]:
    """Return (name, text): abstracts, paragraphs of PMC and of Python's help; any stretch is the same mixture."""
    found = [(f"pubmedqa-{key}", text) for key, text in pubmedqa().items()]
    found += [(f"pmc-{number:05d}", text) for number, text in enumerate(_pmc())]
    found += [(f"pydoc-{number:05d}", text) for number, text in enumerate(_pydoc())]
    random.Random(SEED).shuffle(found)
    return found


def _pmc() -> Iterator[str]:
    with tarfile.open(collection("pmc") / "pmc-xml.tar.gz") as archive:
        for member in archive:
            file = archive.extractfile(member)
            if file is None:
                continue
            for paragraph in ElementTree.fromstring(file.read()).iter("p"):
                text = " ".join("".join(paragraph.itertext()).split())
                if len(text) >= SHORTEST_PASSAGE:
                    yield text


def _pydoc() -> Iterator[str]:
    for text in topics.values():
        yield from (one for one in text.split("\n\n") if len(one) >= SHORTEST_PASSAGE)


@cache
def sentences() -> list[str]:
    """Return the sentences of PubMedQA and PMC, to make any number of chunks of."""
    texts = [*pubmedqa().values(), *_pmc()]
    return [one for text in texts for one in re.split(r"(?<=[.?!]) +", text) if 40 <= len(one) <= 400]
