"""Plain text: which encoding it is in, and one kind of line end. Markup is left as it is."""

import codecs
import re

from resources.parsing.base import Content, ParseError, parser
from resources.parsing.detection import unmarked_utf
from resources.parsing.settings import ParsingSettings

# The longer mark first: UTF-32's begins with UTF-16's.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DETECTION_BYTES = 1 << 16
_MAX_DAMAGE = 0.1
_REPLACED = "\ufffd"
_NO_TEXT = re.compile("[\x01-\x08\x0e-\x1a\x1c-\x1f\x7f\ufffd]")


@parser("text/plain", extensions=(".txt", ".text", ".rst", ".log"), version=2, libraries=("charset-normalizer",))
def read_text(data: bytes, settings: ParsingSettings) -> Content:
    """Return the text; its first line is not taken for a title."""
    text, problems = decode(data)
    return Content(text, problems=problems)


def decode(data: bytes) -> tuple[str, tuple[str, ...]]:
    """Return the text of bytes in UTF-8, in what a byte order mark says, or else in the encoding they look like.

    With it come the problems: bytes that had to be left out, up to a tenth of the text. Line ends become `\\n`.
    Raises ParseError for binary data and for bytes that no encoding explains.
    """
    text, encoding = _decode(data)
    problems = []
    if damaged := text.count(_REPLACED):
        if damaged > _MAX_DAMAGE * len(text):
            raise ParseError(f"no text: {damaged} of {len(text)} characters are not valid {encoding}")
        if damaged > data.count(_REPLACED.encode()):
            problems.append(f"{damaged} bytes or so are not valid {encoding}")
    if nuls := text.count("\0"):
        if nuls > _MAX_DAMAGE * len(text):
            raise ParseError("binary data: it contains NUL bytes")
        problems.append(f"{nuls} NUL bytes were left out")
        text = text.replace("\0", "")
    sample = text[:4096]
    if len(_NO_TEXT.findall(sample)) > _MAX_DAMAGE * len(sample):
        raise ParseError("binary data: it consists of control characters")
    return text.replace("\r\n", "\n").replace("\r", "\n"), tuple(problems)


def _decode(data: bytes) -> tuple[str, str]:
    """Return the text and its encoding, U+FFFD where it does not hold."""
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return data.decode(encoding, "replace"), encoding
    try:
        text = data.decode("utf-8")
        if "\0" not in text:
            return text, "utf-8"
    except UnicodeDecodeError:
        pass
    if unmarked := unmarked_utf(data[:4096]):
        return data.decode(unmarked, "replace"), unmarked
    text = data.decode("utf-8", "replace")
    damaged = text.count(_REPLACED)
    # Text in an 8-bit encoding has next to no valid UTF-8 sequences in it.
    if not damaged or len(data) - len(text) > 20 * damaged:
        return text, "utf-8"
    guess = _guess(data)
    return (text, "utf-8") if guess is None else (data.decode(guess, "replace"), guess)


def _guess(data: bytes) -> str | None:
    from charset_normalizer import from_bytes

    sample = data[:_DETECTION_BYTES]
    # What is rare (a name in a long English text) must be in the sample: it starts where the first such byte stands.
    first = next((match.start() for match in re.finditer(rb"[\x80-\xff]", data)), 0)
    if first >= _DETECTION_BYTES:
        sample = data[first - _DETECTION_BYTES // 2 : first + _DETECTION_BYTES // 2]
    best = from_bytes(sample).best()
    return None if best is None else str(best.encoding)
