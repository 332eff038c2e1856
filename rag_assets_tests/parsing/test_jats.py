"""Scientific articles: all of the collection, against what is known of them."""

import collections
import json
import re
import tarfile
import unicodedata
from pathlib import Path

import pytest
from lxml import etree

from resources.parsing.base import ParsedDocument, RawDocument
from resources.parsing.reading import parse


def read(data: bytes) -> ParsedDocument:
    return parse(RawDocument("article", "1", "application/xml", data))


def plain(text: object) -> str:
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", str(text or "")).lower())


def tree(data: bytes):
    root = etree.fromstring(data, etree.XMLParser(resolve_entities=False, load_dtd=False, no_network=True))
    for element in root.iter(etree.Element):
        element.tag = etree.QName(element).localname
    return root if root.tag == "article" else root.find(".//article")


@pytest.fixture(scope="module")
def articles(shared_data: Path):
    """Return (what is known, the XML as a tree, the outcome) of every article."""
    known = {one["file"]: one for one in map(json.loads, (shared_data / "pmc" / "meta.jsonl").open(encoding="utf-8"))}
    found = []
    with tarfile.open(shared_data / "pmc" / "pmc-xml.tar.gz") as archive:
        for member in archive:
            name = Path(member.name).name
            if name in known:
                data = archive.extractfile(member).read()
                found.append((known[name], tree(data), read(data)))
    assert len(found) == 262
    return found


def test_every_article_has_text_and_what_is_known_of_it(articles):
    for known, _, outcome in articles:
        assert (outcome.status, outcome.media_type) == ("ok", "application/jats+xml"), (known["file"], outcome.reason)
        assert plain(outcome.title) == plain(known["title"])
        metadata = outcome.metadata
        said = {key: metadata.get(key) for key in ("licence", "doi", "pmcid", "article_type")}
        assert said == {key: known[key] for key in said}, known["file"]
        assert str(metadata["date"]).startswith(known["year"])
        assert plain(metadata["journal"]) == plain(known["journal"])


def test_authors_are_those_of_the_article(articles):
    for known, article, outcome in articles:
        surnames = [
            " ".join("".join(one.itertext()).split())
            for one in article.iterfind("front/article-meta/contrib-group/contrib[@contrib-type='author']/name/surname")
        ]
        authors = outcome.metadata["authors"]
        assert authors, known["file"]
        assert all(any(name in str(author) for author in authors) for name in surnames), known["file"]


def test_sections_are_headings_and_references_are_gone(articles):
    for known, article, outcome in articles:
        headings = plain("".join(line for line in outcome.text.splitlines() if line.startswith("#")))
        titles = ["".join(one.itertext()) for one in article.iterfind("body/sec/title")]
        assert all(plain(title) in headings for title in titles), known["file"]
        markup = re.search(r"</(p|sec|xref|italic|sup|sub|ext-link)>|<xref|\[\s*[,;–-]*\s*\]", outcome.text)
        assert not markup, known["file"]
        text = plain(outcome.text)
        kept = (*article.iterfind("body"), *article.iterfind("floats-group"), *article.iterfind("front"))
        body = plain("".join("".join(part.itertext()) for part in kept))
        cited = [plain("".join(one.itertext())) for one in article.iterfind("back/ref-list/ref//article-title")]
        listed = [title for title in cited if len(title) > 40 and title in text and title not in body]
        assert not listed, known["file"]


def test_no_word_of_abstract_or_body_is_lost(articles):
    for known, article, outcome in articles:
        expected = collections.Counter()
        for part in (*article.iterfind("front/article-meta/abstract"), *article.iterfind("body")):
            for paragraph in part.iter("p"):
                if not any(one.tag == "p" for one in paragraph.iterancestors()):
                    expected.update(words("".join(_pieces(paragraph))))
        found = collections.Counter(words(outcome.text))
        assert (expected & found).total() >= 0.97 * expected.total(), known["file"]


def words(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]{3,}", text.lower())


def _pieces(element):
    """Yield the text of an element without its formulas and the marks of its references."""
    yield element.text or ""
    for child in element:
        if child.tag not in ("xref", "math", "tex-math", "inline-formula", "disp-formula"):
            yield from _pieces(child)
        yield child.tail or ""


ARTICLE = """<!DOCTYPE article PUBLIC "-//NLM//DTD JATS//EN" "JATS.dtd">
<article xmlns:mml="http://www.w3.org/1998/Math/MathML" article-type="research-article"><front><article-meta>
<title-group><article-title>On <italic>E. coli</italic>&nbsp;growth</article-title></title-group>
<contrib-group><contrib contrib-type="author"><name><surname>Ng</surname><given-names>A B</given-names></name></contrib>
<contrib contrib-type="author"><collab>The Group<contrib-group><contrib><name><surname>Member</surname></name></contrib>
</contrib-group></collab></contrib><contrib contrib-type="editor"><name><surname>Editor</surname></name></contrib>
</contrib-group><pub-date pub-type="ppub"><year>2020</year></pub-date>
<pub-date pub-type="epub"><day>7</day><month>3</month><year>2019</year></pub-date>
<permissions><license><license-p>under the Creative Commons Attribution-NonCommercial 3.0 License</license-p></license>
</permissions><abstract><sec><title>Aim</title><p>We grew it.</p></sec></abstract></article-meta></front>
<body><sec><label>1.</label><title>Methods</title><p>At 10<sup>-6</sup> M CO<sub>2</sub>
[<xref ref-type="bibr" rid="b1">1</xref>, <xref ref-type="bibr" rid="b2">2</xref>], as Smith
(<xref ref-type="bibr" rid="b3">2001</xref>) did.
<list><list-item><p>one</p></list-item><list-item><p>two</p></list-item></list> After.</p>
<sec><title>Model</title><disp-formula><mml:math><mml:mfrac><mml:mi>a</mml:mi><mml:msup><mml:mi>b</mml:mi><mml:mn>2</mml:mn>
</mml:msup></mml:mfrac></mml:math></disp-formula>
<table-wrap><label>Table 1</label><caption><p>Yields</p></caption><table><thead><tr><th>a</th><th>b|c</th></tr></thead>
<tbody><tr><td colspan="2">1</td></tr><tr><td>2</td><td>3</td></tr></tbody></table></table-wrap></sec></sec></body>
<back><ref-list><ref><mixed-citation>Smith 2001, a long title</mixed-citation></ref></ref-list></back></article>"""


def test_the_parts_of_an_article():
    outcome = read(ARTICLE.encode())
    assert outcome.title == "On E. coli growth"
    assert outcome.metadata["authors"] == ["A B Ng", "The Group"]
    assert outcome.metadata["date"] == "2019-03-07"
    assert outcome.metadata["licence"] == "CC-BY-NC-3.0"
    assert outcome.text == (
        "## Abstract\n\n### Aim\n\nWe grew it.\n\n## 1. Methods\n\nAt 10^-6 M CO2, as Smith did.\n\n- one\n- two\n\n"
        "After.\n\n### Model\n\n$$\\frac{a}{b^{2}}$$\n\nTable 1. Yields.\n\n"
        "| a | b\\|c |\n| --- | --- |\n| 1 |  |\n| 2 | 3 |"
    )


LATIN = '<?xml version="1.0" encoding="iso-8859-1"?>' + ARTICLE.replace("&nbsp;", "\xa0")
SET = f"<pmc-articleset>{ARTICLE[ARTICLE.index('<article') :]}</pmc-articleset>".replace("&nbsp;", " ")


@pytest.mark.parametrize(
    "data", [ARTICLE.encode("utf-16"), LATIN.encode("iso-8859-1"), SET.encode(), b"\xef\xbb\xbf" + ARTICLE.encode()]
)
def test_other_wrappings_of_the_same_article(data: bytes):
    outcome = read(data)
    assert (outcome.status, outcome.title, outcome.media_type) == ("ok", "On E. coli growth", "application/jats+xml")


def test_an_article_cut_short_is_partial():
    outcome = read(ARTICLE[: ARTICLE.index("<table-wrap>")].encode())
    assert outcome.status == "partial" and "not well-formed" in str(outcome.reason)
    assert "We grew it." in outcome.text
