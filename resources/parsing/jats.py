"""Scientific articles in JATS (PubMed Central, NLM): title, abstract and body as Markdown, the rest as metadata.

References and their marks in the text, contributors' addresses and other matter around the article are left out. Also
other XML, of which the text is all that is known.
"""

import re
from collections.abc import Iterator
from typing import Any

from resources.parsing.base import JSON, Content, HostileError, ParseError
from resources.parsing.detection import JATS, XML
from resources.parsing.formulas import local_name, mathml_to_latex
from resources.parsing.registry import parser
from resources.parsing.settings import ParsingSettings
from resources.parsing.writing import blocks, heading, one_line, table, tidy
from resources.parsing.xml import read_xml

_DROPPED = frozenset(
    (
        *(
            "ref-list",
            "graphic",
            "inline-graphic",
            "media",
            "object-id",
            "related-article",
            "related-object",
            "sec-meta",
        ),
        *("permissions", "fn-group", "ack", "bio", "index-term", "x", "processing-meta", "citation-alternatives"),
    )
)
_BLOCKS = frozenset(
    (
        *("p", "sec", "list", "table-wrap", "fig", "disp-formula", "disp-quote", "boxed-text", "def-list", "statement"),
        *("fig-group", "table-wrap-group", "disp-formula-group", "supplementary-material", "code", "preformat"),
        *("verse-group", "speech", "title", "caption", "table", "array", "app", "app-group", "glossary"),
        *("question-wrap", "explanation"),
    )
)
_ABSTRACTS_LEFT_OUT = ("graphical", "teaser", "toc", "web-summary", "video")
_EMPTY_MARKS = re.compile(r" ?[\[(](?:[\s,;–—\-]|and|see)*[\])]")
_ONLY_NUMBERS = re.compile(r"[\d\s,;–—\-*\[\]()]+")
_LICENCE = re.compile(
    r"creativecommons\.org/(?:licen[sc]es/([a-z-]+)/(\d\.\d)|publicdomain/(zero|mark)/(\d\.\d))", re.IGNORECASE
)
_LICENCE_WORDS = re.compile(
    r"Creative Commons\s+(CC0|Public Domain|Attribution)(?:[\s\-–]+(Non-?Commercial))?"
    r"(?:[\s\-–]+(No-?Deriv|Share-?Alike)\w*)?(?:.{0,60}?(\d\.\d))?",
    re.IGNORECASE | re.DOTALL,
)
# The first of these that an article has; electronic publication comes first, since it is when it could be read.
_DATES = ("epub", "pub", "ppub", "collection", "epub-ppub", "pmc-release")


@parser(JATS, extensions=(".nxml",), version=1)
def read_jats(data: bytes, settings: ParsingSettings) -> Content:
    """Return the article's abstract and body; of a set of articles, the first."""
    root, problems = _read(data)
    article = root if root.tag == "article" else root.find(".//article")
    if article is None:
        return _plain(root, problems)
    meta = article.find("front/article-meta")
    if meta is None:
        meta = article.find("front-stub")
    parts: list[str] = []
    metadata: dict[str, JSON] = {}
    title = None
    if meta is not None:
        title = _title(meta)
        metadata = _metadata(article, meta)
        for abstract in meta.iterfind("abstract"):
            if (abstract.get("abstract-type") or "") not in _ABSTRACTS_LEFT_OUT:
                own = abstract.find("title")
                name = _inline(own) if own is not None else ""
                parts += [heading(2, name or "Abstract"), *_blocks(abstract, 2, skip_title=True)]
    for place in ("body", "floats-group", "back/app-group", "back/app", "back/glossary"):
        for element in article.iterfind(place):
            parts += _blocks(element, 1)
    return Content(tidy(blocks(parts)), title, metadata, problems, "the article has neither abstract nor body")


@parser(XML, extensions=(".xml",), version=1)
def read_other_xml(data: bytes, settings: ParsingSettings) -> Content:
    """Return the text of any XML document, one line for each element that has some of its own."""
    return _plain(*_read(data))


def _read(data: bytes) -> tuple[Any, tuple[str, ...]]:
    """Return the root, names without namespaces, and what is wrong; of damaged XML, what could be made out."""
    problems: tuple[str, ...] = ()
    try:
        root = read_xml(data)
    except HostileError:
        raise
    except ParseError as error:
        root, problems = read_xml(data, recover=True), (str(error),)
    for element in root.iter():
        element.tag = local_name(element)
    return root, problems


def _plain(root: Any, problems: tuple[str, ...]) -> Content:
    lines = []
    for element in root.iter():
        line = one_line("".join([element.text or "", *(child.tail or "" for child in element)]))
        if line:
            lines.append(line)
    title = root.find(".//title")
    name = one_line("".join(title.itertext())) if title is not None else None
    return Content("\n".join(lines), name, problems=problems)


def _title(meta: Any) -> str | None:
    title = meta.find("title-group/article-title")
    if title is None:
        title = meta.find("article-title")
    if title is None:
        return None
    text = _inline(title)
    subtitle = meta.find("title-group/subtitle")
    return f"{text}: {_inline(subtitle)}" if subtitle is not None and _inline(subtitle) else text or None


def _blocks(container: Any, level: int, *, skip_title: bool = False) -> Iterator[str]:
    """Yield the blocks of a container, whose sections' titles are headings of the next level."""
    for element in container:
        tag = element.tag
        if tag == "title":
            if not skip_title:
                yield heading(level, _inline(element))
        elif tag in ("sec", "app", "boxed-text", "glossary"):
            yield from _section(element, level + 1)
        elif tag in ("table-wrap", "fig", "supplementary-material"):
            yield from _float(element)
        elif tag in ("table", "array"):
            yield table(_rows(element))
        elif tag == "disp-formula":
            yield _formula(element, "$$")
        elif tag == "list":
            yield "\n".join(f"- {item}" for one in element.iterfind("list-item") if (item := _item(one)))
        elif tag == "def-list":
            yield (
                blocks(_blocks(element, level))
                if element.find("def-item") is None
                else "\n".join(_definitions(element))
            )
        elif tag in ("code", "preformat"):
            yield "```\n" + "".join(element.itertext()).strip("\n") + "\n```"
        elif tag in _DROPPED or not tag:
            continue
        elif any(child.tag in _BLOCKS for child in element):
            yield from _mixed(element, level)
        else:
            yield _inline(element)


def _section(element: Any, level: int) -> Iterator[str]:
    label, title = element.find("label"), element.find("title")
    name = _inline(title) if title is not None else ""
    if name and label is not None and not name.startswith(_inline(label)):
        name = f"{_inline(label)} {name}"
    yield heading(min(level, 6), name)
    caption = element.find("caption")
    if caption is not None and not name:
        yield from _blocks(caption, level)
    for child in element:
        if child.tag not in ("title", "label", "caption"):
            wrapper = [child]
            yield from _blocks(wrapper, level)


def _mixed(element: Any, level: int) -> Iterator[str]:
    """Yield the running text of a paragraph, cut where tables, lists or displayed formulas stand in it."""
    pieces = [element.text or ""]
    for child in element:
        if child.tag in _BLOCKS and child.tag not in _DROPPED:
            yield _clean("".join(pieces))
            pieces = []
            yield from _blocks([child], level)
        else:
            pieces.append(_piece(child))
        pieces.append(child.tail or "")
    yield _clean("".join(pieces))


def _item(element: Any) -> str:
    return one_line(" ".join(_blocks(element, 5)))


def _definitions(element: Any) -> Iterator[str]:
    for item in element.iterfind("def-item"):
        term, meaning = item.find("term"), item.find("def")
        if term is not None:
            yield f"- {_inline(term)}: {_item(meaning) if meaning is not None else ''}"


def _float(element: Any) -> Iterator[str]:
    """Yield a table with its label, caption and notes, or a figure's label and caption."""
    label, caption = element.find("label"), element.find("caption")
    said = [_inline(label)] if label is not None else []
    said += [_inline(one) for one in caption] if caption is not None and len(caption) else []
    if caption is not None and not len(caption):
        said.append(_inline(caption))
    yield " ".join(one if one.endswith((".", ":", "?")) else f"{one}." for one in said if one)
    for child in element.iter("table", "array"):
        yield table(_rows(child))
    for child in element:
        if child.tag not in ("label", "caption", "table", "array", "alternatives"):
            yield from _blocks([child], 5)


def _rows(element: Any) -> Iterator[list[str]]:
    for row in element.iter("tr"):
        cells: list[str] = []
        for cell in row.iterchildren("td", "th"):
            cells.append(" ".join(_blocks([cell], 5)))
            span = cell.get("colspan") or "1"
            cells += [""] * (min(int(span), 50) - 1 if span.isdecimal() else 0)
        yield cells


def _inline(element: Any) -> str:
    pieces = [element.text or ""]
    for child in element:
        pieces += [_piece(child), child.tail or ""]
    return _clean("".join(pieces))


def _clean(text: str) -> str:
    return one_line(_EMPTY_MARKS.sub("", one_line(text)))


def _piece(element: Any) -> str:
    """Return what an element within a line is written as."""
    tag = element.tag
    if tag == "xref" and element.get("ref-type") == "bibr" and _ONLY_NUMBERS.fullmatch("".join(element.itertext())):
        return ""
    if tag in _DROPPED or (tag in ("fn", "label") and element.getparent().tag in ("fn", "disp-formula")):
        return ""
    if tag in ("inline-formula", "disp-formula", "math", "tex-math", "alternatives"):
        return f" {_formula(element, '$$' if tag == 'disp-formula' else '$')} "
    if tag == "break":
        return " "
    text = "".join([element.text or "", *(_piece(child) + (child.tail or "") for child in element)])
    if tag == "sup" and (re.fullmatch(r"\s*[-−–]?\d+\s*", text)) and _follows_digit(element):
        return f"^{text.strip()}"
    return f" {text} " if tag in _BLOCKS or tag in ("td", "th", "list-item", "def-item", "term", "def") else text


def _follows_digit(element: Any) -> bool:
    before = element.getprevious()
    text = (before.tail if before is not None else element.getparent().text) or ""
    return text[-1:].isdigit()


def _formula(element: Any, mark: str) -> str:
    """Return a formula in LaTeX: the TeX an article has, else its MathML, else its text; with its label."""
    tex = next(element.iter("tex-math"), None)
    math = next(element.iter("math"), None)
    if tex is not None:
        source = "".join(tex.itertext())
        _, begun, document = source.partition(r"\begin{document}")
        latex = one_line(document.partition(r"\end{document}")[0] if begun else source).strip("$ ")
    elif math is not None:
        latex = mathml_to_latex(math)
    else:
        label = element.find("label")
        pieces = ((child.tail or "") if child is label else _piece(child) + (child.tail or "") for child in element)
        latex = one_line((element.text or "") + "".join(pieces))
    return f"{mark}{latex}{mark}" if latex else ""


def _metadata(article: Any, meta: Any) -> dict[str, JSON]:
    found: dict[str, JSON | None] = {
        "authors": list(_authors(meta)) or None,
        "date": _date(meta),
        "licence": _licence(meta),
        "language": article.get("{http://www.w3.org/XML/1998/namespace}lang"),
        "article_type": article.get("article-type"),
        "journal": _text(article, "front/journal-meta//journal-title"),
        "keywords": [_inline(one) for one in meta.iterfind("kwd-group/kwd")] or None,
        "subjects": [_inline(one) for one in meta.iterfind("article-categories//subject")] or None,
    }
    for one in meta.iterfind("article-id"):
        kind = {"pmc": "pmcid", "pmcid": "pmcid"}.get(one.get("pub-id-type", ""), one.get("pub-id-type", ""))
        text = one_line("".join(one.itertext()))
        if kind in ("doi", "pmid", "pmcid") and text:
            found[kind] = f"PMC{text}" if kind == "pmcid" and text.isdecimal() else text
    authors = found.get("authors")
    if isinstance(authors, list):
        found["author"] = "; ".join(str(one) for one in authors)
    return {key: value for key, value in found.items() if value}


def _authors(meta: Any) -> Iterator[str]:
    for contributor in meta.iterfind("contrib-group/contrib"):
        if contributor.get("contrib-type") not in (None, "author"):
            continue
        yield from _names(contributor)
    for contributor in meta.iterfind("contrib-group/collab"):
        yield _inline(contributor)


def _names(contributor: Any) -> Iterator[str]:
    name = contributor.find("name")
    if name is None:
        name = contributor.find("name-alternatives/name")
    if name is not None:
        given, family, suffix = (_text(name, one) for one in ("given-names", "surname", "suffix"))
        if full := " ".join(one for one in (given, family, suffix) if one):
            yield full
        return
    for path in ("string-name", "name-alternatives/string-name", "collab", "collab-alternatives/collab"):
        element = contributor.find(path)
        if element is not None:
            # A group lists its members within itself.
            text = one_line(
                (element.text or "")
                + "".join(
                    ("" if child.tag == "contrib-group" else "".join(child.itertext())) + (child.tail or "")
                    for child in element
                )
            )
            if text:
                yield text
            return


def _text(element: Any, path: str) -> str | None:
    found = element.find(path)
    return _inline(found) or None if found is not None else None


def _date(meta: Any) -> str | None:
    """Return the day of publication in ISO 8601, as exactly as it is known."""
    found: dict[str, str] = {}
    for one in meta.iterfind("pub-date"):
        kind = one.get("pub-type") or one.get("date-type") or "pub"
        year, month, day = (_text(one, name) or "" for name in ("year", "month", "day"))
        if re.fullmatch(r"\d{4}", year):
            date = year
            if month.isdecimal() and 1 <= int(month) <= 12:
                date += f"-{int(month):02}"
                if day.isdecimal() and 1 <= int(day) <= 31:
                    date += f"-{int(day):02}"
            found.setdefault(kind, date)
    return next((found[kind] for kind in _DATES if kind in found), next(iter(found.values()), None))


def _licence(meta: Any) -> str | None:
    """Return the licence's SPDX name where it is a known one, else its address or its words."""
    for licence in meta.iter("license"):
        values = [value for element in licence.iter() for value in (*element.attrib.values(), element.text or "")]
        words = one_line("".join(licence.itertext()))
        for value in (*values, words):
            if match := _LICENCE.search(value):
                if match[1]:
                    return f"CC-{match[1].upper()}-{match[2]}"
                return "CC0-1.0" if match[3].lower() == "zero" else "CC-PDM-1.0"
        if match := _LICENCE_WORDS.search(words):
            return _spdx(match)
        if words or licence.get("license-type"):
            return words[:300] or licence.get("license-type")
    return _text(meta, ".//copyright-statement")


def _spdx(match: re.Match[str]) -> str:
    """Return the SPDX name of a licence that is named in words; without a version where none is said."""
    if match[1].lower() != "attribution":
        return "CC0-1.0"
    change = {"n": "ND", "s": "SA"}.get((match[3] or "")[:1].lower(), "")
    return "-".join(one for one in ("CC-BY", "NC" if match[2] else "", change, match[4] or "") if one)
