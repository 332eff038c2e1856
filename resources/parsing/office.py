"""What Office documents have in common: their properties, the parts of a kind, and what to say of older formats."""

import re
from typing import Any

from resources.parsing.archive import Archive
from resources.parsing.base import JSON, Content, ParseError
from resources.parsing.detection import OLE
from resources.parsing.formulas import local_name
from resources.parsing.registry import parser
from resources.parsing.settings import ParsingSettings
from resources.parsing.xml import read_xml

_PROPERTIES = {"title": "title", "creator": "author", "created": "date", "language": "language", "subject": "subject"}
_COUNTS = {"Pages": "pages", "Slides": "pages"}
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")


@parser(OLE, extensions=(".doc", ".xls", ".ppt"), version=1)
def read_ole(data: bytes, settings: ParsingSettings) -> Content:
    """Say why a document in the container of older Office formats cannot be read."""
    if _ENCRYPTED in data:
        raise ParseError("encrypted: a password is needed", "unsupported")
    raise ParseError(
        "an Office format from before 2007 (.doc, .xls, .ppt); save it as .docx, .xlsx or .pptx", "unsupported"
    )


def core_properties(archive: Archive) -> dict[str, JSON]:
    """Return title, author, date, language and pages as far as the document states them; damaged ones are left out."""
    found: dict[str, JSON] = {}
    for name, wanted in (("docProps/core.xml", _PROPERTIES), ("docProps/app.xml", _COUNTS)):
        try:
            data = archive.find(name)
            root: Any = read_xml(data) if data else ()
        except ParseError:
            continue
        for element in root:
            key = wanted.get(local_name(element))
            text = " ".join((element.text or "").split())
            if key and text:
                found[key] = int(text) if key == "pages" and text.isdecimal() else text
    return found


def part_names(archive: Archive, folder: str, kinds: tuple[str, ...]) -> list[str]:
    """Return the XML parts in a folder whose names are one of `kinds`, with or without a number, in their order."""
    pattern = re.compile(rf"{re.escape(folder)}/({'|'.join(kinds)})(\d*)\.xml")
    matches = [match for name in archive.names if (match := pattern.fullmatch(name))]
    matches.sort(key=lambda match: (kinds.index(match[1]), int(match[2] or 0)))
    return [match[0] for match in matches]
