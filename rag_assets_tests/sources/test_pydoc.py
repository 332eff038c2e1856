"""The default corpus: real, safe to read, the same every time, and its questions not answered by their own text."""

import subprocess
import sys
from collections import Counter

import pytest

from rag_assets_tests.sources.reading import fetch
from resources.parsing.reading import parse
from resources.sources.base import EvaluationSource, FetchFailure, RawDocument, Source
from resources.sources.registry import open_source


@pytest.fixture(scope="module")
def source() -> Source:
    return open_source("pydoc", "pydoc", {})


@pytest.fixture(scope="module")
def documents(source: Source) -> dict[str, RawDocument]:
    fetched = fetch(source, [item.key for item in source.discover()])
    return {one.key: one for one in fetched if isinstance(one, RawDocument)}


def test_there_is_a_corpus_worth_asking(documents: dict[str, RawDocument]) -> None:
    kinds = Counter(one.metadata["kind"] for one in documents.values())
    assert 1200 <= len(documents) <= 3000
    assert kinds["topic"] >= 50 and kinds["module"] >= 80 and kinds["class"] >= 200 and kinds["function"] >= 700
    assert {"json.dumps", "argparse", "topics/formatstrings"} <= documents.keys()
    assert {parse(one).status for one in documents.values()} == {"ok"}


def test_no_text_is_there_twice(documents: dict[str, RawDocument]) -> None:
    assert max(Counter(one.data for one in documents.values()).values()) == 1


def test_the_listing_is_ordered_and_agrees_with_what_is_fetched(
    source: Source, documents: dict[str, RawDocument]
) -> None:
    items = list(source.discover())
    assert [item.key for item in items] == sorted(documents)
    assert all(documents[item.key].version == item.version for item in items)


def test_questions_are_left_out_of_the_text_they_ask_for(source: Source, documents: dict[str, RawDocument]) -> None:
    assert isinstance(source, EvaluationSource)
    questions = list(source.judged_queries())
    assert len(questions) >= 200
    assert len({question.text for question in questions}) == len(questions)
    for question in questions:
        [key] = question.relevant
        assert not documents[key].data.decode().startswith(question.text)
        assert len(documents[key].data) >= 200


def test_an_unknown_key_is_a_failure(source: Source) -> None:
    [outcome] = fetch(source, ["json.frobnicate"])
    assert isinstance(outcome, FetchFailure)


def test_another_process_finds_the_same_and_imports_nothing_it_documents(source: Source) -> None:
    program = (
        "import sys, warnings; warnings.simplefilter('error')\n"
        "from resources.identity import digest\n"
        "from resources.sources.registry import open_source\n"
        "items = list(open_source('pydoc', 'pydoc', {}).discover())\n"
        "print(digest(*(f'{one.key} {one.version}' for one in items)))\n"
        "print(sorted({'turtle', 'tkinter', 'idlelib', 'nntplib', 'torch'} & sys.modules.keys()))\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    from resources.identity import digest

    assert result.stdout.split("\n")[:2] == [digest(*(f"{one.key} {one.version}" for one in source.discover())), "[]"]
