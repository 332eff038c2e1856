"""Which media type bytes are of, by what they hold; a name or a header only chooses between kinds of plain text.

Reads the beginning, and of a ZIP the end, never a whole document. Not here: parsing, and encodings.
"""

import re

# To be raised when the same bytes get another type, so that documents are parsed again.
DETECTION_VERSION = 1

JATS = "application/jats+xml"
XML = "application/xml"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
EPUB = "application/epub+zip"
OLE = "application/x-ole-storage"

_HEAD = 4096
_MAGIC = (
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", OLE),
    (b"{\\rtf", "application/rtf"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
    (b"\x1f\x8b\x08", "application/gzip"),
    (b"BZh", "application/x-bzip2"),
    (b"\xfd7zXZ\0", "application/x-xz"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
    (b"\x28\xb5\x2f\xfd", "application/zstd"),
    (b"\x7fELF", "application/x-executable"),
    (b"MZ", "application/vnd.microsoft.portable-executable"),
    (b"%!PS", "application/postscript"),
    (b"SQLite format 3\0", "application/vnd.sqlite3"),
    (b"PAR1", "application/vnd.apache.parquet"),
    (b"OggS", "audio/ogg"),
    (b"ID3", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
)
# Marks so short that text may begin with them, too: they count only in what is no text.
_SHORT_MAGIC = (b"BM", b"MZ", b"BZh", b"PAR1", b"OggS", b"ID3", b"fLaC", b"GIF8")
_OFFICE = ((b"word/", DOCX), (b"ppt/", PPTX), (b"xl/", XLSX))
_ZIP_WINDOW = 1 << 18
_TEXT_TYPES = (
    *("text/markdown", "text/csv", "text/tab-separated-values", "application/json", "application/x-ndjson"),
    *("text/html", "message/rfc822"),
)
_HTML = re.compile(
    rb"<(!doctype\s+html|html|head|body|title|meta|script|div|table|p|h1|article|section|main|nav|header|span|a|ul|ol)"
    rb"[\s>/]",
    re.IGNORECASE,
)
_ROOT = re.compile(rb"<([A-Za-z_][\w.:-]*)")
_PROLOG = re.compile(rb"(?:\s|<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^\[>]*(?:\[.*?\]\s*)?>)*", re.DOTALL)
_JATS_ROOTS = (b"article", b"pmc-articleset", b"OAI-PMH")
_MAIL = re.compile(rb"\A(?:From .*\r?\n)?(?:[!-9;-~]+:[^\r\n]*(?:\r?\n[ \t][^\r\n]*)*\r?\n){2,}")
_MAIL_FIELDS = re.compile(rb"^(?:Received|Return-Path|MIME-Version|Message-ID|Delivered-To|Date):", re.I | re.M)
_MAIL_SENDER = re.compile(rb"^From:", re.I | re.M)


def detect(data: bytes, declared: str) -> str:
    """Return the media type of `data`; `declared` is what its source takes it for.

    Text is what the source says when that is a kind of text, else what it looks like. What is neither text nor bears a
    known mark stays what it was declared.
    """
    if not data:
        return declared
    head = data[:_HEAD]
    if data.startswith(b"PK\x03\x04") or data.startswith(b"PK\x05\x06"):
        return _kind_of_zip(data)
    for mark, media_type in _MAGIC:
        if head.startswith(mark) and not (mark in _SHORT_MAGIC and looks_like_text(head)):
            return media_type
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "image/webp"
    if b"%PDF-" in head[:1024]:
        return "application/pdf"
    if data[257:262] == b"ustar":
        return "application/x-tar"
    if not looks_like_text(head):
        # Damaged beyond recognition, or of no known type: the parser of what it should be can say what is wrong.
        return declared
    return _kind_of_text(head, declared.partition(";")[0].strip().lower())


def looks_like_text(head: bytes) -> bool:
    """Whether this beginning may be text in some encoding: a Unicode mark or pattern, or next to no control bytes."""
    if not head or head[:2] in (b"\xff\xfe", b"\xfe\xff") or head[:4] == b"\0\0\xfe\xff" or unmarked_utf(head):
        return True
    control = sum(head.count(byte) for byte in _CONTROL)
    return control <= len(head) * 0.05


_CONTROL = [bytes((code,)) for code in range(32) if code not in (8, 9, 10, 12, 13, 27)] + [b"\x7f"]


def unmarked_utf(head: bytes) -> str | None:
    """Return the UTF-16 or UTF-32 that bytes without a mark are in, by where their NULs are; else None."""
    if len(head) < 4 or b"\0" not in head:
        return None
    for encoding, width, place in (("utf-32-le", 4, 0), ("utf-32-be", 4, 3), ("utf-16-le", 2, 0), ("utf-16-be", 2, 1)):
        whole = head[: len(head) // width * width]
        written = whole[place::width]
        zeros = sum(whole[other::width].count(0) for other in range(width) if other != place)
        if zeros >= 0.7 * (len(whole) - len(written)) and written.count(0) <= 0.02 * len(written):
            return encoding
    return None


def _kind_of_text(head: bytes, declared: str) -> str:
    encoding = unmarked_utf(head) or {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}.get(head[:2])
    if encoding:
        head = head[: len(head) // 4 * 4].decode(encoding, "ignore").lstrip("\ufeff").encode("utf-8", "ignore")
    head = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if head.startswith(b"<"):
        if (kind := _kind_of_markup(head)) and not (kind == "text/html" and declared == "text/markdown"):
            return kind
    elif _MAIL.match(head) and _MAIL_SENDER.search(head) and _MAIL_FIELDS.search(head):
        return "message/rfc822"
    if declared == "text/html" and not _HTML.search(head) and b"<" not in head:
        return "text/plain"
    if declared == "application/json" and head[:1] not in (b"{", b"["):
        return "text/plain"
    return declared if declared in _TEXT_TYPES else "text/plain"


def _kind_of_markup(head: bytes) -> str | None:
    prolog = _PROLOG.match(head)
    root = _ROOT.match(head, prolog.end() if prolog else 0)
    name = root[1].rpartition(b":")[2] if root else b""
    if re.search(rb"<!doctype\s+html", head[:1024], re.I) or name.lower() == b"html":
        return "text/html"
    if name in _JATS_ROOTS and (head.startswith(b"<?xml") or b"article-type" in head or b"<front" in head):
        return JATS
    if head.startswith(b"<?xml") or b"<!ENTITY" in head or b"<!DOCTYPE" in head:
        return XML
    return "text/html" if _HTML.match(head) or _HTML.search(head) else None


def _kind_of_zip(data: bytes) -> str:
    """Look for telling names where the first members and the end of the directory stand; opens nothing."""
    if data[30:38] == b"mimetype":
        stated = data[38:128].split(b"PK", 1)[0].decode("ascii", "replace").strip()
        return stated if re.fullmatch(r"application/[\w.+-]+", stated) else "application/zip"
    names = data[:_ZIP_WINDOW] + data[-_ZIP_WINDOW:]
    if b"[Content_Types].xml" in names or b"_rels/.rels" in names:
        for folder, media_type in _OFFICE:
            if folder in names:
                return media_type
    return "application/zip"
