"""Google Drive: a folder or a shared drive, through its API (https://developers.google.com/workspace/drive/api, v3).

Here: walking folders and shortcuts, exporting Google's own documents, and who may read what. Credentials are a service
account's key file, an authorised user's file (OAuth2, with its refresh token), or the platform's own.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from resources.identity import digest
from resources.parsing.base import JSON
from resources.sources.base import OpenDocument, SourceItem
from resources.sources.failures import AuthenticationError, ChangedError, ExhaustionError, GoneError, ReadError
from resources.sources.fetching import Paced
from resources.sources.registry import register_source, require
from resources.sources.selection import FileOptions, Selection
from resources.sources.web import Client, stream

API = "https://www.googleapis.com/drive/v3"
SCOPE = "https://www.googleapis.com/auth/drive.readonly"
GOOGLE = "application/vnd.google-apps."
FOLDER, SHORTCUT = f"{GOOGLE}folder", f"{GOOGLE}shortcut"
PAGE = 1000
PARENTS_A_QUERY = 50
FIELDS = (
    "id,name,mimeType,md5Checksum,size,modifiedTime,trashed,parents,webViewLink,exportLinks,"
    "shortcutDetails(targetId,targetMimeType),permissions(type,emailAddress,domain)"
)
# Google's own documents have no bytes; each is exported as the type that keeps most of it, with a name that tells it.
EXPORTS = {
    f"{GOOGLE}document": ("text/markdown", ".md"),
    f"{GOOGLE}spreadsheet": ("text/csv", ".csv"),
    f"{GOOGLE}presentation": ("text/plain", ".txt"),
}


class GdriveOptions(FileOptions):
    """`folder` or `drive` (a shared drive): its id, as in its URL. `credentials`: the file; without it the platform's.

    `subject`: the user a service account acts for. `read_permissions`: take who may read a file from Drive; one whose
    permissions Drive does not tell is then nobody's. Patterns match paths below the folder.
    """

    folder: str | None = None
    drive: str | None = None
    credentials: Path | None = None
    subject: str | None = None
    read_permissions: bool = False
    endpoint_url: str = API
    concurrency: int = Field(default=4, ge=1, le=16)
    rate: float | None = Field(default=10.0, gt=0)

    @model_validator(mode="after")
    def _one_place(self) -> "GdriveOptions":
        if (self.folder is None) == (self.drive is None):
            raise ValueError("either `folder` or `drive` is needed")
        return self


@dataclass(frozen=True, slots=True)
class _File:
    """A file as the API describes it, and its path below the folder."""

    path: str
    facts: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.facts["id"])

    @property
    def export(self) -> str | None:
        found = EXPORTS.get(self.facts["mimeType"])
        return found[0] if found else None


@register_source("gdrive")
class GdriveSource:
    """Keys are `ID/NAME`: a file keeps its id wherever it is moved, and people recognise the name."""

    Options = GdriveOptions
    location = "folder"
    type = "gdrive"
    keeps_originals = False

    def __init__(self, name: str, options: GdriveOptions) -> None:
        self.name = name
        self.fingerprint = digest("gdrive", json.dumps(EXPORTS))
        self.pace = options.pace
        self._options = options
        self._selection = Selection(options)
        self._files: dict[str, _File] = {}

    def discover(self) -> Iterator[SourceItem]:
        """Yield every wanted file, ordered by key; trashed ones are left out, shortcuts stand for what they lead to."""
        root = self._options.folder or self._options.drive or ""
        self._require_folder(root)
        files = {file.id: file for file in self._walk(root)}
        self._files = {_key(file): file for file in files.values()}
        for key in sorted(self._files):
            yield self._listed(key, self._files[key])

    @contextmanager
    def open(self, item: SourceItem) -> Iterator[OpenDocument]:
        """Open a file, or Google's export of it."""
        file = self._files.get(item.key) or self._file(item.key.split("/", 1)[0])
        with self._download(file) as answer:
            media_type = file.export or file.facts["mimeType"]
            metadata: dict[str, JSON] = {"drive_id": file.id}
            yield OpenDocument(stream(answer), _version(file.facts), media_type, None, metadata)
        now = self._file(file.id)
        if _version(now.facts) != _version(file.facts):
            self._files[item.key] = _File(file.path, now.facts)
            raise ChangedError(f"{file.path}: changed since it was listed")

    @contextmanager
    def _download(self, file: _File) -> Iterator[Any]:
        url = f"{self._options.endpoint_url}/files/{file.id}"
        with ExitStack() as stack:
            if file.export is None:
                params = {"alt": "media", "supportsAllDrives": "true"}
                yield stack.enter_context(self._client.response("GET", url, file.path, params=params))
                return
            params = {"mimeType": file.export}
            try:
                answer = stack.enter_context(self._client.response("GET", f"{url}/export", file.path, params=params))
            except ExhaustionError:
                # Drive exports at most 10 MB this way; the link that it gives people has no such limit.
                link = (file.facts.get("exportLinks") or {}).get(file.export)
                if link is None:
                    raise
                answer = stack.enter_context(self._client.response("GET", link, file.path))
            yield answer

    def _walk(self, root: str) -> Iterator[_File]:
        """Yield the files below a folder, level by level; a folder that is met twice is entered once."""
        entered, level = {root}, {root: ""}
        while level:
            deeper: dict[str, str] = {}
            for facts in self._children(sorted(level)):
                parent = next((one for one in facts.get("parents") or () if one in level), None)
                prefix = level[parent] if parent is not None else ""
                path = f"{prefix}{_plain(facts['name'])}"
                found = self._target(facts) if facts["mimeType"] == SHORTCUT else facts
                if found is None or found.get("trashed"):
                    continue
                if found["mimeType"] == FOLDER:
                    if found["id"] not in entered and self._selection.enters(path):
                        entered.add(found["id"])
                        deeper[found["id"]] = f"{path}/"
                elif self._is_wanted(path, found):
                    yield _File(path, found)
            level = deeper

    def _is_wanted(self, path: str, facts: dict[str, Any]) -> bool:
        kind = facts["mimeType"]
        if kind in EXPORTS:
            return self._selection.wants(path + EXPORTS[kind][1])
        return not kind.startswith(GOOGLE) and self._selection.wants(path)

    def _children(self, parents: Sequence[str]) -> Iterator[dict[str, Any]]:
        for start in range(0, len(parents), PARENTS_A_QUERY):
            some = " or ".join(f"'{one}' in parents" for one in parents[start : start + PARENTS_A_QUERY])
            params: dict[str, Any] = {
                "q": f"({some}) and trashed = false",
                "pageSize": PAGE,
                "fields": f"nextPageToken,incompleteSearch,files({FIELDS})",
                "supportsAllDrives": "true",
                "includeItemsFromAllDrives": "true",
            }
            if self._options.drive is not None:
                params |= {"corpora": "drive", "driveId": self._options.drive}
            while True:
                page = self._ask("files", params)
                if page.get("incompleteSearch"):
                    raise ReadError(f"source {self.name}: Drive says that its listing is incomplete")
                yield from page.get("files", ())
                if not (token := page.get("nextPageToken")):
                    break
                params["pageToken"] = token

    def _target(self, shortcut: dict[str, Any]) -> dict[str, Any] | None:
        """Return what a shortcut leads to; None when that is gone or not ours to see."""
        try:
            found: dict[str, Any] = self._ask(
                f"files/{shortcut['shortcutDetails']['targetId']}", {"fields": FIELDS, "supportsAllDrives": "true"}
            )
        except GoneError:
            return None
        return found if found["mimeType"] != SHORTCUT else None

    def _file(self, one: str) -> _File:
        facts = self._ask(f"files/{one}", {"fields": FIELDS, "supportsAllDrives": "true"})
        if facts.get("trashed"):
            raise GoneError(f"{facts['name']}: was put into the trash")
        return _File(_plain(facts["name"]), facts)

    def _require_folder(self, root: str) -> None:
        """Raise GoneError for a folder that these credentials cannot see: Drive lists that as an empty one."""
        self._ask(f"files/{root}", {"fields": "id", "supportsAllDrives": "true"})

    def _listed(self, key: str, file: _File) -> SourceItem:
        facts = file.facts
        return SourceItem(
            key,
            _version(facts),
            int(facts["size"]) if file.export is None and "size" in facts else None,
            facts.get("modifiedTime"),
            f"drive:{file.id}:{_version(facts)}",
            facts.get("webViewLink"),
            self._readers(facts),
        )

    def _readers(self, facts: dict[str, Any]) -> tuple[str, ...] | None:
        if not self._options.read_permissions:
            return self._options.principals
        found = {_principal(one) for one in facts.get("permissions") or ()}
        return tuple(sorted(found - {""}))

    def _ask(self, path: str, params: dict[str, Any]) -> Any:
        url, what = f"{self._options.endpoint_url}/{path}", f"source {self.name}"
        return self._paced(lambda: self._client.json(url, what, params), what)

    @cached_property
    def _paced(self) -> Paced:
        return Paced(self.pace)

    @cached_property
    def _client(self) -> Client:
        transport = require("google.auth.transport.requests", "gdrive", "gdrive")
        credentials = self._credentials()
        return Client(make=lambda: transport.AuthorizedSession(credentials))

    def _credentials(self) -> Any:
        path = self._options.credentials
        if path is None:
            found, _ = require("google.auth", "gdrive", "gdrive").default(scopes=[SCOPE])
            return found
        try:
            content = json.loads(path.read_text("utf-8"))
            if content.get("type") == "service_account":
                account = require("google.oauth2.service_account", "gdrive", "gdrive")
                return account.Credentials.from_service_account_info(
                    content, scopes=[SCOPE], subject=self._options.subject
                )
            user = require("google.oauth2.credentials", "gdrive", "gdrive")
            return user.Credentials.from_authorized_user_info(content, scopes=[SCOPE])
        except (OSError, ValueError, AttributeError) as error:
            # The error's own words may quote the key.
            what = type(error).__name__
            raise AuthenticationError(
                f"{path}: no key file of a service account or an authorised user ({what})"
            ) from None


def _version(facts: dict[str, Any]) -> str:
    """Return the checksum of a file's bytes; of Google's own documents, which have none, when they were modified."""
    return str(facts.get("md5Checksum") or facts.get("modifiedTime"))


def _key(file: _File) -> str:
    extension = EXPORTS[file.facts["mimeType"]][1] if file.export else ""
    return f"{file.id}/{_plain(file.facts['name'])}{extension}"


def _plain(name: str) -> str:
    return "".join(one if one.isprintable() and one != "/" else "_" for one in name)


def _principal(permission: dict[str, Any]) -> str:
    match permission.get("type"):
        case "anyone":
            return "anyone"
        case "domain":
            return f"domain:{permission.get('domain')}"
        case "user" | "group" as kind:
            return f"{kind}:{str(permission.get('emailAddress')).lower()}"
    return ""
