"""What parsing is: bytes of a known media type become text, or a reason why not. The formats live in their own modules.

A format is added by a module that decorates a function with `@parser(...)` and is imported in `resources.parsing`.
"""

import posixpath
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from resources.errors import RagAssetsError
from resources.identity import digest

JSON: TypeAlias = "dict[str, JSON] | list[JSON] | str | int | float | bool | None"


@dataclass(frozen=True, slots=True)
class RawDocument:
    """A fetched document, unparsed; `title` only where the source itself knows one, `metadata` as JSON has it."""

    key: str
    version: str
    media_type: str
    data: bytes
    title: str | None = None
    metadata: dict[str, JSON] = field(default_factory=dict)


class ParseError(RagAssetsError):
    """This one document cannot be turned into text. Raised by parsers; `parse` makes it an outcome."""


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """The outcome of parsing. `text` is non-empty exactly when `status` is "ok"; `reason` says why it is not."""

    status: Literal["ok", "empty", "failed"]
    title: str | None
    text: str
    reason: str | None
    metadata: dict[str, JSON]
    media_type: str


@dataclass(frozen=True, slots=True)
class Content:
    """What a parser returns: newlines are `\\n`; `title` and `metadata` as far as the document itself states them."""

    text: str
    title: str | None = None
    metadata: dict[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Parser:
    read: Callable[[bytes], Content]
    fingerprint: str


_parsers: dict[str, _Parser] = {}
_media_types: dict[str, str] = {}


def parser(
    media_type: str, *, extensions: tuple[str, ...], version: int
) -> Callable[[Callable[[bytes], Content]], Callable[[bytes], Content]]:
    """Register the decorated function; raise `version` when its output changes, so that documents are parsed again.

    The function raises ParseError for a document it cannot read.
    """

    def register(read: Callable[[bytes], Content]) -> Callable[[bytes], Content]:
        _parsers[media_type] = _Parser(read, digest("parser", media_type, read.__name__, str(version)))
        _media_types.update(dict.fromkeys(extensions, media_type))
        return read

    return register


def parse(raw: RawDocument) -> ParsedDocument:
    """Return the document's text, or why there is none. Never raises for what a document holds."""
    found = _parsers.get(raw.media_type)
    if found is None:
        return _outcome("failed", raw, reason=f"no parser for {raw.media_type}")
    try:
        content = found.read(raw.data)
    except ParseError as error:
        return _outcome("failed", raw, reason=str(error))
    title = " ".join((raw.title or content.title or "").split()) or None
    metadata = {**raw.metadata, **content.metadata}
    if not content.text.strip():
        return _outcome("empty", raw, title=title, metadata=metadata, reason="the document has no text")
    return _outcome("ok", raw, title=title, metadata=metadata, text=content.text)


def _outcome(
    status: Literal["ok", "empty", "failed"],
    raw: RawDocument,
    *,
    title: str | None = None,
    metadata: dict[str, JSON] | None = None,
    text: str = "",
    reason: str | None = None,
) -> ParsedDocument:
    return ParsedDocument(
        status, title or raw.title, text, reason, raw.metadata if metadata is None else metadata, raw.media_type
    )


def parser_fingerprint(media_type: str) -> str:
    """Return what identifies the parser of a media type and its version; of none, where there is none."""
    found = _parsers.get(media_type)
    return found.fingerprint if found else digest("parser", media_type, "none")


def media_type_of(path: str) -> str | None:
    """Return the media type of a file name's extension if a parser exists for it."""
    return _media_types.get(posixpath.splitext(path)[1].lower())
