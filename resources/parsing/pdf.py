"""PDF through PDFium: pages as Markdown, headings by the size of their letters, tables by how their lines align.

A page that cannot be read makes the document partial; one without a text layer is read by OCR where the settings ask
for it. Not here: how lines become blocks (`layout`), and OCR itself.
"""

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from resources.parsing.base import JSON, Content, ParseError
from resources.parsing.layout import Cell, Line, body_size, to_markdown
from resources.parsing.ocr import read_picture
from resources.parsing.registry import parser
from resources.parsing.settings import ParsingSettings
from resources.parsing.writing import tidy

PDF = "application/pdf"
MAX_PAGES = 20_000
_OCR_SCALE = 200 / 72
_DATE = re.compile(r"D:(\d{4})(\d{2})?(\d{2})?(\d{2})?(\d{2})?(\d{2})?")
_HYPHEN = re.compile("-?[\x02\ufffe]\r?\n?")
_HYPHEN_AT_END = re.compile("[\x02\ufffe]\\s*$")
_GAP = re.compile(r"(?<=\S) +(?=\S)")
# In sizes of the letters; between words of justified text there is less.
_WIDE_GAP = 1.5
_MADE_UP = re.compile(
    r"\W*(untitled|anonymous|unspecified|unknown|author|title)\W*$|microsoft (word|powerpoint) - |document\d*$|"
    r".*\.(docx?|pptx?|indd|tex|dvi)$",
    re.IGNORECASE,
)


@parser(PDF, extensions=(".pdf",), version=1, libraries=("pypdfium2",))
def read_pdf(data: bytes, settings: ParsingSettings) -> Content:
    """Return the text of all pages; the title is the document's own, else its first heading."""
    with _open(data) as document:
        count = len(document)
        if count == 0:
            raise ParseError("damaged: it has no page")
        pages: list[list[Line]] = []
        problems: list[str] = []
        unread = scanned = 0
        for number in range(min(count, MAX_PAGES)):
            try:
                lines = _lines(document, number)
                if not lines and settings.ocr is not None:
                    lines = [Line(text) for text in _recognise(document, number, settings.ocr).splitlines()]
                    scanned += bool(lines)
                pages.append(lines)
            except _errors() as error:
                unread += 1
                if unread <= 5:
                    problems.append(f"page {number + 1}: {error}")
        if unread > 5:
            problems.append(f"{unread} of {count} pages could not be read")
        if count > MAX_PAGES:
            problems.append(f"only the first {MAX_PAGES:,} of {count:,} pages were read")
        if unread == count:
            raise ParseError(f"damaged: none of its {count} pages can be read ({problems[0]})")
        metadata = _metadata(document, count)
    size = body_size(pages)
    text = tidy("\n\n".join(to_markdown(lines, size) for lines in pages))
    title = metadata.pop("title", None) or _first_heading(text)
    if scanned:
        metadata["ocr_pages"] = scanned
    return Content(text, str(title) if title else None, metadata, tuple(problems), _why_empty(count, settings))


@parser(PDF, version=1, name="plain", libraries=("pypdfium2",))
def read_pdf_plainly(data: bytes, settings: ParsingSettings) -> Content:
    """Return the text of all pages as PDFium orders it, without headings and tables: for layouts that mislead."""
    with _open(data) as document:
        count = len(document)
        texts = [
            "\n".join(_HYPHEN.sub("", line.rstrip()) for line in _unbroken(_text(document, number)))
            for number in range(min(count, MAX_PAGES))
        ]
        metadata = _metadata(document, count)
    title = metadata.pop("title", None)
    return Content(tidy("\n\n".join(texts)), str(title) if title else None, metadata, (), _why_empty(count, settings))


def _text(document: Any, number: int) -> str:
    page = document[number]
    try:
        reader = page.get_textpage()
        text: str = reader.get_text_range() if reader.count_chars() else ""
        reader.close()
        return text
    finally:
        page.close()


def _why_empty(pages: int, settings: ParsingSettings) -> str:
    found = f"none of its {pages} page{'s' * (pages > 1)} has a text layer: scanned, or drawn"
    return found if settings.ocr else f"{found}; `parsing.ocr` reads such pages"


def _first_heading(text: str) -> str | None:
    line = next((line for line in text.splitlines() if line.startswith("#")), "")
    return line.lstrip("# ")[:300] or None


def _errors() -> tuple[type[Exception], ...]:
    from pypdfium2 import PdfiumError

    return PdfiumError, ValueError, OSError


@contextmanager
def _open(data: bytes) -> Iterator[Any]:
    import pypdfium2
    import pypdfium2.raw as pdfium

    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if getattr(error, "err_code", None) == pdfium.FPDF_ERR_PASSWORD or "password" in str(error).lower():
            raise ParseError("encrypted: a password is needed", "unsupported") from error
        if getattr(error, "err_code", None) == pdfium.FPDF_ERR_SECURITY or "security" in str(error).lower():
            raise ParseError("encrypted in a way that cannot be read", "unsupported") from error
        raise ParseError(f"damaged: {error}") from error
    try:
        yield document
    finally:
        document.close()


def _lines(document: Any, number: int) -> list[Line]:
    """Return a page's lines in the order in which the page draws them, with where they stand."""
    page = document[number]
    try:
        reader = page.get_textpage()
        try:
            text = reader.get_text_range() if reader.count_chars() else ""
            return list(_placed(reader, text))
        finally:
            reader.close()
    finally:
        page.close()


def _placed(reader: Any, text: str) -> Iterator[Line]:
    import ctypes

    import pypdfium2.raw as pdfium

    handle = reader.raw
    left, right, bottom, top, x, y = (ctypes.c_double() for _ in range(6))

    def box(index: int) -> tuple[float, float]:
        """Return left and right of the character at this place of the text."""
        place = pdfium.FPDFText_GetCharIndexFromTextIndex(handle, index)
        pdfium.FPDFText_GetCharBox(handle, place, left, right, bottom, top)
        return left.value, right.value

    def baseline(index: int) -> float:
        place = pdfium.FPDFText_GetCharIndexFromTextIndex(handle, index)
        pdfium.FPDFText_GetCharOrigin(handle, place, x, y)
        return y.value

    start = 0
    for raw in _unbroken(text):
        begin, start = start, start + len(raw)
        stripped = raw.rstrip()
        indent = len(stripped) - len(stripped.lstrip())
        if not stripped.strip():
            continue
        first, last = begin + indent, begin + len(stripped) - 1
        place = pdfium.FPDFText_GetCharIndexFromTextIndex(handle, first)
        size = _height(handle, place, pdfium.FPDFText_GetFontSize(handle, place) or 1.0)
        cells = _cells(stripped, begin, indent, box, size)
        yield Line(_HYPHEN.sub("", stripped[indent:]), baseline(first), baseline(last), size, cells)


def _height(handle: Any, place: int, size: float) -> float:
    """Return a character's size in points on the page: its font's size, as its matrix scales it."""
    import ctypes

    import pypdfium2.raw as pdfium

    matrix = pdfium.FS_MATRIX()
    if pdfium.FPDFText_GetMatrix(handle, place, ctypes.byref(matrix)):
        scale = math.hypot(matrix.c, matrix.d)
        if 0.01 < scale < 100:
            return size * scale
    return size


def _unbroken(text: str) -> Iterator[str]:
    """Yield lines with their ends; one that ends in a hyphen which PDFium marks as such is one with the next."""
    held = ""
    for line in text.splitlines(keepends=True):
        held += line
        if not _HYPHEN_AT_END.search(line):
            yield held
            held = ""
    if held:
        yield held


def _cells(line: str, begin: int, indent: int, box: Any, size: float) -> tuple[Cell, ...]:
    """Cut a line where it leaves more room than between words."""
    cells = []
    start = indent
    for gap in _GAP.finditer(line, indent):
        before, after = box(begin + gap.start() - 1)[1], box(begin + gap.end())[0]
        if after - before > _WIDE_GAP * size:
            cells.append((box(begin + start)[0], before, line[start : gap.start()]))
            start = gap.end()
    cells.append((box(begin + start)[0], box(begin + len(line) - 1)[1], line[start:]))
    return tuple(cells)


def _recognise(document: Any, number: int, languages: str) -> str:
    page = document[number]
    try:
        return read_picture(page.render(scale=_OCR_SCALE).to_pil(), languages)
    finally:
        page.close()


def _metadata(document: Any, pages: int) -> dict[str, JSON]:
    metadata: dict[str, JSON] = {"pages": pages}
    try:
        stated = document.get_metadata_dict(skip_empty=True)
    except _errors():
        return metadata
    names = (("title", "Title"), ("author", "Author"), ("subject", "Subject"), ("keywords", "Keywords"))
    for key, name in names:
        text = stated.get(name, "").strip()
        if text and not _MADE_UP.match(text):
            metadata[key] = text
    date = _DATE.match(stated.get("CreationDate", ""))
    if date:
        metadata["date"] = "-".join(part for part in date.groups()[:3] if part)
    return metadata
