"""Reads XML of strangers: no external entity, no DTD, no network, and no entity that multiplies.

A document that declares an external entity, or one made of others, is refused as hostile, whether it uses it or not:
neither JATS nor an office document ever does. Not here: what elements mean.
"""

import re
from html.entities import html5
from typing import Any

from resources.parsing.base import HostileError, ParseError

_LONG_ENTITY = 1000
_REFERENCE = re.compile(r"[&%][\w#]")
_AMPLIFIED = re.compile(r"amplification|entity reference loop|Detected an entity|entities loop", re.IGNORECASE)


def read_xml(data: bytes, *, recover: bool = False) -> Any:
    """Return the root element; entities of HTML's names are their characters, other ones are left out.

    Raises HostileError for entities that reach out or multiply, ParseError when it is not well-formed.
    """
    from lxml import etree

    parser = etree.XMLParser(
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        dtd_validation=False,
        huge_tree=False,
        recover=recover,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        message = " ".join(str(error).split())[:200]
        if _AMPLIFIED.search(message):
            raise HostileError(f"XML whose entities multiply: {message}") from error
        raise ParseError(f"damaged: XML is not well-formed: {message}") from error
    except ValueError as error:  # such as an encoding that does not exist
        raise ParseError(f"damaged: XML is not well-formed: {error}") from error
    if root is None:
        raise ParseError("damaged: XML without an element")
    _refuse_entities(root)
    _name_entities(root)
    return root


def read_fragment(text: str) -> Any | None:
    """Return a piece of XML, such as a formula in a page, as an element; None when there is nothing in it."""
    try:
        return read_xml(text.encode("utf-8"), recover=True)
    except ParseError:
        return None


def _refuse_entities(root: Any) -> None:
    dtd = root.getroottree().docinfo.internalDTD
    for entity in dtd.iterentities() if dtd is not None else ():
        content = entity.content or entity.orig or ""
        if entity.content is None:
            raise HostileError(f"XML with an external entity ({entity.name})")
        if len(content) > _LONG_ENTITY or _REFERENCE.search(content):
            raise HostileError(f"XML whose entities multiply ({entity.name})")


def _name_entities(root: Any) -> None:
    """Put characters in the place of references that the parser left, such as &nbsp; without its DTD."""
    from lxml import etree

    declared = {}
    dtd = root.getroottree().docinfo.internalDTD
    if dtd is not None:
        declared = {entity.name: entity.content for entity in dtd.iterentities()}
    for reference in list(root.iter(etree.Entity)):
        text = declared.get(reference.name) or html5.get(f"{reference.name};", " ")
        parent, before = reference.getparent(), reference.getprevious()
        text += reference.tail or ""
        if before is None:
            parent.text = (parent.text or "") + text
        else:
            before.tail = (before.tail or "") + text
        reference.tail = None
        parent.remove(reference)
