"""What each format keeps: headings, tables, formulas, metadata. Documents are written here, part by part."""

import io
import zipfile
from email.message import EmailMessage

import pytest

from resources.parsing.base import RawDocument
from resources.parsing.detection import detect
from resources.parsing.reading import parse
from resources.parsing.registry import media_type_of, parser_fingerprint, parser_names
from resources.parsing.settings import ParsingSettings

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
M = 'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"'
A = 'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
P = 'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"'
S = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
R = 'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
CORE = (
    '<cp:coreProperties xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/core-properties" '
    'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:dcterms="http://purl.org/dc/terms/">'
    "<dc:title>The title</dc:title><dc:creator>Ada</dc:creator>"
    "<dcterms:created>2024-05-01T10:00:00Z</dcterms:created></cp:coreProperties>"
)


def zipped(members: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content, zipfile.ZIP_STORED if name == "mimetype" else zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def read(data: bytes, declared: str = "application/octet-stream", **settings):
    return parse(RawDocument("document", "1", declared, data), ParsingSettings(**settings))


def docx(body: str, **parts: str) -> bytes:
    document = f"<w:document {W} {M}><w:body>{body}</w:body></w:document>"
    return zipped(
        {"[Content_Types].xml": "<Types/>", "word/document.xml": document, "docProps/core.xml": CORE, **parts}
    )


def paragraph(text: str, style: str = "") -> str:
    properties = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f"<w:p>{properties}<w:r><w:t>{text}</w:t></w:r></w:p>"


def test_word_keeps_headings_lists_notes_and_leaves_out_what_was_deleted():
    styles = (
        f'<w:styles {W}><w:style w:styleId="berschrift2"><w:name w:val="heading 2"/></w:style>'
        '<w:style w:styleId="Mine"><w:basedOn w:val="berschrift2"/></w:style></w:styles>'
    )
    item = "<w:p><w:pPr><w:numPr/></w:pPr><w:r><w:t>{}</w:t></w:r></w:p>"
    body = (
        paragraph("Part", "Mine")
        + item.format("one")
        + item.format("two")
        + "<w:p><w:r><w:t>kept</w:t></w:r><w:del><w:r><w:delText>deleted</w:delText></w:r></w:del>"
        "<w:ins><w:r><w:t> added</w:t></w:r></w:ins></w:p>"
    )
    outcome = read(
        docx(
            body,
            **{
                "word/styles.xml": styles,
                "word/footnotes.xml": f"<w:footnotes {W}><w:footnote>{paragraph('A note.')}</w:footnote></w:footnotes>",
                "word/header1.xml": f"<w:hdr {W}>{paragraph('Acme')}</w:hdr>",
                "word/header2.xml": f"<w:hdr {W}>{paragraph('Acme')}</w:hdr>",
            },
        )
    )
    assert outcome.text == "## Part\n\n- one\n- two\n\nkept added\n\nA note.\n\nAcme"
    assert outcome.title == "The title"
    assert (outcome.metadata["author"], outcome.metadata["date"]) == ("Ada", "2024-05-01T10:00:00Z")


def test_a_damaged_part_beside_the_body_makes_word_partial():
    outcome = read(docx(paragraph("body"), **{"word/footnotes.xml": "<broken"}))
    assert (outcome.status, outcome.text) == ("partial", "body")
    assert outcome.reason is not None and outcome.reason.startswith("word/footnotes.xml: damaged")


def math_run(text: str) -> str:
    return f"<m:r><m:t>{text}</m:t></m:r>"


@pytest.mark.parametrize(
    ("office", "latex"),
    [
        (f"<m:rad><m:deg/><m:e>{math_run('x')}</m:e></m:rad>", r"\sqrt{x}"),
        (
            f'<m:nary><m:naryPr><m:chr m:val="∑"/></m:naryPr><m:sub>{math_run("i=1")}</m:sub><m:sup>{math_run("n")}'
            f"</m:sup><m:e>{math_run('i')}</m:e></m:nary>",
            "∑_{i=1}^{n} i",
        ),
        (f"<m:d><m:e>{math_run('a')}</m:e></m:d>", "(a)"),
        (f"<m:m><m:mr><m:e>{math_run('1')}</m:e><m:e>{math_run('2')}</m:e></m:mr></m:m>",
         r"\begin{matrix} 1 & 2 \end{matrix}"),
        (f'<m:acc><m:accPr><m:chr m:val="⃗"/></m:accPr><m:e>{math_run("v")}</m:e></m:acc>', r"\vec{v}"),
    ],
)  # fmt: skip
def test_formulas_of_word_are_latex(office: str, latex: str):
    assert read(docx(f"<w:p><m:oMath>{office}</m:oMath></w:p>")).text == f"${latex}$"


HTML = """<!doctype html><html lang="en"><head><title>Page</title><meta name="author" content="Bo"><style>p{}</style>
<meta property="article:published_time" content="2024-02-03"><link rel="license" href="https://example.org/by"></head>
<body><script>steal()</script><h1>Top</h1><p>First<br>line, H<sub>2</sub>O &amp; <a href="javascript:x()">link</a>.</p>
<p hidden>unseen</p><div style="display:none">unseen</div><ol><li>one<ul><li>inner</ul><li>two</ol>
<table><tr><th>a<th>b</tr><tr><td>1<td>2</tr></table><pre>x = 1
  y</pre><p>Euler: <math><msup><mi>e</mi><mrow><mi>i</mi><mi>π</mi></mrow></msup></math></p>
<script type="math/tex">a^2</script><noscript>unseen</noscript></body></html>"""


def test_a_page_keeps_its_structure_and_drops_its_scripts():
    outcome = read(HTML.encode())
    assert outcome.text == (
        "# Top\n\nFirst\nline, H2O & link.\n\n1. one\n   - inner\n2. two\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n\n"
        "```\nx = 1\n  y\n```\n\nEuler: $e^{iπ}$\n\n$a^2$"
    )
    assert outcome.title == "Page"
    assert (
        outcome.metadata.items()
        >= {
            "author": "Bo",
            "date": "2024-02-03",
            "licence": "https://example.org/by",
        }.items()
    )


@pytest.mark.parametrize("encoding", ["iso-8859-15", "windows-1251", "shift_jis", "utf-8"])
def test_a_page_is_read_in_the_encoding_it_states(encoding: str):
    text = {"windows-1251": "Привет", "shift_jis": "日本語"}.get(encoding, "château")
    assert read(f"<html><meta charset={encoding}><p>{text}".encode(encoding)).text == text


def test_slides_have_headings_tables_and_notes():
    title = '<p:sp><p:nvSpPr><p:nvPr><p:ph type="title"/></p:nvPr></p:nvSpPr><p:txBody>{}</p:txBody></p:sp>'
    text = "<a:p><a:r><a:t>{}</a:t></a:r></a:p>"
    slide = f"<p:sld {P} {A}><p:cSld><p:spTree>{{}}</p:spTree></p:cSld></p:sld>"
    cells = "".join(
        f"<a:tr>{''.join(f'<a:tc>{text.format(one)}</a:tc>' for one in row)}</a:tr>" for row in ("ab", "12")
    )
    data = zipped(
        {
            "[Content_Types].xml": "<Types/>",
            "ppt/slides/slide10.xml": slide.format(title.format(text.format("Last"))),
            "ppt/slides/slide2.xml": slide.format(f"<p:graphicFrame><a:tbl>{cells}</a:tbl></p:graphicFrame>"),
            "ppt/slides/slide1.xml": slide.format(
                title.format(text.format("First")) + f"<p:sp><p:txBody>{text.format('point')}</p:txBody></p:sp>"
            ),
            "ppt/notesSlides/notesSlide1.xml": slide.format(f"<p:sp><p:txBody>{text.format('said')}</p:txBody></p:sp>"),
        }
    )
    outcome = read(data)
    assert outcome.text == "## First\n\npoint\n\nsaid\n\n## Slide 2\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n\n## Last"
    assert outcome.metadata["pages"] == 3


def test_a_workbook_has_a_table_for_each_sheet():
    types = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    row = '<row r="{0}"><c r="A{0}" t="inlineStr"><is><t>{1}</t></is></c><c r="B{0}"><v>{2}</v></c></row>'
    data = zipped(
        {
            "[Content_Types].xml": f'<Types xmlns="{package}/content-types"><Default Extension="xml" '
            f'ContentType="application/xml"/><Override PartName="/xl/workbook.xml" '
            f'ContentType="{types}.sheet.main+xml"/></Types>',
            "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" '
            f'Type="{kind}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
            "xl/workbook.xml": f'<workbook {S} {R}><sheets><sheet name="Prices" sheetId="1" r:id="r1"/>'
            "</sheets></workbook>",
            "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" '
            f'Type="{kind}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
            "xl/worksheets/sheet1.xml": f"<worksheet {S}><sheetData>{row.format(1, 'tea', 3)}"
            f"{row.format(2, 'milk', 1.5)}</sheetData></worksheet>",
        }
    )
    outcome = read(data)
    assert (outcome.status, outcome.text) == ("ok", "## Prices\n\n| tea | 3 |\n| --- | --- |\n| milk | 1.5 |"), outcome


def test_a_book_is_read_in_its_order():
    data = zipped(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": '<container><rootfiles><rootfile full-path="OEBPS/book.opf"/>'
            "</rootfiles></container>",
            "OEBPS/book.opf": '<package xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata><dc:title>Book</dc:title>'
            "<dc:creator>Cy</dc:creator></metadata><manifest>"
            '<item id="two" href="text/2.xhtml" media-type="application/xhtml+xml"/>'
            '<item id="one" href="text/1%20a.xhtml" media-type="application/xhtml+xml"/>'
            '<item id="lost" href="text/3.xhtml" media-type="application/xhtml+xml"/></manifest>'
            '<spine><itemref idref="one"/><itemref idref="two"/><itemref idref="lost"/></spine></package>',
            "OEBPS/text/1 a.xhtml": "<html><body><h1>One</h1><p>first</p></body></html>",
            "OEBPS/text/2.xhtml": "<html><body><p>second</p></body></html>",
        }
    )
    outcome = read(data)
    assert (outcome.title, outcome.text) == ("Book", "# One\n\nfirst\n\nsecond")
    assert (outcome.status, outcome.reason) == ("partial", "damaged: the part OEBPS/text/3.xhtml is missing")
    assert outcome.metadata["author"] == "Cy"


def test_mail_has_its_subject_and_names_its_attachments():
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "Dee <dee@example.org>", "e@example.org", "Käse"
    message["Date"] = "Fri, 01 Mar 2024 10:00:00 +0000"
    message.set_content("Plain wörds.")
    message.add_alternative("<p>HTML words.</p>", subtype="html")
    message.add_attachment(b"...", maintype="application", subtype="pdf", filename="bill.pdf")
    outcome = read(bytes(message))
    assert (outcome.title, outcome.text) == ("Käse", "Plain wörds.")
    assert outcome.metadata["attachments"] == ["bill.pdf"]
    assert outcome.metadata["date"] == "2024-03-01T10:00:00+00:00"


@pytest.mark.parametrize(
    ("declared", "data", "text"),
    [
        ("text/csv", b"a;b\n1;x|y\n", "| a | b |\n| --- | --- |\n| 1 | x\\|y |"),
        ("text/csv", 'name,town\n"Ö, A",Köln\n'.encode("cp1252"), "| name | town |\n| --- | --- |\n| Ö, A | Köln |"),
        ("application/json", b'{"a": {"b": [1, true, "x"]}, "c": null}', "a.b: 1\na.b: true\na.b: x"),
        ("application/json", b'[{"t": "one"}, {"t": "two"}]', "t: one\n\nt: two"),
        ("application/json", b'{"t": "one"}\n{"t": "two"}\n', "t: one\n\nt: two"),
        ("application/json", rb'{"t": "\ud800 \u0000."}', "t: \ufffd ."),
        ("application/xml", b"<?xml version='1.0'?><a><b>one</b> two<c/> three</a>", "two three\none"),
    ],
)
def test_data_is_text_behind_its_path(declared: str, data: bytes, text: str):
    assert read(data, declared).text == text


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("a.pdf", "application/pdf"),
        ("A.HTM", "text/html"),
        ("b.eml", "message/rfc822"),
        ("c.nxml", "application/jats+xml"),
    ],
)
def test_extensions_declare_a_type(name: str, media_type: str):
    assert media_type_of(name) == media_type


def test_text_is_what_it_is_declared_unless_it_shows_otherwise():
    assert detect(b"# Title\n\n<div>text</div>", "text/markdown") == "text/markdown"
    assert detect(b"<div align=center>\n\n# Title", "text/markdown") == "text/markdown"
    assert detect(b"just words", "text/html") == "text/plain"
    assert detect(b"just words", "application/pdf") == "text/plain"
    assert detect(b"BMW is a car", "text/plain") == "text/plain"
    assert detect(b"<!DOCTYPE html><p>x", "text/plain") == "text/html"


def test_a_fingerprint_follows_parser_library_and_settings(monkeypatch):
    from resources.parsing import registry

    before = parser_fingerprint("application/pdf")
    assert parser_fingerprint("application/pdf", ParsingSettings(ocr="eng")) != before
    assert parser_fingerprint("application/pdf", ParsingSettings(workers=3, seconds=5)) == before
    monkeypatch.setattr(registry, "_installed", lambda package: "another")
    assert parser_fingerprint("application/pdf") != before
    assert parser_names("application/pdf")[0] == "built-in"
