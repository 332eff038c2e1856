"""BEIR directories: what is read, and what each kind of damage says."""

import json
from pathlib import Path

import pytest

from rag_assets_tests.sources.reading import fetch
from resources.errors import SourceError
from resources.parsing.reading import parse
from resources.sources.base import EvaluationSource, FetchFailure, RawDocument, Source
from resources.sources.registry import open_source

CORPUS = [
    {"_id": "b", "title": "Second", "text": "Beta is the second letter.", "metadata": {"year": 1990}},
    {"_id": "a", "title": "", "text": "Alpha is the first letter."},
    {"_id": "c", "text": ""},
]
QUERIES = [{"_id": "q1", "text": "which letter is second?"}, {"_id": "q2", "text": "unjudged"}]
QRELS = "query-id\tcorpus-id\tscore\nq1\tb\t2\nq1\ta\t0\n"
PUBMEDQA = Path(__file__).parents[3] / "shared" / "data" / "pubmedqa"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "qrels").mkdir()
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(one) + "\n" for one in CORPUS))
    (tmp_path / "queries.jsonl").write_text("".join(json.dumps(one) + "\n" for one in QUERIES))
    (tmp_path / "qrels" / "test.tsv").write_text(QRELS)
    return tmp_path


def beir(directory: Path, **options: str) -> Source:
    return open_source("beir", "set", {"path": directory, **options})


def append(file: Path, data: bytes) -> None:
    with file.open("ab") as lines:
        lines.write(data)


def test_documents_come_ordered_by_key_with_title_and_metadata(directory: Path) -> None:
    source = beir(directory)
    assert [item.key for item in source.discover()] == ["a", "b", "c"]
    fetched = {one.key: one for one in fetch(source, ["b", "c"])}
    document = fetched["b"]
    assert isinstance(document, RawDocument)
    assert (document.title, document.data, document.metadata) == (
        "Second",
        b"Beta is the second letter.",
        {"year": 1990},
    )
    assert parse(fetched["c"]).status == "empty"  # type: ignore[arg-type]


def test_judged_queries_have_only_positive_grades(directory: Path) -> None:
    source = beir(directory)
    assert isinstance(source, EvaluationSource)
    assert [(one.query_id, one.relevant) for one in source.judged_queries()] == [("q1", {"b": 2})]


def test_a_version_changes_with_the_content_and_only_then(directory: Path) -> None:
    source = beir(directory)
    before = {item.key: item.version for item in source.discover()}
    changed = [CORPUS[1], {**CORPUS[0], "text": "Beta, revised."}, CORPUS[2]]
    (directory / "corpus.jsonl").write_text("".join(json.dumps(one) + "\n" for one in changed))
    after = {item.key: item.version for item in source.discover()}
    assert {key for key in before if before[key] != after[key]} == {"b"}
    [fetched] = fetch(source, ["b"])
    assert isinstance(fetched, RawDocument) and fetched.data == b"Beta, revised." and fetched.version == after["b"]


def test_a_key_that_is_gone_is_a_failure_of_its_own(directory: Path) -> None:
    outcomes = {one.key: one for one in fetch(beir(directory), ["a", "gone"])}
    assert isinstance(outcomes["a"], RawDocument)
    assert isinstance(outcomes["gone"], FetchFailure) and "no longer in" in outcomes["gone"].reason


@pytest.mark.parametrize("missing", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
def test_a_missing_file_is_named(directory: Path, missing: str) -> None:
    (directory / missing).unlink()
    with pytest.raises(SourceError, match=f"{missing}: missing"):
        list(beir(directory).discover())


def test_a_missing_directory_is_no_empty_corpus(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such directory"):
        list(beir(tmp_path / "nowhere").discover())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"_id": "d", "text": "cut off', "corpus.jsonl:4: malformed JSON"),
        (b'["d", "text"]', "corpus.jsonl:4: malformed record: a JSON object"),
        (b'{"_id": "d"}', 'corpus.jsonl:4: malformed record: "text"'),
        (b'{"text": "no id"}', 'corpus.jsonl:4: malformed record: "_id"'),
        (b'{"_id": "d", "text": "t", "metadata": [1]}', 'corpus.jsonl:4: malformed record: "metadata"'),
        (b'{"_id": "d", "text": "t", "metadata": {"score": NaN}}', "corpus.jsonl:4: malformed JSON: NaN"),
        (b'{"_id": "", "text": "t"}', "corpus.jsonl:4: document id '' is empty"),
        (b'{"_id": "\\ud800", "text": "t"}', "corpus.jsonl:4: document id"),
        (b"[" * 200_000, "corpus.jsonl:4: malformed JSON"),
        (b'{"_id": "a", "text": "again"}', "corpus.jsonl:4: document 'a' is already on line 2"),
    ],
)
def test_a_malformed_line_is_named_by_file_and_number(directory: Path, line: bytes, message: str) -> None:
    append(directory / "corpus.jsonl", line + b"\n")
    with pytest.raises(SourceError) as raised:
        list(beir(directory).discover())
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("queries.jsonl", b'{"_id": "q1", "text": "again"}\n', "queries.jsonl:3: query 'q1' is already on line 1"),
        ("qrels/test.tsv", b"q1\tb\n", "test.tsv:4: expected query-id"),
        ("qrels/test.tsv", b"q1\tb\thigh\n", "test.tsv:4: expected query-id"),
        ("qrels/test.tsv", b"q1\tb\t1\n", "test.tsv:4: document 'b' has two grades"),
        ("qrels/test.tsv", b"q9\tb\t1\n", "query 'q9' is judged but not in"),
    ],
)
def test_malformed_judgments_are_named(directory: Path, file: str, line: bytes, message: str) -> None:
    append(directory / file, line)
    source = beir(directory)
    assert isinstance(source, EvaluationSource)
    with pytest.raises(SourceError) as raised:
        list(source.judged_queries())
    assert message in str(raised.value)


def test_invalid_utf8_fails_that_document_alone(directory: Path) -> None:
    append(directory / "corpus.jsonl", b'{"_id": "d", "text": "caf\xe9"}\n{"_id": "e", "text": "lone \\udc00"}\n')
    source = beir(directory)
    keys = [item.key for item in source.discover()]
    outcomes = {one.key: one for one in fetch(source, keys)}
    assert {key for key, one in outcomes.items() if isinstance(one, FetchFailure)} == {"d", "e"}
    assert "corpus.jsonl:4: not valid UTF-8" in outcomes["d"].reason  # type: ignore[union-attr]


def test_another_split_is_read_when_asked_for(directory: Path) -> None:
    (directory / "qrels" / "dev.tsv").write_text("query-id\tcorpus-id\tscore\nq2\ta\t1\n")
    source = beir(directory, split="dev")
    assert isinstance(source, EvaluationSource)
    assert [one.query_id for one in source.judged_queries()] == ["q2"]


@pytest.mark.skipif(not PUBMEDQA.is_dir(), reason="the development data (pubmedqa) is not here")
def test_a_real_set_is_read_whole() -> None:
    source = beir(PUBMEDQA)
    keys = [item.key for item in source.discover()]
    assert len(keys) == 1000
    assert sum(isinstance(one, RawDocument) for one in fetch(source, keys)) == 1000
    assert isinstance(source, EvaluationSource)
    assert len(list(source.judged_queries())) == 1000
