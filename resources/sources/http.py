"""A list of URLs. A server that tells ETag or Last-Modified is asked for no more than its headers while nothing
changes.
"""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field

from resources.errors import SettingsError, SourceError
from resources.identity import digest
from resources.sources.base import OpenDocument, SourceItem
from resources.sources.fetching import Paced
from resources.sources.registry import Secret, register_source
from resources.sources.selection import FileOptions, Selection
from resources.sources.web import Client, stream

_VAGUE = ("application/octet-stream", "binary/octet-stream")


class HttpOptions(FileOptions):
    """`urls`, or a file with one URL a line (`path`; `#` begins a comment). `token`: sent as a bearer token.

    Patterns of `include` and `exclude` match URLs from the host on; without `include` every URL is wanted.
    """

    urls: tuple[str, ...] = ()
    path: Path | None = None
    token: Secret | None = None
    concurrency: int = Field(default=4, ge=1, le=64)


@register_source("http")
class HttpSource:
    """Keys are the URLs. A URL that answers 404 or 410 is not listed, so its document is removed."""

    Options = HttpOptions
    location = "path"
    type = "http"
    keeps_originals = False

    def __init__(self, name: str, options: HttpOptions) -> None:
        self.name = name
        self.fingerprint = digest("http")
        self.pace = options.pace
        self._options = options
        self._selection = Selection(options)
        for url in options.urls:
            _check(url, f"source {name}")

    def discover(self) -> Iterator[SourceItem]:
        """Yield every URL that is there, ordered. SourceError when the list, or any of its servers, cannot be read."""
        paced = Paced(self.pace)
        with ThreadPoolExecutor(self.pace.concurrency) as threads:
            found = threads.map(lambda url: paced(lambda: self._head(url), url), self._urls())
        yield from (item for item in found if item is not None)

    @contextmanager
    def open(self, item: SourceItem) -> Iterator[OpenDocument]:
        """Open what the URL serves now."""
        with self._client.response("GET", item.key, item.key) as answer:
            version = _version(answer.headers) or item.version
            media_type = answer.headers.get("Content-Type", "").split(";")[0].strip().lower()
            yield OpenDocument(stream(answer), version, None if media_type in _VAGUE else media_type or None)

    @cached_property
    def _client(self) -> Client:
        token = self._options.token
        return Client({"Authorization": f"Bearer {token.get_secret_value()}"} if token else None)

    def _urls(self) -> list[str]:
        urls = set(self._options.urls)
        if (path := self._options.path) is not None:
            try:
                lines = [line.strip() for line in path.read_text("utf-8").splitlines()]
            except (OSError, UnicodeDecodeError) as error:
                raise SourceError(f"{path}: a file with one URL a line is expected: {error}") from error
            for url in (line for line in lines if line and not line.startswith("#")):
                _check(url, str(path))
                urls.add(url)
        if not urls:
            raise SettingsError(f"source {self.name}: no URLs; list them under `urls:` or in a file named by `path:`")
        return sorted(url for url in urls if self._selection.wants(url.split("://", 1)[1], any_type=True))

    def _head(self, url: str) -> SourceItem | None:
        """Ask for headers alone; a server that does not know HEAD, or tells no version, is read to hash what it has."""
        with self._client.response("HEAD", url, url, allowed=(404, 405, 410, 501)) as answer:
            if answer.status_code in (404, 410):
                return None
            version = _version(answer.headers) if answer.status_code < 400 else None
            length = answer.headers.get("Content-Length", "")
            modified = answer.headers.get("Last-Modified")
        if version is None:
            version, read = self._hashed(url)
            return SourceItem(url, version, read, None, version, url, self._options.principals)
        size = int(length) if length.isdigit() else None
        return SourceItem(url, version, size, modified, None, url, self._options.principals)

    def _hashed(self, url: str) -> tuple[str, int]:
        state, size = hashlib.blake2b(digest_size=16), 0
        with self._client.response("GET", url, url) as answer:
            body = stream(answer)
            while block := body.read():
                state.update(block)
                size += len(block)
        return state.hexdigest(), size


def _version(headers: Any) -> str | None:
    """Return what tells versions apart (RFC 9110, section 8.8): ETag, else Last-Modified with the length."""
    if etag := headers.get("ETag"):
        return str(etag).removeprefix("W/").strip('"')
    if modified := headers.get("Last-Modified"):
        return f"{modified} {headers.get('Content-Length', '')}".strip()
    return None


def _check(url: str, where: str) -> None:
    """Raise SettingsError for what is no URL, without showing a password in it."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError(f"{where}: {url!r} is no http or https URL")
    if parts.username or parts.password:
        raise SettingsError(f"{where}: the URL of {parts.hostname} carries a password; use `token:` instead")
