"""Which parsers there are. A format is added by a module that decorates a function with `@parser(...)`.

The module is imported in `resources.parsing`, or named by an entry point of the group `rag_assets.parsers`. Several
parsers may read one media type: the first is used unless the settings choose another, and the others stand in for it
where it fails. Not here: which type bytes are of (`detection`), and running a parser (`reading`).
"""

import posixpath
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, entry_points, version
from typing import TypeAlias

from resources.errors import SettingsError
from resources.identity import digest
from resources.parsing.base import Content
from resources.parsing.detection import DETECTION_VERSION
from resources.parsing.settings import ParsingSettings

ENTRY_POINTS = "rag_assets.parsers"
DEFAULTS = ParsingSettings()
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


def parsers_of(media_type: str, settings: ParsingSettings = DEFAULTS) -> tuple[Parser, ...]:
    """Return the parsers of a media type in the order in which they are tried: the one that the settings choose, else
    the first registered, then the others; none where there is none.

    Raises SettingsError when the settings choose one that does not exist.
    """
    _load_plugins()
    found = _parsers.get(media_type, {})
    chosen = settings.parsers.get(media_type)
    if chosen is not None and chosen not in found:
        known = ", ".join(found) or "none"
        raise SettingsError(f"parsing.parsers.{media_type}: no parser is named {chosen!r}; there are: {known}")
    return tuple(sorted(found.values(), key=lambda one: one.name != chosen))


def parser_names(media_type: str) -> tuple[str, ...]:
    """Return the names of a media type's parsers, the one that is used by default first."""
    _load_plugins()
    return tuple(_parsers.get(media_type, {}))


def require_parsers(settings: ParsingSettings) -> None:
    """Raise SettingsError when the settings choose a parser that does not exist."""
    for media_type in settings.parsers:
        parsers_of(media_type, settings)


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

    Those that stand in for it are left out: their text is `partial`, and a better one is no reason to parse the others.

    Of none, where there is none, so that a document is parsed again once there is one.
    """
    found = next(iter(parsers_of(media_type, settings)), None)
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
