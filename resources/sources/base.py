"""What a source is: it lists its documents cheaply, with a version each, and opens those asked for as streams.

Here: the records that travel from a source to the rest, and the two protocols. Not here: how a source type is found
(`registry`), how many documents are read at a time and what happens when that fails (`fetching`, `failures`), and what
becomes of the bytes (`resources.parsing`, which says what it needs: a `RawDocument`).
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import IO, Protocol, runtime_checkable

from resources.parsing.base import JSON, RawDocument

__all__ = [
    "EvaluationSource",
    "FetchFailure",
    "JudgedQuery",
    "OpenDocument",
    "Pace",
    "RawDocument",
    "Source",
    "SourceItem",
]


@dataclass(frozen=True, slots=True)
class SourceItem:
    """A listed document. `version` differs whenever the content may have changed.

    As far as the listing says it: `size` in bytes, `modified` as an ISO 8601 time, `checksum` (equal means equal bytes,
    within one source), `url` (where a person finds it) and `principals` (who may read it; None: the source does not
    say, so whoever may read the corpus).
    """

    key: str
    version: str
    size: int | None = None
    modified: str | None = None
    checksum: str | None = None
    url: str | None = None
    principals: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class OpenDocument:
    """A document being read. `version` is that of the bytes in `stream`; `title` only where the source knows one.

    `media_type` is what the source believes; None leaves it to the name.
    """

    stream: IO[bytes]
    version: str
    media_type: str | None = None
    title: str | None = None
    metadata: dict[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FetchFailure:
    """Why one document could not be fetched; the others go on. `kind` is a class of `failures`."""

    key: str
    version: str
    reason: str
    kind: str = "unknown"


@dataclass(frozen=True, slots=True)
class JudgedQuery:
    """A query and the grades (1 and up) of the documents that answer it, by the source's own keys."""

    query_id: str
    text: str
    relevant: dict[str, int]


@dataclass(frozen=True, slots=True)
class Pace:
    """How hard a source may be asked: documents at a time, requests a second (None: no limit), bytes a document."""

    concurrency: int = 1
    rate: float | None = None
    max_bytes: int = 256 << 20


class Source(Protocol):
    """A place documents come from. `fingerprint` covers the options that change what a document contains."""

    type: str
    name: str
    fingerprint: str
    pace: Pace
    keeps_originals: bool

    def discover(self) -> Iterator[SourceItem]:
        """Yield every document, ordered by key. Raises SourceError when the source cannot be listed completely."""
        ...

    def open(self, item: SourceItem) -> AbstractContextManager[OpenDocument]:
        """Open one listed document; called from several threads. Raises whatever `failures.classify` can name."""
        ...


@runtime_checkable
class EvaluationSource(Protocol):
    """A source that also knows questions and which of its documents answer them."""

    def judged_queries(self) -> Iterator[JudgedQuery]:
        """Yield the judged queries, ordered as the source has them. Raises SourceError when they cannot be read."""
        ...
