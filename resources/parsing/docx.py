"""Word documents: the body as Markdown, with headings, lists, tables, notes and formulas; then headers and footers.

Reads the XML parts by itself, each after its size is known: libraries for DOCX unpack a whole file first, and leave out
formulas, text boxes or notes (see docs/parsing.md). Deleted text of tracked changes and comments are left out.
"""

from collections.abc import Iterator
from typing import Any

from resources.parsing.archive import Archive, open_archive
from resources.parsing.base import Content, ParseError
from resources.parsing.detection import DOCX
from resources.parsing.formulas import local_name, omml_to_latex
from resources.parsing.office import core_properties, part_names
from resources.parsing.registry import parser
from resources.parsing.settings import ParsingSettings
from resources.parsing.writing import MAX_COLUMNS, blocks, heading, table, tidy
from resources.parsing.xml import read_xml

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_STRICT = "{http://purl.oclc.org/ooxml/wordprocessingml/main}"
_SKIPPED = frozenset(
    (
        *(
            "del",
            "moveFrom",
            "instrText",
            "delText",
            "pPr",
            "rPr",
            "tblPr",
            "trPr",
            "tcPr",
            "sectPr",
            "sdtPr",
            "Fallback",
        ),
        *("commentRangeStart", "footnotePr", "pict", "object", "fldChar", "proofErr", "bookmarkStart"),
    )
)
_NOTE_KINDS = ("separator", "continuationSeparator", "continuationNotice")


@parser(DOCX, extensions=(".docx", ".docm", ".dotx"), version=1)
def read_docx(data: bytes, settings: ParsingSettings) -> Content:
    """Return the document as Markdown; a part beside the body that is damaged makes it partial."""
    with open_archive(data) as archive:
        main = _main_part(archive)
        body = read_xml(archive.read(main))
        problems: list[str] = []
        styles = _heading_styles(archive, problems)
        parts = [_Body(styles).text(body)]
        folder = main.rpartition("/")[0]
        for name in part_names(archive, folder, ("footnotes", "endnotes", "header", "footer")):
            try:
                parts.append(_Body({}).text(read_xml(archive.read(name))))
            except ParseError as error:
                problems.append(f"{name}: {error}")
        metadata = core_properties(archive)
    title = metadata.pop("title", None) or _first_heading(parts[0])
    # The same header stands in several parts: one for the first page, one for even pages.
    unique = list(dict.fromkeys(parts))
    return Content(tidy(blocks(unique)), str(title) if title else None, metadata, tuple(problems))


def _main_part(archive: Archive) -> str:
    named = [name for name in archive.names if name.endswith("document.xml") and name.startswith("word/")]
    if named:
        return named[0]
    for name in archive.names:
        if name.startswith("word/document") and name.endswith(".xml"):
            return name
    raise ParseError("damaged: it has no main part (word/document.xml)")


def _first_heading(text: str) -> str | None:
    line = next((line for line in text.splitlines() if line.startswith("#")), "")
    return line.lstrip("# ") or None


def _heading_styles(archive: Archive, problems: list[str]) -> dict[str, int]:
    """Return the level of each paragraph style that is a heading, by the style's id."""
    data = archive.find("word/styles.xml")
    if data is None:
        return {}
    try:
        root = read_xml(data)
    except ParseError as error:
        problems.append(f"word/styles.xml: {error}")
        return {}
    levels: dict[str, int] = {}
    based_on: dict[str, str] = {}
    for style in _all(root, "style"):
        identity = _value(style, "styleId")
        name = next((_value(one, "val") for one in _all(style, "name")), "").lower()
        outline = next((_value(one, "val") for one in _all(style, "outlineLvl")), "")
        based_on[identity] = next((_value(one, "val") for one in _all(style, "basedOn")), "")
        if name == "title":
            levels[identity] = 1
        elif name.startswith("heading ") and name[8:].isdecimal():
            levels[identity] = int(name[8:])
        elif outline.isdecimal() and int(outline) < 9:
            levels[identity] = int(outline) + 1
    for identity in based_on:
        ancestor, seen = identity, set()
        while ancestor and ancestor not in levels and ancestor not in seen:
            seen.add(ancestor)
            ancestor = based_on.get(ancestor, "")
        if ancestor in levels:
            levels[identity] = levels[ancestor]
    return levels


class _Body:
    """Writes one part of a document; `styles` are the levels of its heading styles."""

    def __init__(self, styles: dict[str, int]) -> None:
        self._styles = styles

    def text(self, root: Any) -> str:
        body = next(_all(root, "body"), root)
        return blocks(self._blocks(body))

    def _blocks(self, container: Any) -> Iterator[str]:
        """Yield paragraphs and tables; list items that follow one another are one block."""
        items: list[str] = []
        for element in container:
            name = local_name(element)
            if name == "p":
                text, is_item = self._paragraph(element)
                if is_item and text:
                    items.append(text)
                    continue
                if text or not items:
                    if items:
                        yield "\n".join(items)
                        items = []
                    yield text
                continue
            if items:
                yield "\n".join(items)
                items = []
            if name == "tbl":
                yield table(self._rows(element))
            elif name in ("footnote", "endnote") and _value(element, "type") in _NOTE_KINDS:
                continue
            elif name and name not in _SKIPPED:
                yield from self._blocks(element)
        if items:
            yield "\n".join(items)

    def _rows(self, element: Any) -> Iterator[list[str]]:
        """Yield the rows of a table; what stands in merged cells is in each of them, so that every row has it."""
        above: list[str] = []
        for row in _rows_of(element):
            cells: list[str] = []
            for cell in _cells(row):
                span, continues = _merging(cell)
                repeated = above[len(cells)] if continues and len(cells) < len(above) else None
                cells += [" ".join(self._blocks(cell)) if repeated is None else repeated] * span
            yield cells
            above = cells

    def _paragraph(self, element: Any) -> tuple[str, bool]:
        """Return a paragraph's text, and whether it is an item of a list."""
        pieces: list[str] = []
        boxes: list[str] = []
        self._runs(element, pieces, boxes)
        text = "".join(pieces).strip()
        properties = next((one for one in element if local_name(one) == "pPr"), None)
        style = outline = ""
        is_item = False
        for one in properties if properties is not None else ():
            name = local_name(one)
            if name == "pStyle":
                style = _value(one, "val")
            elif name == "outlineLvl":
                outline = _value(one, "val")
            elif name == "numPr":
                is_item = True
        level = self._styles.get(style) or (int(outline) + 1 if outline.isdecimal() and int(outline) < 9 else None)
        if level and text:
            return blocks([heading(level, text), *boxes]), False
        is_item = (is_item or "list" in style.lower()) and not boxes
        return (f"- {text}" if is_item and text else blocks([text, *boxes])), is_item

    def _runs(self, element: Any, pieces: list[str], boxes: list[str]) -> None:
        """Collect the running text under an element, and the texts of boxes that hang on it."""
        for child in element:
            match local_name(child):
                case "t":
                    pieces.append(child.text or "")
                case "tab":
                    pieces.append("\t")
                case "br" | "cr":
                    if _value(child, "type") not in ("page", "column"):
                        pieces.append("\n")
                case "noBreakHyphen":
                    pieces.append("-")
                case "sym":
                    pieces.append(_symbol(child))
                case "oMathPara":
                    latex = " \\\\ ".join(omml_to_latex(one) for one in child if local_name(one) == "oMath")
                    pieces.append(f" $${latex}$$ ")
                case "oMath":
                    pieces.append(f"${omml_to_latex(child)}$")
                case "txbxContent":
                    boxes.extend(self._blocks(child))
                case "pict" | "object" if any(True for _ in _all(child, "txbxContent")):
                    for box in _all(child, "txbxContent"):
                        boxes.extend(self._blocks(box))
                case name if name and name not in _SKIPPED:
                    self._runs(child, pieces, boxes)


def _rows_of(table: Any) -> Iterator[Any]:
    for child in table:
        name = local_name(child)
        if name == "tr":
            yield child
        elif name and name not in _SKIPPED:
            yield from _rows_of(child)


def _merging(cell: Any) -> tuple[int, bool]:
    """Return over how many columns a cell goes, and whether it continues the one above."""
    span, continues = 1, False
    for one in next((child for child in cell if local_name(child) == "tcPr"), ()):
        if local_name(one) == "gridSpan" and _value(one, "val").isdecimal():
            span = min(max(int(_value(one, "val")), 1), MAX_COLUMNS)
        elif local_name(one) == "vMerge":
            continues = _value(one, "val") != "restart"
    return span, continues


def _cells(row: Any) -> Iterator[Any]:
    for child in row:
        name = local_name(child)
        if name == "tc":
            yield child
        elif name and name not in _SKIPPED:
            yield from _cells(child)


def _symbol(element: Any) -> str:
    code = _value(element, "char")
    try:
        character = chr(int(code, 16))
    except (ValueError, OverflowError):
        return ""
    # Symbol fonts have their characters in the private area; as letters they would be wrong.
    return "" if "\ue000" <= character <= "\uf8ff" else character


def _all(root: Any, name: str) -> Iterator[Any]:
    yield from root.iter(_W + name, _STRICT + name)


def _value(element: Any, name: str) -> str:
    return element.get(_W + name) or element.get(_STRICT + name) or ""
