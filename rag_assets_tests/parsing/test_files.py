"""Every file of the collection ends as its manifest says, parsed as a stranger's is: in the pool, within limits."""

import collections
import csv
import re
import statistics
from pathlib import Path

import pytest

from resources.parsing.base import READABLE, ParsedDocument, RawDocument
from resources.parsing.detection import DOCX
from resources.parsing.pool import parser_pool
from resources.parsing.reading import parse
from resources.parsing.registry import media_type_of
from resources.parsing.settings import ParsingSettings

LIMITS = ParsingSettings(workers=2, seconds=30, memory_mb=512)


@pytest.fixture(scope="module")
def manifest(shared_data: Path) -> dict[str, dict[str, str]]:
    with (shared_data / "MANIFEST.tsv").open(encoding="utf-8") as file:
        return {row["path"]: row for row in csv.DictReader(file, delimiter="\t")}


def raw(root: Path, path: str, name: str | None = None) -> RawDocument:
    declared = media_type_of(name or path) or "application/octet-stream"
    return RawDocument(path, "1", declared, (root / path).read_bytes())


@pytest.fixture(scope="module")
def outcomes(shared_data: Path, manifest) -> dict[str, ParsedDocument]:
    with parser_pool(LIMITS) as pool:
        return {one.key: one for one in pool.parse(raw(shared_data, path) for path in manifest)}


def test_every_file_ends_as_its_manifest_says(outcomes, manifest):
    allowed = {
        "text": READABLE,
        "empty": ("empty",),
        "either": ("ok", "partial", "empty", "failed"),
        "reject:empty": ("empty",),
        "reject:encrypted": ("failed",),
        "reject:corrupt": ("failed",),
        "bounded": ("hostile",),
    }
    assert outcomes.keys() == manifest.keys()
    wrong = {
        path: (row["expect"], outcomes[path].status, outcomes[path].reason)
        for path, row in manifest.items()
        if outcomes[path].status not in allowed[row["expect"]]
    }
    assert not wrong
    assert all(one.reason for one in outcomes.values() if one.status != "ok")
    encrypted = [outcomes[path].reason for path, row in manifest.items() if row["expect"] == "reject:encrypted"]
    assert set(encrypted) == {"encrypted: a password is needed"}


def words(text: str) -> collections.Counter[str]:
    return collections.Counter(re.findall(r"\w+", text.lower()))


def recall(reference: str, text: str) -> float | None:
    expected, found = words(reference), words(text)
    total = expected.total()
    return (expected & found).total() / total if total else None


def test_words_are_recalled_as_well_as_by_the_peers(outcomes, shared_data: Path):
    by_format = collections.defaultdict(list)
    for folder in ("expected", "peer_text"):
        for path, outcome in outcomes.items():
            for file in (shared_data / folder).glob(path.removeprefix("files/") + "*"):
                reference = file.read_text("utf-8", "replace")
                if file.suffix == ".html":
                    reference = re.sub(r"<[^>]*>", " ", reference)
                if (share := recall(reference, outcome.text)) is not None:
                    by_format[folder, path.split("/")[1]].append(share)
    assert {"txt", "html", "pdf"} == {kind for folder, kind in by_format if folder == "expected"}
    # The peers' own recall of what the origins expect is 1.0 at the median, and of their own text by definition.
    assert {key: statistics.median(shares) for key, shares in by_format.items()} == pytest.approx(
        dict.fromkeys(by_format, 1.0), abs=0.005
    )
    assert statistics.median(share for shares in by_format.values() for share in shares) >= 0.99


@pytest.mark.parametrize(
    ("path", "name", "media_type"),
    [
        ("files/pdf/pypdf__crazyones.pdf", "story.txt", "application/pdf"),
        ("files/html/unst__fake-html.html", "page.docx", "text/html"),
        ("files/docx/unst__simple.docx", "report.zip", DOCX),
        ("files/xml/ppub__pone.0000217.nxml", "article.txt", "application/jats+xml"),
        ("files/txt/unst__fake-text-utf-16.txt", "notes.md", "text/markdown"),
    ],
)  # fmt: skip
def test_the_name_does_not_decide_the_type(shared_data: Path, path: str, name: str, media_type: str):
    outcome = parse(raw(shared_data, path, name))
    assert (outcome.status, outcome.media_type) == ("ok", media_type)


def test_headings_tables_and_titles_of_real_files(outcomes):
    movie = outcomes["files/pdf/mid__movie-theater-booking-2024.pdf"]
    assert "| Alt Order #: | SC-WINTER-2024 |" in movie.text
    assert outcomes["files/pdf/pysample__multicolumn.pdf"].title == "Two-Column Document with Lorem Ipsum"
    assert outcomes["files/pdf/plumber__federal-register-2020-17221.pdf"].metadata["pages"] == 15
    equations = outcomes["files/docx/mid__equations.docx"]
    assert r"\frac{mλ}{a}" in equations.text and "{10}^{-6}" in equations.text
    assert "| Lorem ipsum | A link example |" in outcomes["files/docx/unst__docx-tables.docx"].text
    wikipedia = outcomes["files/html/read__wikipedia.html"]
    assert wikipedia.title == "Mozilla - Wikipedia"
    assert "\n## History" in wikipedia.text and "| Industry | Open-source software |" in wikipedia.text
    assert outcomes["files/txt/charset__sample-french-1.txt"].metadata["language"] == "fr"
    assert outcomes["files/txt/charset__sample-arabic-1.txt"].metadata["language"] == "ar"
