"""OCR is asked for or absent; without the program it says so."""

import shutil
from pathlib import Path

import pytest

from resources.parsing.base import RawDocument
from resources.parsing.pool import parser_pool
from resources.parsing.reading import parse
from resources.parsing.settings import ParsingSettings

SCAN = "files/pdf/mid__MEDRPT-2024-PAT-3847_medical_report_scan.pdf"
needs_tesseract = pytest.mark.skipif(
    shutil.which("tesseract") is None, reason="needs the program tesseract (Debian package tesseract-ocr)"
)


def scan(shared_data: Path) -> RawDocument:
    return RawDocument("scan", "1", "application/pdf", (shared_data / SCAN).read_bytes())


@needs_tesseract
def test_a_scan_is_read_in_a_worker_without_network(shared_data: Path):
    with parser_pool(ParsingSettings(ocr="eng", workers=1)) as pool:
        (outcome,) = pool.parse([scan(shared_data)])
    assert outcome.status == "ok", outcome.reason
    assert "PATIENT" in outcome.text.upper() and "MEDICAL" in outcome.text.upper()
    assert outcome.metadata["ocr_pages"] == 3


@needs_tesseract
def test_a_picture_of_text_is_read():
    import io

    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (900, 120), "white")
    ImageDraw.Draw(image).text((20, 30), "The quick brown fox", fill="black", font=ImageFont.load_default(60))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    outcome = parse(RawDocument("picture", "1", "image/png", buffer.getvalue()), ParsingSettings(ocr="eng"))
    assert (outcome.status, outcome.text) == ("ok", "The quick brown fox")


@needs_tesseract
def test_a_language_that_is_not_installed_is_named(shared_data: Path):
    outcome = parse(scan(shared_data), ParsingSettings(ocr="xyz"))
    assert (outcome.status, outcome.failure) == ("failed", "unsupported")
    assert "xyz" in str(outcome.reason)


def test_without_the_program_the_reason_says_so(shared_data: Path, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    outcome = parse(scan(shared_data), ParsingSettings(ocr="eng"))
    assert (outcome.status, outcome.reason) == (
        "failed",
        "OCR is asked for, but the program tesseract is not installed",
    )
