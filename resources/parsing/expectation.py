"""How much text and how many formulas a file says it holds, counted roughly, and by other means than its parser's.

Kept in a document's metadata beside what came out of it, so that an audit can tell a parser that loses text from a file
that has little, without reading file or text again. Not here: judging it (`audit`).
"""

import html
import io
import re
import zipfile
import zlib
from dataclasses import dataclass

from resources.parsing.detection import DOCX, JATS, PPTX

MAX_STREAMS = 2_000
MAX_UNPACKED = 64 << 20

_RUNS = {
    DOCX: (re.compile(r"word/document\d*\.xml"), re.compile(rb"<w:t(?: [^<>]*)?>([^<]*)</w:t>"), rb"<m:oMath[ >]"),
    PPTX: (re.compile(r"ppt/slides/slide\d+\.xml"), re.compile(rb"<a:t(?: [^<>]*)?>([^<]*)</a:t>"), rb"<m:oMath[ >]"),
}
_TAG = re.compile(rb"<[^<>]*>")
_UNSEEN = (b"script", b"style", b"template", b"noscript", b"head", b"svg")
_ARTICLE_PARTS = (b"abstract", b"body")
_NOT_TEXT = (b"ref-list", b"tex-math", b"mml:math", b"fn-group", b"xref")
_SHOWN = re.compile(rb"\((?:[^()\\]|\\.)*\)|<[0-9A-Fa-f\s]+>", re.DOTALL)
_BEGIN, _END = re.compile(rb"(?<![^\s])BT\s"), re.compile(rb"\sET(?![^\s])")
# What a stream's dictionary says of pictures and fonts.
_NO_PAGE = re.compile(rb"/Image|/DCTDecode|/Length[123]|/FontFile|/XRef|/ObjStm")
_DICTIONARY = 300
_ESCAPE = re.compile(rb"\\(?:[0-7]{1,3}|.)", re.DOTALL)
_FORMULA = re.compile(r"\$\$[^$]+\$\$|\$[^$\n]+\$")


@dataclass(frozen=True, slots=True)
class Expectation:
    """Characters other than white space, and formulas, that a file holds; None where this cannot be told."""

    characters: int | None = None
    formulas: int | None = None


def figures(data: bytes, media_type: str, text: str) -> dict[str, int]:
    """Return what a file holds (`expected_…`) and its text has (`kept_…`), of characters and formulas, as far as the
    file tells.
    """
    expected = expect(data, media_type)
    found: dict[str, int] = {}
    if expected.characters is not None:
        found |= {"expected_characters": expected.characters, "kept_characters": len("".join(text.split()))}
    if expected.formulas:
        found |= {"expected_formulas": expected.formulas, "kept_formulas": len(_FORMULA.findall(text))}
    return found


def expect(data: bytes, media_type: str) -> Expectation:
    """Count what a file of this type holds. Never raises; what cannot be counted is None."""
    if media_type in _RUNS:
        return _office(data, media_type)
    if media_type == "text/html":
        _, seen = _elements(data, _UNSEEN)
        return Expectation(_visible(_TAG.sub(b" ", seen)), len(re.findall(rb"<math[ >]|type=.math/tex", data)))
    if media_type == JATS:
        parts, _ = _elements(data, _ARTICLE_PARTS)
        _, text = _elements(parts, _NOT_TEXT)
        formulas = len(re.findall(rb"<(?:inline|disp)-formula[ >]", parts))
        return Expectation(_visible(_TAG.sub(b" ", text)), formulas)
    if media_type == "application/pdf":
        return Expectation(_shown_in_pdf(data))
    return Expectation()


def _elements(data: bytes, names: tuple[bytes, ...]) -> tuple[bytes, bytes]:
    """Return what stands inside elements of these names, and what stands outside, each read once whatever it holds."""
    opening = re.compile(rb"<(" + b"|".join(names) + rb")(?=[\s>])|<!--", re.IGNORECASE)
    lower = data.lower()
    inside, outside, position, unclosed = [], [], 0, set()
    for match in opening.finditer(data):
        name = (match[1] or b"").lower()
        if match.start() < position or name in unclosed:
            continue
        closing = b"</" + name if name else b"-->"
        end = lower.find(closing, match.end())
        if end < 0:
            unclosed.add(name)
            continue
        outside.append(data[position : match.start()])
        if name:
            inside.append(data[match.start() : end])
        position = end
    outside.append(data[position:])
    return b" ".join(inside), b" ".join(outside)


def _visible(text: bytes) -> int:
    return len("".join(html.unescape(text.decode("utf-8", "ignore")).split()))


def _office(data: bytes, media_type: str) -> Expectation:
    names, runs, formula = _RUNS[media_type]
    characters = formulas = 0
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.infolist():
                if names.fullmatch(member.filename) and member.file_size <= MAX_UNPACKED:
                    content = archive.read(member)
                    characters += sum(_visible(match[1]) for match in runs.finditer(content))
                    formulas += len(re.findall(formula, content))
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError, NotImplementedError):
        return Expectation()
    return Expectation(characters, formulas)


def _shown_in_pdf(data: bytes) -> int | None:
    """Count what the operators that show text are given, in streams that are plain or deflated; None without any.

    A string in hexadecimal is taken for two-byte codes. Fonts can make more or fewer letters of it: this is a measure
    of whether text was lost, not of how much.
    """
    if b"/Encrypt" in data:
        return None
    count = unpacked = position = 0
    for _ in range(MAX_STREAMS):
        start = data.find(b"stream", position)
        end = data.find(b"endstream", start + 6) if start >= 0 else -1
        if end < 0 or unpacked > MAX_UNPACKED:
            break
        position = end + 9
        if _NO_PAGE.search(data, max(0, start - _DICTIONARY), start):
            continue
        content = data[start + 6 : end].lstrip(b"\r\n")
        if content[:1] in (b"\x78", b"\x68", b"\x48"):
            try:
                content = zlib.decompressobj().decompress(content, MAX_UNPACKED)
            except zlib.error:
                continue
        unpacked += len(content)
        count += _shown_in_content(content)
    return count or None


def _shown_in_content(content: bytes) -> int:
    """Count the characters that are shown between BT and ET."""
    count = position = 0
    while (begin := _BEGIN.search(content, position)) and (end := _END.search(content, begin.end())):
        position = end.end()
        for shown in _SHOWN.finditer(content, begin.end(), end.start()):
            if shown[0].startswith(b"<"):
                count += len(b"".join(shown[0][1:-1].split())) // 4
            else:
                written = _ESCAPE.sub(b"x", shown[0][1:-1])
                count += len(b"".join(written.split())) // (2 if written.count(0) > len(written) // 3 else 1)
    return count
