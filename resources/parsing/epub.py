"""E-books: the chapters of an EPUB in reading order, as Markdown."""

import posixpath
from typing import Any
from urllib.parse import unquote

from resources.parsing.archive import Archive, open_archive
from resources.parsing.base import JSON, Content, ParseError
from resources.parsing.detection import EPUB
from resources.parsing.formulas import local_name
from resources.parsing.html import parse_page
from resources.parsing.markup import to_markdown
from resources.parsing.registry import parser
from resources.parsing.settings import ParsingSettings
from resources.parsing.text import decode
from resources.parsing.writing import blocks
from resources.parsing.xml import read_xml

_PROPERTIES = {"title": "title", "creator": "author", "date": "date", "language": "language", "rights": "licence"}


@parser(EPUB, extensions=(".epub",), version=1, libraries=("selectolax",))
def read_epub(data: bytes, settings: ParsingSettings) -> Content:
    """Return the book's text; a chapter that is missing or damaged makes it partial."""
    parts: list[str] = []
    problems: list[str] = []
    with open_archive(data) as archive:
        if "META-INF/encryption.xml" in archive.names and "META-INF/rights.xml" in archive.names:
            raise ParseError("encrypted: it is protected against copying", "unsupported")
        package = _package(archive)
        root = read_xml(archive.read(package))
        for name in _reading_order(root, posixpath.dirname(package)):
            try:
                text, damages = decode(archive.read(name))
                body = parse_page(text).body
                parts.append(to_markdown(body) if body is not None else "")
                problems += (f"{name}: {one}" for one in damages)
            except ParseError as error:
                problems.append(str(error))
    metadata: dict[str, JSON] = {}
    for element in root.iter():
        key = _PROPERTIES.get(local_name(element))
        if key and element.text and "purl.org/dc" in str(element.tag):
            metadata.setdefault(key, " ".join(element.text.split()))
    title = metadata.pop("title", None)
    return Content(blocks(parts), str(title) if title else None, metadata, tuple(problems[:5]))


def _package(archive: Archive) -> str:
    container = read_xml(archive.read("META-INF/container.xml"))
    for element in container.iter():
        if local_name(element) == "rootfile" and element.get("full-path"):
            return str(element.get("full-path"))
    raise ParseError("damaged: its container names no package")


def _reading_order(root: Any, folder: str) -> list[str]:
    paths = {
        element.get("id"): posixpath.normpath(posixpath.join(folder, unquote(element.get("href") or "")))
        for element in root.iter()
        if local_name(element) == "item" and "html" in (element.get("media-type") or "")
    }
    spine = [element.get("idref") for element in root.iter() if local_name(element) == "itemref"]
    return list(dict.fromkeys(paths[one] for one in spine if one in paths)) or list(paths.values())
