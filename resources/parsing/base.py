"""What parsing is: bytes become text, or a reason why not. The formats live in modules of their own.

A format is added by a module that decorates a function with `@parser(...)` and is imported in `resources.parsing`, or
is named by an entry point of the group `rag_assets.parsers`. Several parsers may read one media type: the first is
used unless the settings choose another. Not here: which type bytes are of (`detection`), and the processes that
untrusted documents are parsed in (`pool`).
"""

import posixpath
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, entry_points, version
from typing import Literal, TypeAlias

from resources.errors import RagAssetsError, SettingsError
from resources.identity import digest
from resources.parsing.detection import DETECTION_VERSION, detect
from resources.parsing.expectation import figures
from resources.parsing.language import detect_language
from resources.parsing.settings import ParsingSettings

ENTRY_POINTS = "rag_assets.parsers"
READABLE = ("ok", "partial")

JSON: TypeAlias = "dict[str, JSON] | list[JSON] | str | int | float | bool | None"
Status: TypeAlias = Literal["ok", "partial", "empty", "failed", "hostile"]
Failure: TypeAlias = Literal["corruption", "exhaustion", "unsupported", "hostile"]

MAX_TITLE = 500
MAX_METADATA_STRING = 4000
MAX_METADATA_ITEMS = 1000
MAX_METADATA_DEPTH = 4

DEFAULTS = ParsingSettings()


@dataclass(frozen=True, slots=True)
class RawDocument:
    """A fetched document, unparsed. `media_type` is what its source takes it for; its content has the last word.

    `title` only where the source itself knows one, `metadata` as JSON has it.
    """

    key: str
    version: str
    media_type: str
    data: bytes
    title: str | None = None
    metadata: dict[str, JSON] = field(default_factory=dict)


class ParseError(RagAssetsError):
    """This one document cannot be turned into text. Raised by parsers; `parse` makes it an outcome."""

    def __init__(self, reason: str, failure: Failure = "corruption") -> None:
        super().__init__(reason)
        self.failure: Failure = failure


class HostileError(ParseError):
    """The document is made to harm its reader (a bomb, an external entity); nothing of it is used."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, "hostile")


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """The outcome of parsing the document `key` in `version`; `media_type` is the one found in its content.

    `status`: `ok`; `partial`, some of it could not be read and `text` is the rest; `empty`, a valid document without
    text; `failed`; `hostile`. `text` is non-empty exactly when `status` is in READABLE, `reason` says why it is not
    `ok`, `failure` is the class of reason when nothing could be read. `bytes` and `content_hash` are the raw data's.
    """

    key: str
    version: str
    status: Status
    title: str | None
    text: str
    reason: str | None
    metadata: dict[str, JSON]
    media_type: str
    bytes: int
    content_hash: str
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Content:
    """What a parser returns: newlines are `\\n`; `title` and `metadata` as far as the document itself states them.

    `problems`: what could not be read, one line each; with any, the outcome is `partial`. `empty`: why there is no
    text, where the parser knows more than that there is none.
    """

    text: str
    title: str | None = None
    metadata: dict[str, JSON] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    empty: str = "the document has no text"


Read: TypeAlias = Callable[[bytes, ParsingSettings], Content]


@dataclass(frozen=True, slots=True)
class Parser:
    """A registered parser. `libraries` are the packages whose version shapes its text."""

    name: str
    read: Read
    version: int
    libraries: tuple[str, ...]


_parsers: dict[str, dict[str, Parser]] = {}
_media_types: dict[str, str] = {}


def parser(
    *media_types: str,
    version: int,
    name: str = "built-in",
    extensions: tuple[str, ...] = (),
    libraries: tuple[str, ...] = (),
) -> Callable[[Read], Read]:
    """Register the decorated function; raise `version` when its output changes, so that documents are parsed again.

    The function raises ParseError for a document it cannot read, HostileError for one that means harm.
    """

    def register(read: Read) -> Read:
        for media_type in media_types:
            _parsers.setdefault(media_type, {})[name] = Parser(name, read, version, libraries)
        _media_types.update(dict.fromkeys(extensions, media_types[0]))
        return read

    return register


def parse(raw: RawDocument, settings: ParsingSettings = DEFAULTS) -> ParsedDocument:
    """Return the document's text, or why there is none. Never raises for what a document holds.

    It runs in this process, without limits: what comes from strangers belongs into a `parser_pool`.
    """
    media_type = detect(raw.data, raw.media_type)
    found = find_parser(media_type, settings)
    if not raw.data:
        return outcome(raw, "empty", media_type, reason="the file has no bytes")
    if found is None:
        return outcome(raw, "failed", media_type, reason=f"no parser for {media_type}", failure="unsupported")
    try:
        content = found.read(raw.data, settings)
    except ParseError as error:
        status: Status = "hostile" if error.failure == "hostile" else "failed"
        return outcome(raw, status, media_type, reason=str(error), failure=error.failure)
    except MemoryError:
        return outcome(raw, "failed", media_type, reason="needs more memory than allowed", failure="exhaustion")
    except Exception as error:  # noqa: BLE001  (libraries raise anything for damaged input; one document fails, no more)
        reason = f"damaged, or beyond its parser: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        return outcome(raw, "failed", media_type, reason=reason, failure="corruption")
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


def outcome(
    raw: RawDocument,
    status: Status,
    media_type: str,
    *,
    title: str | None = None,
    metadata: dict[str, JSON] | None = None,
    text: str = "",
    reason: str | None = None,
    failure: Failure | None = None,
) -> ParsedDocument:
    """Return the outcome of a document, with what its source says of it where nothing else is known."""
    return ParsedDocument(
        raw.key,
        raw.version,
        status,
        title or raw.title,
        text,
        reason,
        raw.metadata if metadata is None else metadata,
        media_type,
        len(raw.data),
        digest(raw.data),
        failure,
    )


def find_parser(media_type: str, settings: ParsingSettings = DEFAULTS) -> Parser | None:
    """Return the parser of a media type: the one that the settings choose, else the first; None where there is none.

    Raises SettingsError when the settings choose one that does not exist.
    """
    _load_plugins()
    found = _parsers.get(media_type, {})
    chosen = settings.parsers.get(media_type)
    if chosen is None:
        return next(iter(found.values()), None)
    if chosen not in found:
        known = ", ".join(found) or "none"
        raise SettingsError(f"parsing.parsers.{media_type}: no parser is named {chosen!r}; there are: {known}")
    return found[chosen]


def parser_names(media_type: str) -> tuple[str, ...]:
    """Return the names of a media type's parsers, the one that is used by default first."""
    _load_plugins()
    return tuple(_parsers.get(media_type, {}))


def require_parsers(settings: ParsingSettings) -> None:
    """Raise SettingsError when the settings choose a parser that does not exist."""
    for media_type in settings.parsers:
        find_parser(media_type, settings)


def parser_modules() -> list[str]:
    """Return the modules that register the parsers of this process, for another process to import."""
    _load_plugins()
    modules = {one.read.__module__ for parsers in _parsers.values() for one in parsers.values()}
    return sorted(modules - {"__main__"})


@cache
def _load_plugins() -> None:
    for entry in entry_points(group=ENTRY_POINTS):
        entry.load()


def parser_fingerprint(media_type: str, settings: ParsingSettings = DEFAULTS) -> str:
    """Return what identifies the parser of a media type: its name, its version, and its libraries' versions.

    Of none, where there is none, so that a document is parsed again once there is one.
    """
    found = find_parser(media_type, settings)
    if found is None:
        return digest("parser", media_type, "none")
    libraries = (f"{one} {_installed(one)}" for one in found.libraries)
    parts = (str(DETECTION_VERSION), found.name, str(found.version), settings.ocr or "", *libraries)
    return digest("parser", media_type, *parts)


@cache
def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def media_type_of(path: str) -> str | None:
    """Return the media type of a file name's extension if a parser exists for it."""
    _load_plugins()
    return _media_types.get(posixpath.splitext(path)[1].lower())
