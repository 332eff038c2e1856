"""Documents made to harm their reader, and documents that are broken: one outcome each, within the limits."""

import io
import struct
import time
import zipfile
import zlib

import pytest

from resources.parsing.base import RawDocument
from resources.parsing.detection import DOCX
from resources.parsing.pool import parser_pool
from resources.parsing.reading import parse
from resources.parsing.settings import ParsingSettings

LIMITS = ParsingSettings(workers=2, seconds=10, memory_mb=512)
TYPES = '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'
WORD = '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body>{}</w:body></w:document>'


def zipped(**members: str | bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def docx(document: str | bytes, **more: str | bytes) -> bytes:
    return zipped(**{"[Content_Types].xml": TYPES, "word/document.xml": document, **more})


def declared_size(data: bytes, size: int) -> bytes:
    """Let the last member of a ZIP claim another size than it has."""
    place = data.rindex(b"PK\x01\x02")
    return data[: place + 24] + struct.pack("<I", size) + data[place + 28 :]


PARAGRAPH = "<w:p><w:r><w:t>words</w:t></w:r></w:p>"
ENTITIES = "".join(f'<!ENTITY a{n + 1} "{f"&a{n};" * 10}">' for n in range(9))
PDF_PAGES = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj "
    b"2 0 obj<</Type/Pages/Count 99999999/Kids[2 0 R 2 0 R]>>endobj trailer<</Root 1 0 R>>"
)

HOSTILE = {
    "billion laughs": f'<!DOCTYPE x [<!ENTITY a0 "ha">{ENTITIES}]><x>&a9;</x>'.encode(),
    "billion laughs in attributes": f'<!DOCTYPE x [<!ENTITY a0 "ha">{ENTITIES}]><x y="&a9;"/>'.encode(),
    "external entity": b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>',
    "external parameter entity": b'<!DOCTYPE x [<!ENTITY % e SYSTEM "http://127.0.0.1/x.dtd"> %e;]><x/>',
    "external entity in an article": b'<?xml version="1.0"?><!DOCTYPE article [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
    b"<article><body><p>&e;</p></body></article>",
    "external entity in utf-16": '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
    "<x>&e;</x>".encode("utf-16"),
    "quadratic blow-up": f'<!DOCTYPE x [<!ENTITY e "{"a" * 100000}">]><x>{"&e;" * 1000}</x>'.encode(),
    "external entity in docx": docx('<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>' + WORD.format("&e;")),
    "docx that unpacks to 300 MB": docx(WORD.format(" " * (300 << 20))),
    "docx of many members": docx(WORD.format(PARAGRAPH), **{f"word/{n}": "" for n in range(20_001)}),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_what_means_harm_is_refused(name):
    started = time.monotonic()
    outcome = parse(RawDocument(name, "1", "application/octet-stream", HOSTILE[name]))
    assert (outcome.status, outcome.failure, outcome.text) == ("hostile", "hostile", ""), outcome.reason
    assert "root:" not in str(outcome)
    assert time.monotonic() - started < 5


def png_of(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


BROKEN = {
    "docx whose member lies about its size": declared_size(docx(WORD.format(PARAGRAPH)), 10),
    "docx without a document": zipped(**{"[Content_Types].xml": TYPES, "word/styles.xml": "<x/>"}),
    "docx in a docx": docx(WORD.format(""), **{"word/embeddings/inner.docx": docx(WORD.format(PARAGRAPH))}),
    "docx cut short": docx(WORD.format(PARAGRAPH * 100))[:-40],
    "plain zip": zipped(**{"a.txt": "words"}),
    "pdf with pages in a circle": PDF_PAGES,
    "pdf of its first line": b"%PDF-1.7\n",
    "pdf of noise": b"%PDF-1.7\n" + bytes(range(256)) * 400,
    "pdf and zip in one": b"%PDF-1.4\n" + docx(WORD.format(PARAGRAPH)),
    "deep json": b"[" * 200_000,
    "deep json, closed": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "deep xml": b"<?xml version='1.0'?>" + b"<a>" * 100_000 + b"words" + b"</a>" * 100_000,
    "deep html": b"<html>" + b"<div>" * 10_000 + b"words",
    "deep tables": b"<html>" + b"<table><tr><td>" * 3_000 + b"words",
    "deep lists": b"<html>" + b"<ul><li>" * 5_000 + b"words",
    "html of one long attribute": b"<html><p a='" + b"x" * 5_000_000,
    "one line of 10 MB": b"x" * 10_000_000,
    "nothing but NULs": b"\0" * 100_000,
    "nothing but lone carriage returns": b"\r" * 1_000_000,
    "utf-16 cut within a character": "héllo wörld ☃".encode("utf-16")[:-1],
    "utf-32 without a mark": "plain words".encode("utf-32-le"),
    "truncated utf-8": "naïve café " .encode()[:-2],
    "huge picture": png_of(2**31 - 1, 2**31 - 1),
    "mail of nested parts": b"MIME-Version: 1.0\nFrom: a\nDate: x\n" + b"".join(
        b'Content-Type: multipart/mixed; boundary="b%d"\n\n--b%d\n' % (n, n) for n in range(500)
    ),
    "csv of one endless field": b'a,b\n"' + b"x" * 20_000_000,
    "markdown of brackets": b"[" * 100_000 + b"](" * 100_000,
    "old word": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(5000),
    "rtf": rb"{\rtf1 words}",
    "empty": b"",
}  # fmt: skip
DECLARED = {"deep json": "application/json", "deep json, closed": "application/json", "csv": "text/csv"}


@pytest.fixture(scope="module")
def outcomes():
    def declared(name: str) -> str:
        return next((kind for one, kind in DECLARED.items() if name.startswith(one)), "text/plain")

    raws = (RawDocument(name, "1", declared(name), data) for name, data in BROKEN.items())
    with parser_pool(LIMITS) as pool:
        return {one.key: one for one in pool.parse(raws)}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_has_one_outcome_with_a_reason(outcomes, name):
    outcome = outcomes[name]
    assert (outcome.status == "ok") != bool(outcome.reason)
    assert bool(outcome.text.strip()) == (outcome.status in ("ok", "partial"))
    assert "\n" not in str(outcome.reason)


def test_what_can_be_read_of_broken_files_is_read(outcomes):
    readable = {name for name, one in outcomes.items() if one.status in ("ok", "partial")}
    assert readable >= {"deep html", "deep tables", "deep lists", "utf-32 without a mark", "truncated utf-8"}
    assert outcomes["truncated utf-8"].text == "naïve caf\ufffd"
    assert outcomes["utf-16 cut within a character"].text.startswith("héllo wörld")
    assert outcomes["utf-16 cut within a character"].status == "partial"
    assert all("words" in outcomes[name].text for name in ("deep html", "deep tables", "deep lists"))
    assert outcomes["nothing but NULs"].status == "failed"
    assert outcomes["empty"].status == "empty"
    assert outcomes["rtf"].reason == "no parser for application/rtf"
    assert DOCX not in {outcomes["plain zip"].media_type, outcomes["pdf and zip in one"].media_type}
