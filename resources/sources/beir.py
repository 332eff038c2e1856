"""A directory in the BEIR layout: `corpus.jsonl`, `queries.jsonl` and `qrels/SPLIT.tsv`.

Layout: Thakur et al., "BEIR: A Heterogeneous Benchmark for Zero-shot Evaluation of Information Retrieval Models", 2021,
https://github.com/beir-cellar/beir. The corpus is read line by line; only ids and offsets are kept in memory. Metrics
are not computed here.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, NoReturn

from pydantic import Field

from resources.errors import SourceError
from resources.identity import digest
from resources.sources.base import JudgedQuery, OpenDocument, Pace, SourceItem
from resources.sources.failures import CorruptionError, GoneError
from resources.sources.registry import SourceOptions, register_source


class BeirOptions(SourceOptions):
    """`path`: the directory. `split`: which `qrels/SPLIT.tsv` holds the judgments."""

    path: Path
    split: str = Field(default="test", pattern=r"^[A-Za-z0-9_.-]+$")


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    offset: int
    length: int
    version: str


@register_source("beir")
class BeirSource:
    """Documents are the lines of `corpus.jsonl`; the judgments of one split come as judged queries."""

    Options = BeirOptions
    location = "path"
    type = "beir"
    pace = Pace()
    keeps_originals = False

    def __init__(self, name: str, options: BeirOptions) -> None:
        self.name = name
        self.fingerprint = digest("beir")
        self._path = options.path
        self._corpus = options.path / "corpus.jsonl"
        self._queries = options.path / "queries.jsonl"
        self._qrels = options.path / "qrels" / f"{options.split}.tsv"
        self._lines: dict[str, _Line] = {}
        self._stamp: tuple[int, int] | None = None

    def discover(self) -> Iterator[SourceItem]:
        """Yield every document ordered by id.

        SourceError when a file of the layout is missing, a line is malformed or an id occurs twice.
        """
        self._require_files()
        for key, line in sorted(self._index().items()):
            yield SourceItem(key, line.version, line.length)

    @contextmanager
    def open(self, item: SourceItem) -> Iterator[OpenDocument]:
        """Open a document's text; text that has no UTF-8 form is a CorruptionError."""
        self._require_files()
        line = self._index().get(item.key)
        if line is None:
            raise GoneError(f"{item.key}: no longer in {self._corpus}")
        with self._corpus.open("rb") as file:
            file.seek(line.offset)
            _, record = _record(self._corpus, line.number, file.read(line.length))
        metadata, title = record.get("metadata"), _title(record)
        try:
            data = record["text"].encode()
            f"{title}{json.dumps(metadata, ensure_ascii=False)}".encode()
        except UnicodeEncodeError as error:
            raise CorruptionError(f"{self._corpus}:{line.number}: not valid UTF-8") from error
        yield OpenDocument(BytesIO(data), line.version, "text/plain", title or None, metadata or {})

    def judged_queries(self) -> Iterator[JudgedQuery]:
        """Yield every query of the split that has a document of grade 1 or more, in the order of `queries.jsonl`."""
        self._require_files()
        grades = self._judgments()
        seen: dict[str, int] = {}
        for number, _, raw in _lines(self._queries):
            query_id, record = _record(self._queries, number, raw)
            if query_id in seen:
                _fail(self._queries, number, f"query {query_id!r} is already on line {seen[query_id]}")
            seen[query_id] = number
            relevant = {key: grade for key, grade in grades.pop(query_id, {}).items() if grade > 0}
            if relevant:
                yield JudgedQuery(query_id, record["text"], relevant)
        if grades:
            query_id = next(iter(grades))
            raise SourceError(f"{self._qrels}: query {query_id!r} is judged but not in {self._queries}")

    def _require_files(self) -> None:
        if not self._path.is_dir():
            raise SourceError(f"{self._path}: no such directory; a BEIR directory is expected there")
        for file in (self._corpus, self._queries, self._qrels):
            if not file.is_file():
                raise SourceError(f"{file}: missing; a BEIR directory has corpus.jsonl, queries.jsonl and qrels/*.tsv")

    def _index(self) -> dict[str, _Line]:
        """Return where each document stands in the file; read again only when the file has changed."""
        status = self._corpus.stat()
        stamp = (status.st_size, status.st_mtime_ns)
        if stamp != self._stamp:
            lines: dict[str, _Line] = {}
            for number, offset, raw in _lines(self._corpus):
                key, record = _record(self._corpus, number, raw)
                if key in lines:
                    _fail(self._corpus, number, f"document {key!r} is already on line {lines[key].number}")
                content = [record["text"], _title(record), json.dumps(record.get("metadata"), sort_keys=True)]
                lines[key] = _Line(number, offset, len(raw), digest(*content))
            self._lines, self._stamp = lines, stamp
        return self._lines

    def _judgments(self) -> dict[str, dict[str, int]]:
        grades: dict[str, dict[str, int]] = {}
        for number, _, raw in _lines(self._qrels):
            fields = raw.decode("utf-8", "replace").rstrip("\r\n").split("\t")
            if number == 1 and fields[-1] == "score":
                continue
            try:
                query_id, key, grade = fields[0], fields[1], int(fields[2])
            except (IndexError, ValueError):
                _fail(self._qrels, number, "expected query-id, corpus-id and an integer score, separated by tabs")
            if grades.setdefault(query_id, {}).setdefault(key, grade) != grade:
                _fail(self._qrels, number, f"document {key!r} has two grades for query {query_id!r}")
        return grades


def _lines(file: Path) -> Iterator[tuple[int, int, bytes]]:
    """Yield (line number from 1, byte offset, line) of every line that is not blank."""
    offset = 0
    try:
        with file.open("rb") as lines:
            for number, raw in enumerate(lines, 1):
                if raw.strip():
                    yield number, offset, raw
                offset += len(raw)
    except OSError as error:
        raise SourceError(f"{file}: cannot be read: {error.strerror}") from error


def _record(file: Path, number: int, raw: bytes) -> tuple[str, dict[str, Any]]:
    """Return a line's id and content. Bytes that are not UTF-8 become lone surrogates, for `_document` to report."""
    try:
        record = json.loads(raw.decode("utf-8-sig", "surrogateescape"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        _fail(file, number, f"malformed JSON: {error}")
    if not isinstance(record, dict):
        _fail(file, number, "malformed record: a JSON object is expected")
    for name, kinds in (("_id", (str, int)), ("text", str)):
        if not isinstance(record.get(name), kinds):
            _fail(file, number, f'malformed record: "{name}" is missing or not a string')
    for name, kind in (("title", str), ("metadata", dict)):
        if not isinstance(record.get(name), kind | None):
            _fail(file, number, f'malformed record: "{name}" must be a {kind.__name__}')
    key = str(record["_id"])
    if not key or not key.isprintable():
        _fail(file, number, f"document id {key!r} is empty or not printable")
    return key, record


def _title(record: dict[str, Any]) -> str:
    return (record.get("title") or "").strip()


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _fail(file: Path, number: int, what: str) -> NoReturn:
    raise SourceError(f"{file}:{number}: {what}")
