"""Python's own documentation: the help topics and the docstrings of the standard library, as installed here.

Sources are read and parsed, never imported, so nothing opens a window, warns or touches the network. The same Python
version gives the same documents. Its questions are known-item searches (Azzopardi, de Rijke and Balog, "Building
simulated queries for known-item topics", SIGIR 2007): some docstrings are asked for by their own summary (PEP 257),
which is then left out of their text.
"""

import ast
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TypeAlias

from resources.errors import SourceError
from resources.identity import digest, shard_of
from resources.sources.base import JudgedQuery, OpenDocument, Pace, SourceItem
from resources.sources.failures import GoneError
from resources.sources.registry import SourceOptions, register_source

MIN_CHARACTERS = 200
MIN_SUMMARY_WORDS = 5
MAX_SUMMARY_CHARACTERS = 200
ASKED_ONE_IN = 3
# Parts of the standard library that explain themselves to their own developers rather than Python to its users.
INTERNAL = frozenset(
    ("antigravity", "distutils", "encodings", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "this", "turtledemo")
)


class PydocOptions(SourceOptions):
    """There is nothing to choose."""


_Documented: TypeAlias = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class _Document:
    key: str
    kind: str
    title: str
    text: str
    question: str | None = None

    @property
    def version(self) -> str:
        return digest(self.title, self.text)


@register_source("pydoc")
class PydocSource:
    """Help topics have keys such as `topics/for`, docstrings their qualified name, such as `json.dumps`."""

    Options = PydocOptions
    location = None
    type = "pydoc"
    pace = Pace()
    keeps_originals = False

    def __init__(self, name: str, options: PydocOptions) -> None:
        self.name = name
        self.fingerprint = digest("pydoc")

    def discover(self) -> Iterator[SourceItem]:
        """Yield every document ordered by key. SourceError when this Python comes without its sources or topics."""
        for document in _documents().values():
            yield SourceItem(document.key, document.version, len(document.text.encode()))

    @contextmanager
    def open(self, item: SourceItem) -> Iterator[OpenDocument]:
        """Open a document's text."""
        document = _documents().get(item.key)
        if document is None:
            raise GoneError(f"{item.key}: not documented in Python {sys.version.split()[0]}")
        text = BytesIO(document.text.encode())
        yield OpenDocument(text, document.version, "text/plain", document.title, {"kind": document.kind})

    def judged_queries(self) -> Iterator[JudgedQuery]:
        """Yield the left-out summaries, each with the one document it was taken from (grade 1)."""
        for document in _documents().values():
            if document.question is not None:
                yield JudgedQuery(document.key, document.question, {document.key: 1})


@cache
def _documents() -> dict[str, _Document]:
    """Return all documents by key, ordered: the topics, and docstrings of MIN_CHARACTERS or more. No text twice."""
    found: dict[str, _Document] = {}
    texts: set[str] = set()
    for document in sorted([*_topics(), *_docstrings()], key=lambda one: one.key):
        if document.key not in found and document.text not in texts:
            texts.add(document.text)
            found[document.key] = document
    summaries = Counter(_summary(document)[0] for document in found.values())
    return {key: _with_question(document, summaries) for key, document in found.items()}


def _topics() -> Iterator[_Document]:
    """Yield the help topics, without those that are a section of another."""
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise SourceError("pydoc: this Python comes without pydoc_data; install its full standard library") from error
    split = {name: _split_heading(name, text) for name, text in topics.items()}
    for name, (title, body) in split.items():
        if not any(body in other for _, other in split.values() if len(other) > len(body)):
            yield _Document(f"topics/{name}", "topic", title, body)


def _split_heading(name: str, text: str) -> tuple[str, str]:
    title, _, rest = text.strip().partition("\n")
    underline, _, body = rest.partition("\n")
    if underline and not underline.strip("*=-"):
        return title, body.strip()
    return name, text.strip()


def _docstrings() -> Iterator[_Document]:
    root = Path(sysconfig.get_path("stdlib"))
    modules = sorted(name for name in sys.stdlib_module_names - INTERNAL if not name.startswith("_"))
    files = [file for name in modules for file in (root / f"{name}.py", *sorted((root / name).rglob("*.py")))]
    files = [file for file in files if file.is_file() and _is_public(file.relative_to(root))]
    if not files:
        raise SourceError(f"pydoc: no Python sources in {root}; install this Python's full standard library")
    for file in files:
        relative = file.relative_to(root).with_suffix("")
        parts = relative.parts[:-1] if relative.name == "__init__" else relative.parts
        yield from _members(ast.parse(file.read_bytes()), ".".join(parts))


def _is_public(file: Path) -> bool:
    parts = [part for part in file.with_suffix("").parts if part != "__init__"]
    return not any(part.startswith("_") or part in ("test", "tests") for part in parts)


def _members(node: _Documented, name: str) -> Iterator[_Document]:
    text = ast.get_docstring(node)
    if text and len(text) >= MIN_CHARACTERS:
        kind = {ast.Module: "module", ast.ClassDef: "class"}.get(type(node), "function")
        yield _Document(name, kind, name, text.strip())
    if isinstance(node, ast.Module | ast.ClassDef):
        for child in node.body:
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and child.name[0] != "_":
                yield from _members(child, f"{name}.{child.name}")


def _summary(document: _Document) -> tuple[str, str]:
    """Return a docstring's first paragraph as one line, and what follows it."""
    first, _, rest = document.text.partition("\n\n")
    return " ".join(first.split()), rest.strip("\n")


def _with_question(document: _Document, summaries: Counter[str]) -> _Document:
    """Turn the summary into a question for one document in ASKED_ONE_IN; the others keep theirs, for people to find."""
    summary, rest = _summary(document)
    asked = (
        document.kind != "topic"
        and shard_of(document.key, ASKED_ONE_IN) == 0
        and len(rest) >= MIN_CHARACTERS
        and len(summary) <= MAX_SUMMARY_CHARACTERS
        and len(summary.split()) >= MIN_SUMMARY_WORDS
        and summaries[summary] == 1
    )
    return replace(document, text=rest, question=summary) if asked else document
