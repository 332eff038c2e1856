"""PMC open access against a double of E-utilities and the OA service that refuses what NCBI would refuse."""

import json
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

import pytest

from rag_assets_tests.sources.reading import failures, fetch_listed
from rag_assets_tests.sources.servers import serving
from resources.errors import SourceError
from resources.sources import fetching
from resources.sources.base import RawDocument
from resources.sources.registry import open_source

NXML = b'<?xml version="1.0"?><pmc-articleset><article><body><p>Text.</p></body></article></pmc-articleset>'


@pytest.fixture
def ncbi(monkeypatch):
    monkeypatch.setattr(fetching, "BASE_PAUSE", 0.001)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        articles = {str(1000 + number): {"title": f"Article {number}"} for number in range(1203)}  # noqa: RUF012
        closed, asked = {"1003"}, []

        def log_message(self, *_):
            pass

        def do_GET(self):
            parts = urlsplit(self.path)
            asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
            what = parts.path.rsplit("/", 1)[1]
            self.asked.append((what, asked))
            status, body = getattr(self, what.removesuffix(".fcgi"))(asked)
            self.send_response_only(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def strict(self, asked):
            assert asked["tool"] == "rag-assets" and asked["db"] == "pmc", asked

        def esearch(self, asked):
            self.strict(asked)
            assert asked["retmode"] == "json" and asked["term"].endswith("AND open access[filter]")
            start, most = int(asked["retstart"]), int(asked["retmax"])
            ids = sorted(self.articles)[start : start + most]
            return 200, json.dumps({"esearchresult": {"count": str(len(self.articles)), "idlist": ids}}).encode()

        def esummary(self, asked):
            self.strict(asked)
            ids = asked["id"].split(",")
            if len(ids) > 200:
                return 414, b""
            return 200, json.dumps({"result": {"uids": ids, **{one: self.articles[one] for one in ids}}}).encode()

        def efetch(self, asked):
            self.strict(asked)
            return (200, NXML) if asked["id"] in self.articles else (400, b"")

        def oa(self, asked):
            one = asked["id"].removeprefix("PMC")
            if one in self.closed:
                error = b'<OA><error code="idIsNotOpenAccess">not open</error></OA>'
                return 200, error
            return (
                200,
                f'<OA><records><record id="PMC{one}" license="CC BY" citation="J. 2020"/></records></OA>'.encode(),
            )

    with serving(Handler) as server:
        Handler.address = f"http://127.0.0.1:{server.server_address[1]}"
        Handler.asked.clear()
        yield Handler


def pmc(ncbi, **options):
    addresses = {"eutils_url": f"{ncbi.address}/eutils", "oa_url": f"{ncbi.address}/oa.fcgi"}
    return open_source("pmc", "pmc", {"query": "asthma", "rate": 10, **addresses, **options})


def test_articles_are_searched_in_pages_and_summarised_in_batches(ncbi):
    items = list(pmc(ncbi, most=1200, email="me@example.org").discover())
    assert len(items) == 1200 and items[0].key == "PMC1000" and items[0].url.endswith("/PMC1000/")
    assert [what for what, _ in ncbi.asked] == ["esearch.fcgi"] * 3 + ["esummary.fcgi"] * 6
    assert all(asked["email"] == "me@example.org" for _, asked in ncbi.asked)


def test_full_text_comes_with_its_licence_and_closed_articles_are_refused(ncbi):
    source = pmc(ncbi, most=5)
    outcomes = fetch_listed(source)
    assert failures(outcomes)["PMC1003"][0] == "permission"
    one = outcomes["PMC1001"]
    assert isinstance(one, RawDocument) and one.data == NXML
    assert one.metadata == {"license": "CC BY", "citation": "J. 2020", "retracted": False}
    before = {item.key: item.version for item in source.discover()}
    ncbi.articles["1001"] = {"title": "Article 1, corrected"}
    after = {item.key: item.version for item in source.discover()}
    assert [key for key in before if before[key] != after[key]] == ["PMC1001"]


def test_a_query_that_is_not_understood_says_so(ncbi, monkeypatch):
    answer = json.dumps({"esearchresult": {"ERROR": "Invalid query"}}).encode()
    monkeypatch.setattr(ncbi, "esearch", lambda self, asked: (200, answer))
    with pytest.raises(SourceError, match="does not understand the query: Invalid query"):
        list(pmc(ncbi).discover())
