"""Parsing: bytes become text, or a reason; nothing a document holds raises."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.parsing import registry
from resources.parsing.base import Content, HostileError, ParsedDocument, ParseError
from resources.parsing.markdown import blocks
from resources.parsing.reading import parse
from resources.parsing.registry import media_type_of, parser_fingerprint
from resources.parsing.settings import ParsingSettings
from resources.sources.base import RawDocument

FILES = Path(__file__).parents[3] / "shared" / "data" / "files"
EXPECTED = FILES.parent / "expected"
needs_files = pytest.mark.skipif(not FILES.is_dir(), reason="the development data (files) is not here")


def parsed(data: bytes, media_type: str = "text/plain", **known: object) -> ParsedDocument:
    return parse(RawDocument("key", "1", media_type, data, **known))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "data",
    [
        "naïve café".encode(),
        "\ufeffnaïve café".encode(),
        "naïve café".encode("utf-16"),
        "\ufeffnaïve café".encode("utf-16-be"),
        "\ufeffnaïve café".encode("utf-32-le"),
    ],
)
def test_marked_encodings_and_utf8_are_exact(data: bytes) -> None:
    assert parsed(data).text == "naïve café"


def test_line_ends_become_newlines() -> None:
    assert parsed(b"one\r\ntwo\rthree\nfour").text == "one\ntwo\nthree\nfour"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"a\0\0bc\0d\0\0e", "NUL"),
        (bytes(range(256)) * 8, "not valid utf-8"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\xff\xfe", "a picture; `parsing.ocr` reads the text in it"),
        (b"\xff\xfea", "not valid utf-16"),
        (b"\xef\xbb\xbf\xff\xff", "not valid utf-8-sig"),
    ],
)
def test_what_is_no_text_fails_with_a_reason(data: bytes, reason: str) -> None:
    outcome = parsed(data)
    assert (outcome.status, outcome.text) == ("failed", "")
    assert outcome.reason is not None and reason in outcome.reason


@pytest.mark.parametrize("data", [b"", b" \n\t ", "\ufeff".encode()])
def test_no_text_is_empty_and_no_failure(data: bytes) -> None:
    assert parsed(data).status == "empty"


def test_an_unknown_type_is_a_failure_that_names_it() -> None:
    outcome = parsed(b"\0\1\2", "application/x-unknown", title="Report")
    assert (outcome.status, outcome.title, outcome.reason) == (
        "failed",
        "Report",
        "no parser for application/x-unknown",
    )


@pytest.fixture
def two_parsers(monkeypatch):
    """Two parsers of one type: the first fails with the word that the document names, the second reads anything."""
    monkeypatch.setattr(registry, "_parsers", {})
    monkeypatch.setattr(registry, "_media_types", {})

    @registry.parser("application/x-two", version=1)
    def first(data: bytes, settings: ParsingSettings) -> Content:
        if b"hostile" in data:
            raise HostileError("a bomb")
        if b"bug" in data:
            raise IndexError("a bug")
        return Content("first")

    @registry.parser("application/x-two", version=1, name="other")
    def other(data: bytes, settings: ParsingSettings) -> Content:
        if b"hopeless" in data:
            raise ParseError("no idea")
        return Content("" if b"silent" in data else "other", problems=("a page",))


def test_another_parser_stands_in_for_one_that_fails(two_parsers) -> None:
    def read(data: bytes, **settings: object) -> ParsedDocument:
        return parse(RawDocument("k", "1", "application/x-two", b"\0\0" + data), ParsingSettings(**settings))

    assert (read(b"fine").status, read(b"fine").text) == ("ok", "first")
    stood_in = read(b"bug")
    assert (stood_in.status, stood_in.text) == ("partial", "other")
    assert stood_in.reason is not None
    assert "'other'" in stood_in.reason and "'built-in' failed" in stood_in.reason and "IndexError" in stood_in.reason
    assert stood_in.reason.endswith("; a page")
    for data in (b"bug, hopeless", b"bug, silent"):
        failed = read(data)
        assert (failed.status, failed.failure) == ("failed", "corruption") and "IndexError" in (failed.reason or "")
    assert read(b"hostile").status == "hostile", "what means harm is given to nobody else"
    assert read(b"fine", parsers={"application/x-two": "other"}).text == "other"


def test_a_fingerprint_names_its_parser() -> None:
    kinds = ["text/plain", "text/markdown", "application/x-unknown"]
    assert len({parser_fingerprint(kind) for kind in kinds}) == 3


def test_extensions_choose_the_media_type() -> None:
    names = ["a.txt", "b/C.MD", "d.rst", "e.jpg", "txt"]
    assert [media_type_of(name) for name in names] == ["text/plain", "text/markdown", "text/plain", None, None]


@needs_files
@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("charset__sample-arabic-1.txt", "cp1256"),
        ("charset__sample-chinese.txt", "big5"),
        ("charset__sample-french-1.txt", "cp1252"),
        ("unst__fake-text-utf-16.txt", "utf-16"),
        ("unst__UDHR_first_article_all.txt", "utf-8"),
    ],
)
def test_real_files_in_other_encodings(name: str, encoding: str) -> None:
    data = (FILES / "txt" / name).read_bytes()
    assert parsed(data).text == data.decode(encoding).replace("\r\n", "\n")


@needs_files
def test_real_markdown_has_its_title() -> None:
    data = (FILES / "md" / "rust__ch04-01-what-is-ownership.md").read_bytes()
    outcome = parsed(data, "text/markdown")
    assert outcome.title == "What Is Ownership?"
    assert outcome.text == data.decode()


def test_front_matter_becomes_metadata() -> None:
    outcome = parsed(
        b"---\ntitle: Leave policy\ntags: [hr, 2024-01-31]\n---\n# Other\n\nText.", "text/markdown", metadata={"a": 1}
    )
    assert outcome.title == "Leave policy"
    assert outcome.metadata == {"a": 1, "title": "Leave policy", "tags": ["hr", "2024-01-31"]}
    assert outcome.text == "# Other\n\nText."


@pytest.mark.parametrize(
    "head",
    [
        "---\nJust a rule above.\n---\n",
        "---\na: [1\n---\n",
        "---\na: &x [1, 1]\nb: *x\n---\n",
        "---\nnever closed\n",
        "---\na: " + "[" * 5000 + "\n---\n",
    ],
)
def test_what_is_no_front_matter_stays_text(head: str) -> None:
    outcome = parsed(f"{head}\n# Title\n".encode(), "text/markdown")
    assert (outcome.status, outcome.metadata.keys() - {"language"}) == ("ok", set())
    assert outcome.text.startswith("---\n")


MARKDOWN = """\
Setext title
============

# Real # heading ##

#hashtag is no heading, and `# neither`

```python
# a comment, no heading
~~~
```

````
``` inside
````

```inline``` is prose.

| a | b |
|---|:-:|
| 1 | 2 |

Text | with a bar.

Underlined
---
#
~~~ open
# until the end
"""


def test_blocks_of_markdown() -> None:
    found = [(block.kind, block.level, block.title) for block in blocks(MARKDOWN)]
    assert found == [
        ("heading", 1, "Setext title"),
        ("heading", 1, "Real # heading"),
        ("code", 0, ""),
        ("code", 0, ""),
        ("table", 0, ""),
        ("heading", 2, "Underlined"),
        ("heading", 1, ""),
        ("code", 0, ""),
    ]
    table = next(block for block in blocks(MARKDOWN) if block.kind == "table")
    assert MARKDOWN[table.start : table.end] == "| a | b |\n|---|:-:|\n| 1 | 2 |\n"


@given(st.text(alphabet="#`~|-=: \n\tab", max_size=200))
def test_blocks_are_ordered_and_apart(text: str) -> None:
    end = 0
    for block in blocks(text):
        assert end <= block.start < block.end <= len(text)
        end = block.end


@given(st.binary(max_size=300), st.sampled_from(["text/plain", "text/markdown"]))
def test_any_bytes_have_an_outcome(data: bytes, media_type: str) -> None:
    outcome = parsed(data, media_type)
    assert (outcome.status == "ok") == bool(outcome.text.strip())
    assert (outcome.status == "ok") != bool(outcome.reason)
    assert "\r" not in outcome.text and "\0" not in outcome.text
