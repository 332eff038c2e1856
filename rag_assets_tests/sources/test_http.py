"""A list of URLs, on a real server, with the manners that servers have."""

import hashlib
from http.server import BaseHTTPRequestHandler

import pytest

from rag_assets_tests.sources.reading import failures, fetch_listed
from rag_assets_tests.sources.servers import serving
from resources.errors import SettingsError, SourceError
from resources.sources import fetching
from resources.sources.base import RawDocument
from resources.sources.fetching import list_source
from resources.sources.registry import open_source

TOKEN = "s3cr3t-token"


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setattr(fetching, "BASE_PAUSE", 0.001)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        pages, requests, faults, heads = {}, [], [], True

        def log_message(self, *_):
            pass

        def do_GET(self):
            self.answer(with_body=True)

        def do_HEAD(self):
            self.answer(with_body=False)

        def answer(self, with_body):
            self.requests.append((self.command, self.path))
            if self.faults and (with_body or not self.faults[0][2]):
                status, headers, _ = self.faults.pop(0)
                return self.send(status, headers, b"no", with_body)
            if not with_body and not self.heads:
                return self.send(405, {}, b"", False)
            if self.path == "/private.txt" and self.headers.get("Authorization") != f"Bearer {TOKEN}":
                return self.send(401, {}, b"", with_body)
            if self.path not in self.pages:
                return self.send(404, {}, b"", with_body)
            headers, body = self.pages[self.path]
            return self.send(200, headers, body, with_body)

        def send(self, status, headers, body, with_body):
            self.send_response_only(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def page(self, path):
            return f"{self.address}{path}"

    with serving(Handler) as server:
        Handler.address = f"http://127.0.0.1:{server.server_address[1]}"
        Handler.requests.clear()
        yield Handler


def etagged(text, media_type="text/plain; charset=utf-8"):
    return {"ETag": f'"{hashlib.md5(text).hexdigest()}"', "Content-Type": media_type}, text


def http(site, *paths, **options):
    return open_source("http", "web", {"urls": [f"{site.address}{path}" for path in paths], **options})


def test_headers_alone_tell_what_changed(site):
    site.pages.update({"/a.txt": etagged(b"alpha"), "/b": etagged(b"# beta", "text/markdown")})
    source = http(site, "/a.txt", "/b", "/gone.txt")
    items = list(source.discover())
    assert [item.key for item in items] == [f"{site.address}/a.txt", f"{site.address}/b"]
    assert {method for method, _ in site.requests} == {"HEAD"} and len(site.requests) == 3
    outcomes = fetch_listed(source)  # in the order in which they arrive
    fetched = [outcomes[item.key] for item in items]
    assert [(one.data, one.media_type) for one in fetched] == [(b"alpha", "text/plain"), (b"# beta", "text/markdown")]
    assert [one.version for one in fetched] == [item.version for item in items]
    site.pages["/a.txt"] = etagged(b"alphA")
    assert [new.version != old.version for new, old in zip(source.discover(), items, strict=True)] == [True, False]


@pytest.mark.parametrize("heads", [True, False])
def test_a_server_without_versions_or_without_head_is_read_to_know(site, heads):
    site.heads = heads
    site.pages["/a.txt"] = ({}, b"alpha")
    source = http(site, "/a.txt")
    [first] = source.discover()
    [again] = source.discover()
    site.pages["/a.txt"] = ({}, b"beta")
    [changed] = source.discover()
    assert first == again and changed.version != first.version
    site.heads = True


def test_urls_may_come_from_a_file_and_be_chosen_by_patterns(site, tmp_path):
    site.pages.update({f"/{name}": etagged(b"x") for name in ("docs/a", "docs/b.pdf", "blog/c")})
    (tmp_path / "urls.txt").write_text("# mine\n" + "\n".join(f"{site.address}{path}" for path in site.pages) + "\n")
    source = open_source(
        "http", "web", {"path": str(tmp_path / "urls.txt"), "include": ["docs/"], "exclude": ["*.pdf"]}
    )
    assert [item.key for item in source.discover()] == [f"{site.address}/docs/a"]


def test_throttling_is_waited_out_and_other_failures_are_told_apart(site):
    site.pages.update({f"/{name}.txt": etagged(name.encode()) for name in "abc"})
    source = http(site, "/a.txt", "/b.txt", "/c.txt", concurrency=1)
    site.faults += [(429, {"Retry-After": "0"}, True), (503, {}, True), (403, {}, True)]
    outcomes = fetch_listed(source)
    assert sum(isinstance(one, RawDocument) for one in outcomes.values()) == 2
    [(kind, reason)] = failures(outcomes).values()
    assert kind == "permission" and "403" in reason
    site.faults += [(500, {}, False)] * 20
    with pytest.raises(SourceError, match="answered 500"):
        list_source(source)
    assert len(site.faults) == 20 - 3 * 5, "each URL five times, by one layer only"
    site.faults.clear()


def test_credentials_are_sent_and_never_shown(site):
    site.pages["/private.txt"] = etagged(b"private")
    with pytest.raises(SourceError, match="answered 401"):
        list_source(http(site, "/private.txt"))
    source = http(site, "/private.txt", token=TOKEN)
    [outcome] = fetch_listed(source).values()
    assert outcome.data == b"private" and TOKEN not in repr(source._options)
    for url, message in (("ftp://x/y", "no http"), ("https://me:pa55word@host/x", "carries a password")):
        with pytest.raises(SettingsError, match=message) as raised:
            open_source("http", "web", {"urls": [url]})
        assert "pa55word" not in str(raised.value)
    with pytest.raises(SettingsError, match="no URLs"):
        list(open_source("http", "web", {}).discover())
