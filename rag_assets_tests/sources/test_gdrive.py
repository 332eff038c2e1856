"""Google Drive against a strict double of its HTTP API, which asks for real tokens and refuses unknown parameters."""

import base64
import hashlib
import json
import re
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from rag_assets_tests.sources.reading import failures, fetch, fetch_listed
from rag_assets_tests.sources.servers import serving
from resources.errors import SettingsError, SourceError
from resources.sources import fetching
from resources.sources.base import RawDocument
from resources.sources.fetching import list_source
from resources.sources.registry import open_source

GOOGLE = "application/vnd.google-apps."
EXPORT_LIMIT = 10 << 20
KNOWN = {
    "files": {
        "q",
        "pageSize",
        "fields",
        "supportsAllDrives",
        "includeItemsFromAllDrives",
        "corpora",
        "driveId",
        "pageToken",
    },
    "get": {"fields", "supportsAllDrives", "alt"},
    "export": {"mimeType"},
}


@pytest.fixture(scope="module")
def key():
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture
def drive(key, monkeypatch):
    monkeypatch.setattr(fetching, "BASE_PAUSE", 0.001)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        files, content, asked, faults = {}, {}, [], []
        page, subject = 2, None

        def log_message(self, *_):
            pass

        def do_POST(self):
            body = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            if body["grant_type"] == ["refresh_token"]:
                good = body["refresh_token"] == ["refresh"] and body["client_secret"] == ["client-secret"]
            else:
                head, claims, signature = body["assertion"][0].encode().split(b".")
                key.public_key().verify(_b64(signature), head + b"." + claims, padding.PKCS1v15(), hashes.SHA256())
                told = json.loads(_b64(claims))
                Handler.subject = told.get("sub")
                good = told["scope"] == "https://www.googleapis.com/auth/drive.readonly"
            self.asked.append("token")
            self.send(
                200 if good else 400,
                {"access_token": "token", "expires_in": 3600, "token_type": "Bearer"}
                if good
                else {"error": "invalid_grant"},
            )

        def do_GET(self):
            parts = urlsplit(self.path)
            asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
            self.asked.append(parts.path)
            if self.faults:
                status, reason = self.faults.pop(0)
                return self.send(status, {"error": {"code": status, "errors": [{"reason": reason}]}})
            if self.headers.get("Authorization") != "Bearer token":
                return self.send(401, {"error": {"errors": [{"reason": "authError"}]}})
            path = unquote(parts.path).removeprefix("/drive/v3/").strip("/").split("/")
            if path == ["files"]:
                return self.list(asked)
            if path[0] == "export-link":
                return self.send(200, self.content[path[1]])
            one = self.files.get(path[1])
            if one is None:
                return self.send(404, {"error": {"errors": [{"reason": "notFound"}]}})
            if path[2:] == ["export"]:
                return self.export(one, asked)
            assert set(asked) <= KNOWN["get"], asked
            if asked.get("alt") != "media":
                return self.send(200, one)
            if one["mimeType"].startswith(GOOGLE):
                return self.send(403, {"error": {"errors": [{"reason": "fileNotDownloadable"}]}})
            return self.send(200, self.content[one["id"]])

        def list(self, asked):
            assert set(asked) <= KNOWN["files"] and asked["includeItemsFromAllDrives"] == "true", asked
            assert ("driveId" in asked) == (asked.get("corpora") == "drive")
            parents = re.findall(r"'([^']+)' in parents", asked["q"])
            assert re.fullmatch(r"\(.+\) and trashed = false", asked["q"])
            found = [
                one for one in self.files.values() if set(parents) & set(one.get("parents", ())) and not one["trashed"]
            ]
            start = int(asked.get("pageToken", 0))
            answer = {"files": found[start : start + self.page]}
            if start + self.page < len(found):
                answer["nextPageToken"] = str(start + self.page)
            return self.send(200, answer)

        def export(self, one, asked):
            assert set(asked) == KNOWN["export"] and one["mimeType"].startswith(GOOGLE)
            data = self.content[one["id"]]
            if len(data) > EXPORT_LIMIT:
                return self.send(403, {"error": {"errors": [{"reason": "exportSizeLimitExceeded"}]}})
            return self.send(200, data)

        def send(self, status, body):
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response_only(status)
            kind = "application/octet-stream" if isinstance(body, bytes) else "application/json; charset=UTF-8"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        @classmethod
        def put(cls, one, name, data=b"", kind="text/plain", parent="root", **more):
            facts = {"id": one, "name": name, "mimeType": kind, "parents": [parent], "trashed": False, **more}
            facts |= {
                "modifiedTime": f"2026-01-01T00:00:00.{len(cls.asked):03}Z",
                "webViewLink": f"https://drive/{one}",
            }
            if not kind.startswith(GOOGLE):
                facts |= {"md5Checksum": hashlib.md5(data).hexdigest(), "size": str(len(data))}
            cls.files[one], cls.content[one] = facts, data

    with serving(Handler) as server:
        Handler.address = f"http://127.0.0.1:{server.server_address[1]}"
        for store in (Handler.files, Handler.content):
            store.clear()
        Handler.asked.clear()
        Handler.faults.clear()
        Handler.put("root", "Shared", kind=f"{GOOGLE}folder", parent="none")
        yield Handler


def _b64(text):
    return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))


@pytest.fixture
def account(tmp_path, drive, key):
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    facts = {"type": "service_account", "client_email": "robot@example.org", "private_key": pem, "private_key_id": "1"}
    (tmp_path / "key.json").write_text(json.dumps({**facts, "token_uri": f"{drive.address}/token", "project_id": "p"}))
    return tmp_path / "key.json"


@pytest.fixture
def gdrive(drive, account):
    def make(**options):
        place = {} if "drive" in options else {"folder": "root"}
        common = {"credentials": str(account), "endpoint_url": f"{drive.address}/drive/v3", "rate": 1000}
        return open_source("gdrive", "gdrive", {**place, **common, **options})

    return make


def test_folders_pages_shortcuts_and_the_trash(drive, gdrive):
    drive.put("a", "a.txt", b"alpha")
    drive.put("sub", "Sub / folder", kind=f"{GOOGLE}folder")
    for number in range(5):
        drive.put(f"n{number}", f"{number}.txt", b"x", parent="sub")
    drive.put("bin", "trashed.txt", b"x", trashed=True)
    drive.put("far", "far.txt", b"far away", parent="elsewhere")
    target = {"targetId": "far", "targetMimeType": "text/plain"}
    drive.put("cut", "Link", kind=f"{GOOGLE}shortcut", shortcutDetails=target)
    drive.put("dead", "Dead", kind=f"{GOOGLE}shortcut", shortcutDetails={"targetId": "nowhere"})
    drive.put("loop", "Loop", kind=f"{GOOGLE}shortcut", shortcutDetails={"targetId": "root"})
    source = gdrive(include=["**"])
    listed = {item.key: item for item in source.discover()}
    assert sorted(listed) == ["a/a.txt", "far/far.txt", *(f"n{number}/{number}.txt" for number in range(5))]
    assert listed["a/a.txt"].size == 5 and listed["a/a.txt"].url and listed["a/a.txt"].modified
    outcomes = fetch_listed(source)
    assert {one.data for one in outcomes.values()} == {b"alpha", b"far away", b"x"}
    assert outcomes["n1/1.txt"].metadata == {"drive_id": "n1"}
    assert [item.key for item in gdrive(include=["Sub*/**"], exclude=["3.txt"]).discover()] == [
        f"n{number}/{number}.txt" for number in (0, 1, 2, 4)
    ]
    drive.files["a"]["name"] = "renamed.txt"
    [renamed] = [item for item in source.discover() if item.key.startswith("a/")]
    assert (renamed.key, renamed.checksum) == ("a/renamed.txt", listed["a/a.txt"].checksum)


def test_a_shared_drive_is_asked_for_as_one(drive, gdrive):
    drive.put("team", "Team", kind=f"{GOOGLE}folder", parent="none")
    drive.put("a", "a.txt", b"alpha", parent="team")
    assert [item.key for item in gdrive(drive="team", subject="me@example.org").discover()] == ["a/a.txt"]
    assert drive.subject == "me@example.org"


def test_google_documents_are_exported_also_those_too_large_for_it(drive, gdrive):
    drive.put("doc", "Minutes", b"# Minutes", kind=f"{GOOGLE}document")
    large = b"# Large\n" + b"x" * EXPORT_LIMIT
    link = {"text/markdown": f"{drive.address}/export-link/large"}
    drive.put("large", "Large", large, kind=f"{GOOGLE}document", exportLinks=link)
    drive.put("stuck", "Stuck", large, kind=f"{GOOGLE}document")
    drive.put("form", "Form", kind=f"{GOOGLE}form")
    source = gdrive()
    outcomes = fetch_listed(source)
    assert outcomes["doc/Minutes.md"].data == b"# Minutes" and outcomes["doc/Minutes.md"].media_type == "text/markdown"
    assert outcomes["large/Large.md"].data == large
    assert failures(outcomes) == {"stuck/Stuck.md": ("exhaustion", failures(outcomes)["stuck/Stuck.md"][1])}
    before = {item.key: item.version for item in source.discover()}
    drive.put("doc", "Minutes", b"# Minutes, corrected", kind=f"{GOOGLE}document")
    after = {item.key: item.version for item in source.discover()}
    assert [key for key in before if before[key] != after[key]] == ["doc/Minutes.md"]


def test_a_file_that_changes_after_it_was_listed_is_read_as_it_is(drive, gdrive):
    drive.put("a", "a.txt", b"before")
    source = gdrive()
    items = list(source.discover())
    drive.put("a", "a.txt", b"after, and longer")
    [(_, _, outcome)] = fetching.fetch_all([(source, items)])
    assert isinstance(outcome, RawDocument) and outcome.data == b"after, and longer"
    assert outcome.version == next(source.discover()).version != items[0].version
    del drive.files["a"]
    [gone] = fetch(source, ["a/a.txt"])
    assert gone.kind == "gone"


def test_readers_come_from_drive_when_asked_for_and_fail_closed(drive, gdrive):
    people = [{"type": "user", "emailAddress": "Me@Example.org"}, {"type": "domain", "domain": "example.org"}]
    drive.put("a", "a.txt", b"x", permissions=people)
    drive.put("b", "b.txt", b"x", permissions=[{"type": "anyone"}])
    drive.put("c", "c.txt", b"x")
    readers = {item.key: item.principals for item in gdrive(read_permissions=True).discover()}
    assert readers == {"a/a.txt": ("domain:example.org", "user:me@example.org"), "b/b.txt": ("anyone",), "c/c.txt": ()}
    assert {item.principals for item in gdrive(principals=["staff"]).discover()} == {("staff",)}


def test_quotas_are_waited_out_and_refusals_are_not(drive, gdrive):
    drive.put("a", "a.txt", b"alpha")
    source = gdrive()
    drive.faults += [(403, "userRateLimitExceeded"), (429, "rateLimitExceeded"), (500, "backendError")]
    assert len(list_source(source)) == 1
    items = list(source.discover())
    drive.faults += [(403, "cannotDownloadFile")]
    [(_, _, refused)] = fetching.fetch_all([(source, items)])
    assert refused.kind == "permission" and "cannotDownloadFile" in refused.reason and not drive.faults
    with pytest.raises(SourceError, match="answered 404"):
        list_source(gdrive(folder="not-shared-with-us"))


def test_an_authorised_user_signs_in_with_a_refresh_token(drive, gdrive, tmp_path):
    drive.put("a", "a.txt", b"alpha")
    facts = {"type": "authorized_user", "client_id": "id", "client_secret": "client-secret", "refresh_token": "refresh"}
    (tmp_path / "user.json").write_text(json.dumps({**facts, "token_uri": f"{drive.address}/token"}))
    # Google's library reads the address of the token server from the file only for service accounts.
    import google.oauth2.credentials as credentials

    before = credentials._GOOGLE_OAUTH2_TOKEN_ENDPOINT
    credentials._GOOGLE_OAUTH2_TOKEN_ENDPOINT = f"{drive.address}/token"
    try:
        assert len(list_source(gdrive(credentials=str(tmp_path / "user.json")))) == 1
        (tmp_path / "user.json").write_text(json.dumps({**facts, "refresh_token": "expired-s3cr3t"}))
        with pytest.raises(SourceError) as raised:
            list_source(gdrive(credentials=str(tmp_path / "user.json")))
        assert raised.value.kind == "authentication" and "expired-s3cr3t" not in str(raised.value)
    finally:
        credentials._GOOGLE_OAUTH2_TOKEN_ENDPOINT = before


def test_what_is_no_key_file_is_named_without_its_content(gdrive, tmp_path):
    (tmp_path / "bad.json").write_text('{"type": "service_account", "private_key": "s3cr3t"}')
    for name in ("bad.json", "none.json"):
        with pytest.raises(SourceError, match="no key file of a service account") as raised:
            list_source(gdrive(credentials=str(tmp_path / name)))
        assert "s3cr3t" not in str(raised.value)
    with pytest.raises(SettingsError, match="either `folder` or `drive` is needed"):
        open_source("gdrive", "g", {})
