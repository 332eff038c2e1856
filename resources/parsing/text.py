"""Plain text: which encoding it is in, and one kind of line end. Markup is left as it is."""

import codecs
import re

from resources.parsing.base import Content, ParseError
from resources.parsing.detection import unmarked_utf
from resources.parsing.registry import parser
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
_MOST_COMMON = "cp1252"
_LATIN = (
    "cp1250",
    "cp1252",
    "cp1254",
    "cp1257",
    "iso8859_1",
    "iso8859_2",
    "iso8859_3",
    "iso8859_4",
    "iso8859_9",
    "mac_",
)
_FOREIGN = re.compile(rb"[\x80-\xff]")
_ALONE = re.compile(rb"(?<![\x80-\xff])[\x80-\xff](?![\x80-\xff])")
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
    # Text in another encoding holds fewer sequences that are valid UTF-8 than ones that are not.
    valid = len(text) - len(text.encode("ascii", "ignore")) - damaged
    if not damaged or valid >= damaged:
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
    matches = list(from_bytes(sample))
    # Between ASCII letters, one by one, they are letters of a Latin alphabet, whatever else would decode.
    foreign = len(_FOREIGN.findall(sample))
    if len(_ALONE.findall(sample)) > 0.8 * foreign:
        matches = [match for match in matches if match.encoding.startswith(_LATIN)]
        if not matches:
            return _MOST_COMMON
    if not matches:
        return None
    # Where several fit as well, it is the one that most such texts are in.
    best = matches[0]
    for match in matches:
        as_good = match.chaos <= best.chaos and match.coherence >= best.coherence
        if as_good and _MOST_COMMON in match.could_be_from_charset:
            return _MOST_COMMON
    return str(best.encoding)
