"""Plain text: which encoding it is in, and one kind of line end. Markup is left as it is."""

import codecs

from resources.parsing.base import Content, ParseError, parser
from resources.parsing.settings import ParsingSettings

# The longer mark first: UTF-32's begins with UTF-16's.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DETECTION_BYTES = 1 << 18


@parser("text/plain", extensions=(".txt", ".text", ".rst"), version=2)
def read_text(data: bytes, settings: ParsingSettings) -> Content:
    """Return the text; its first line is not taken for a title."""
    return Content(decode(data))


def decode(data: bytes) -> str:
    """Return the text of bytes in UTF-8, in what a byte order mark says, or else in the encoding they look like.

    Line ends become `\\n`. Raises ParseError for binary data and for bytes that no encoding explains.
    """
    text = _decode(data)
    if "\0" in text:
        raise ParseError("binary data: it contains NUL bytes")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _decode(data: bytes) -> str:
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            try:
                return data.decode(encoding)
            except UnicodeDecodeError as error:
                raise ParseError(f"not valid {encoding}, though its byte order mark says so: {error.reason}") from error
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        if b"\0" in data:
            raise ParseError("binary data: it contains NUL bytes") from error
        return _guess(data)


def _guess(data: bytes) -> str:
    from charset_normalizer import from_bytes

    best = from_bytes(data[:_DETECTION_BYTES]).best()
    try:
        if best is not None:
            return data.decode(best.encoding)
    except UnicodeDecodeError:
        pass  # the rest of a long document contradicts its beginning
    raise ParseError("neither valid UTF-8 nor text in any other encoding that can be recognised")
