"""Reads pictures with tesseract, where the settings ask for it. Needs the extra `ocr` and the program `tesseract`."""

import io
from typing import Any

from resources.parsing.base import Content, HostileError, ParseError
from resources.parsing.registry import parser
from resources.parsing.settings import ParsingSettings

MAX_PIXELS = 100_000_000
_TYPES = ("image/png", "image/jpeg", "image/tiff", "image/gif", "image/bmp", "image/webp")


@parser(*_TYPES, version=1, libraries=("pytesseract", "pillow"))
def read_image(data: bytes, settings: ParsingSettings) -> Content:
    """Return the text in a picture, of every frame that it has; ParseError where the settings do not ask for OCR."""
    if settings.ocr is None:
        raise ParseError("a picture; `parsing.ocr` reads the text in it", "unsupported")
    Image = _pillow()  # noqa: N806  (the module's name)
    Image.MAX_IMAGE_PIXELS = None
    with Image.open(io.BytesIO(data)) as image:
        if image.width * image.height > MAX_PIXELS:
            raise HostileError(f"a picture of {image.width:,} × {image.height:,} pixels")
        frames = getattr(image, "n_frames", 1)
        texts = []
        for frame in range(min(frames, 100)):
            image.seek(frame)
            texts.append(read_picture(image.convert("RGB"), settings.ocr))
    return Content("\n\n".join(texts).strip(), metadata={"pages": frames}, empty="no text was recognised")


def read_picture(image: Any, languages: str) -> str:
    """Return the text in a Pillow image; ParseError when tesseract or a language is not installed."""
    try:
        import pytesseract
    except ModuleNotFoundError as error:
        raise _missing("the extra is not installed: pip install 'rag-assets[ocr]'") from error
    try:
        return str(pytesseract.image_to_string(image, lang=languages)).replace("\f", "\n").strip()
    except pytesseract.TesseractNotFoundError as error:
        raise _missing("the program tesseract is not installed") from error
    except pytesseract.TesseractError as error:
        raise _missing(f"tesseract: {' '.join(str(error.message).split())[:200]}") from error


def _pillow() -> Any:
    try:
        from PIL import Image
    except ModuleNotFoundError as error:
        raise _missing("the extra is not installed: pip install 'rag-assets[ocr]'") from error
    return Image


def _missing(reason: str) -> ParseError:
    return ParseError(f"OCR is asked for, but {reason}", "unsupported")
