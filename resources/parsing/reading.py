"""From bytes to an outcome: the type is found in the content, a parser reads it, and what it says is made fit to store.

It runs in this process, without limits: what comes from strangers belongs into a `parser_pool`.
"""

from collections.abc import Sequence
from dataclasses import replace

from resources.parsing.base import JSON, MAX_TITLE, Content, ParsedDocument, ParseError, RawDocument, Status, outcome
from resources.parsing.detection import detect
from resources.parsing.expectation import figures
from resources.parsing.language import detect_language
from resources.parsing.registry import DEFAULTS, Parser, parsers_of
from resources.parsing.settings import ParsingSettings

MAX_METADATA_STRING = 4000
MAX_METADATA_ITEMS = 1000
MAX_METADATA_DEPTH = 4


def parse(raw: RawDocument, settings: ParsingSettings = DEFAULTS) -> ParsedDocument:
    """Return the document's text, or why there is none. Never raises for what a document holds.

    It runs in this process, without limits: what comes from strangers belongs into a `parser_pool`.
    """
    media_type = detect(raw.data, raw.media_type)
    chosen = parsers_of(media_type, settings)
    if not raw.data:
        return outcome(raw, "empty", media_type, reason="the file has no bytes")
    if not chosen:
        return outcome(raw, "failed", media_type, reason=f"no parser for {media_type}", failure="unsupported")
    try:
        content = _read(raw.data, chosen, settings)
    except ParseError as error:
        status: Status = "hostile" if error.failure == "hostile" else "failed"
        return outcome(raw, status, media_type, reason=str(error), failure=error.failure)
    text = clean(content.text)
    title = clean(" ".join((raw.title or content.title or "").split())[:MAX_TITLE]) or None
    own = {key: _clean_metadata(one) for key, one in content.metadata.items()}
    metadata = {**raw.metadata, **own, **figures(raw.data, media_type, text)}
    problems = "; ".join(content.problems) or None
    if not text.strip():
        return outcome(raw, "empty", media_type, title=title, metadata=metadata, reason=problems or content.empty)
    if language := detect_language(text):
        metadata["language"] = language
    status = "partial" if problems else "ok"
    return outcome(raw, status, media_type, title=title, metadata=metadata, text=text, reason=problems)


def _read(data: bytes, parsers: Sequence[Parser], settings: ParsingSettings) -> Content:
    """Return what the first of the parsers reads that can, the failure of those before it among the problems.

    Raises the first one's ParseError when none can; what is hostile or too large is tried no further.
    """
    first: ParseError | None = None
    for one in parsers:
        try:
            content = _guarded(one, data, settings)
        except ParseError as error:
            first = first or error
            if error.failure != "corruption":
                break
        else:
            if first is None:
                return content
            if content.text.strip():
                said = f"read by the parser {one.name!r}, because {parsers[0].name!r} failed: {first}"
                return replace(content, problems=(said, *content.problems))
    assert first is not None
    raise first


def _guarded(one: Parser, data: bytes, settings: ParsingSettings) -> Content:
    try:
        return one.read(data, settings)
    except ParseError:
        raise
    except MemoryError:
        raise ParseError("needs more memory than allowed", "exhaustion") from None
    except Exception as error:
        reason = f"damaged, or beyond its parser: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise ParseError(reason, "corruption") from error


def clean(text: str) -> str:
    """Return text without what no table can hold: NULs go, halves of surrogate pairs become U+FFFD."""
    if "\0" in text:
        text = text.replace("\0", "")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _clean_metadata(value: JSON, depth: int = 0) -> JSON:
    """Bound what a document says of itself: strings in length, lists and mappings in number and depth."""
    if isinstance(value, str):
        return clean(value[:MAX_METADATA_STRING])
    if depth >= MAX_METADATA_DEPTH:
        return None
    if isinstance(value, list):
        return [_clean_metadata(one, depth + 1) for one in value[:MAX_METADATA_ITEMS]]
    if isinstance(value, dict):
        items = list(value.items())[:MAX_METADATA_ITEMS]
        return {clean(str(key)[:MAX_TITLE]): _clean_metadata(one, depth + 1) for key, one in items}
    return value
