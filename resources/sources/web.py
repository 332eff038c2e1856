"""Requests over HTTP that fail as `failures` says, and are read as streams. What is asked of whom belongs elsewhere."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, cast

import requests

from resources.sources.failures import CorruptionError, from_status

TIMEOUT = (10, 60)
BLOCK = 1 << 20
LONGEST_JSON = 64 << 20


class Client:
    """A session a thread, for sessions are not made to be shared. `make` replaces how one is made."""

    def __init__(self, headers: Mapping[str, str] | None = None, make: Callable[[], Any] | None = None) -> None:
        self._headers = dict(headers or {})
        self._make = make or requests.Session
        self._threads = threading.local()

    @property
    def session(self) -> Any:
        """The calling thread's session."""
        if not hasattr(self._threads, "session"):
            self._threads.session = self._make()
            self._threads.session.headers.update(self._headers)
        return self._threads.session

    @contextmanager
    def response(
        self,
        method: str,
        url: str,
        what: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        allowed: tuple[int, ...] = (),
    ) -> Iterator[Any]:
        """Yield a response that is read as it comes; a status of 400 and above raises, except the `allowed`."""
        answer = self.session.request(method, url, params=params, headers=headers, stream=True, timeout=TIMEOUT)
        with answer:
            if answer.status_code >= 400 and answer.status_code not in allowed:
                after = answer.headers.get("Retry-After")
                raise from_status(answer.status_code, what, retry_after=after, reason=_reason(answer))
            yield answer

    def json(self, url: str, what: str, params: Mapping[str, Any] | None = None) -> Any:
        """Return what a URL answers, as JSON."""
        with self.response("GET", url, what, params=params) as answer:
            data = Body(answer).read_all(LONGEST_JSON, what)
        try:
            return json.loads(data)
        except ValueError as error:
            raise CorruptionError(f"{what}: answered something that is not JSON") from error


class Body:
    """A response's body as a file; one that ends before its announced length is an error, not a short document."""

    def __init__(self, answer: Any) -> None:
        self._blocks = answer.iter_content(BLOCK)
        self._rest = b""
        announced = answer.headers.get("Content-Length", "")
        encoded = answer.headers.get("Content-Encoding")
        self._left = int(announced) if announced.isdigit() and not encoded else None

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, a block's worth by default, and nothing at the end."""
        if not self._rest:
            self._rest = next(self._blocks, b"")
            if self._left is not None:
                self._left -= len(self._rest)
            if not self._rest and self._left:
                raise EOFError("the connection ended in the middle of the document")
        block, self._rest = (self._rest, b"") if size < 0 else (self._rest[:size], self._rest[size:])
        return block

    def read_all(self, limit: int, what: str) -> bytes:
        """Return everything, at most `limit` bytes."""
        data = bytearray()
        while block := self.read():
            data += block
            if len(data) > limit:
                raise CorruptionError(f"{what}: answered more than {limit >> 20} MB")
        return bytes(data)


def stream(answer: Any) -> IO[bytes]:
    """Return a response's body for an `OpenDocument`."""
    return cast(IO[bytes], Body(answer))


def _reason(answer: Any) -> str:
    """Return the reason that Google's APIs give beside the status, such as `userRateLimitExceeded`."""
    if "json" not in answer.headers.get("Content-Type", ""):
        return ""
    try:
        error = json.loads(Body(answer).read_all(BLOCK, "error"))["error"]
        return str(error["errors"][0]["reason"])
    except (ValueError, KeyError, IndexError, TypeError, CorruptionError, EOFError):
        return ""
