"""Web pages: Markdown, with the title, author, date, language and licence that the page states in its head."""

import re
from typing import Any

from resources.parsing.base import JSON, Content
from resources.parsing.markup import to_markdown
from resources.parsing.registry import parser
from resources.parsing.settings import ParsingSettings
from resources.parsing.text import decode

_CHARSET = re.compile(
    rb"<meta[^>]{0,200}charset\s*=\s*[\"']?\s*([\w-]{2,40})|<\?xml[^>]{0,100}encoding=[\"']([\w-]{2,40})", re.I
)
_HEAD = 4096
# HTML's own rule: what calls itself Latin-1 is read as Windows-1252.
_AS_READ = {"iso-8859-1": "cp1252", "latin1": "cp1252", "ascii": "cp1252", "us-ascii": "cp1252", "x-sjis": "cp932"}
_META = {
    "author": ("author", "dc.creator", "citation_author", "article:author", "dcterms.creator"),
    "date": ("article:published_time", "date", "dc.date", "citation_publication_date", "dcterms.date", "pubdate"),
    "description": ("description", "og:description"),
    "licence": ("dc.rights", "dcterms.license", "license"),
}


@parser(
    "text/html",
    extensions=(".html", ".htm", ".xhtml"),
    version=1,
    libraries=("selectolax", "charset-normalizer"),
)
def read_html(data: bytes, settings: ParsingSettings) -> Content:
    """Return the page's text as Markdown; its title is that of its head, else its first main heading."""
    text, problems = _decode(data)
    tree = parse_page(text)
    title = _text(tree.css_first("title")) or _text(tree.css_first("h1"))
    body = tree.body or tree.root
    return Content(
        to_markdown(body) if body is not None else "",
        title,
        _metadata(tree),
        problems,
        empty="the page has no text (it may need its scripts)",
    )


def parse_page(text: str) -> Any:
    """Return the tree of a page, however badly written it is."""
    from selectolax.lexbor import LexborHTMLParser

    return LexborHTMLParser(text)


def _decode(data: bytes) -> tuple[str, tuple[str, ...]]:
    """Return the text: the page's own word on its encoding holds where it is not UTF-8 and has no byte order mark."""
    stated = _CHARSET.search(data[:_HEAD])
    name = (stated[1] or stated[2]).decode("ascii").lower() if stated else ""
    if name and not name.startswith(("utf", "unicode")):
        try:
            data.decode("utf-8")
        except UnicodeDecodeError:
            try:
                return data.decode(_AS_READ.get(name, name)), ()
            except (UnicodeDecodeError, LookupError):
                pass  # it is wrong about itself
    return decode(data)


def _text(node: Any) -> str | None:
    return " ".join(node.text(deep=True).split())[:500] or None if node is not None else None


def _metadata(tree: Any) -> dict[str, JSON]:
    stated: dict[str, str] = {}
    for node in tree.css("meta"):
        attributes = node.attributes
        name = (attributes.get("name") or attributes.get("property") or "").lower()
        if name and attributes.get("content"):
            stated.setdefault(name, attributes["content"].strip())
    metadata: dict[str, JSON] = {}
    for key, names in _META.items():
        if found := next((stated[name] for name in names if name in stated), None):
            metadata[key] = found
    root = tree.css_first("html")
    if root is not None and root.attributes.get("lang"):
        metadata["language"] = root.attributes["lang"]
    link = tree.css_first('link[rel="license"], a[rel="license"]')
    if link is not None and link.attributes.get("href"):
        metadata.setdefault("licence", link.attributes["href"])
    return metadata
