"""What a source is: it lists its documents with a version each, and streams the bytes of those asked for.

Here: the records that travel from a source to the rest, and the two protocols. Not here: how a source type is found
(`registry`), and what becomes of the bytes (`resources.parsing`, which says what it needs: a `RawDocument`).
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from resources.parsing.base import RawDocument

__all__ = ["EvaluationSource", "FetchFailure", "JudgedQuery", "RawDocument", "Source", "SourceItem"]


@dataclass(frozen=True, slots=True)
class SourceItem:
    """A listed document. `version` differs whenever the content may have changed; `size` is in bytes, if known."""

    key: str
    version: str
    size: int | None = None


@dataclass(frozen=True, slots=True)
class FetchFailure:
    """Why one document could not be fetched; the others go on."""

    key: str
    version: str
    reason: str


@dataclass(frozen=True, slots=True)
class JudgedQuery:
    """A query and the grades (1 and up) of the documents that answer it, by the source's own keys."""

    query_id: str
    text: str
    relevant: dict[str, int]


class Source(Protocol):
    """A place documents come from. `fingerprint` covers the options that change what a document contains."""

    type: str
    name: str
    fingerprint: str

    def discover(self) -> Iterator[SourceItem]:
        """Yield every document, ordered by key. Raises SourceError when the source cannot be listed completely."""
        ...

    def fetch(self, keys: Collection[str]) -> Iterator[RawDocument | FetchFailure]:
        """Yield one outcome for each key, in any order, holding one document in memory at a time."""
        ...


@runtime_checkable
class EvaluationSource(Protocol):
    """A source that also knows questions and which of its documents answer them."""

    def judged_queries(self) -> Iterator[JudgedQuery]:
        """Yield the judged queries, ordered as the source has them. Raises SourceError when they cannot be read."""
        ...
