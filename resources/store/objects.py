"""A prefix of a bucket: small files with conditional writes, and large ones to and from this machine.

Credentials, region and endpoint come from the environment or the platform (`docs/stores.md`); nothing here reads or
prints them. A bucket that does not answer is an error within a minute. Not here: what the objects mean.
"""

import os
import random
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resources.errors import SettingsError, StoreError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

TRIES = 8
RETRY_SECONDS = 30
STALL_SECONDS = 20
UPDATES = 50
STAMP = "write"
ALLOW_HTTP = ("AWS_ALLOW_HTTP", "GOOGLE_ALLOW_HTTP", "AZURE_ALLOW_HTTP")
# What each service calls a bucket that there is not: the answer's status alone is that of a missing object.
NO_BUCKET = ("NoSuchBucket", "ContainerNotFound", "The specified bucket does not exist")

# Bounds for the tables' own engine, by its names; it tries up to six times above them.
LANCE_OPTIONS = {
    "timeout": "20s",
    "connect_timeout": "5s",
    "client_max_retries": str(TRIES),
    "client_retry_timeout": "10",
}


@dataclass(frozen=True)
class Found:
    """An object as a listing names it; `tag` differs whenever its content does."""

    size: int
    tag: str


class Bucket:
    """The objects below a URL, by path relative to it. Implements `Files`. Connects when first asked for something."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._store = _connect(self.url, TRIES)
        # A lost answer leaves open whether a conditional write was done: these are tried again here, with a look first.
        self._once = _connect(self.url, 0)

    def read(self, path: str) -> bytes:
        return self._read(path)[0]

    def write(self, path: str, content: bytes) -> None:
        import obstore

        with self._guarded(path, "written"):
            obstore.put(self._store, path, content, mode="overwrite", use_multipart=False)

    def create(self, path: str, content: bytes) -> bool:
        return self._put(path, content, "create")

    def update(self, path: str, change: Callable[[bytes | None], bytes | None]) -> None:
        for attempt in range(UPDATES):
            try:
                before, tag, _ = self._read(path)
            except FileNotFoundError:
                before, tag = None, None
            after = change(before)
            if after is None or self._put(path, after, "create" if tag is None else {"e_tag": tag}):
                return
            time.sleep(random.uniform(0, min(0.02 * 2**attempt, 1.0)))
        raise StoreError(f"{self.where(path)} cannot be written: others keep changing it; try again later")

    def list(self, folder: str = "") -> dict[str, int]:
        return {path: one.size for path, one in self.look(folder).items()}

    def look(self, folder: str = "") -> dict[str, Found]:
        """Return every object below a folder, at any depth: a request for each thousand."""
        import obstore

        with self._guarded(folder, "listed"):
            found = [one for batch in obstore.list(self._store, folder or None) for one in batch]
        return {
            one["path"]: Found(one["size"], one["e_tag"] or "") for one in sorted(found, key=lambda one: one["path"])
        }

    def delete(self, path: str) -> None:
        self.delete_all([path])

    def delete_all(self, paths: Collection[str]) -> None:
        """Delete objects, those that are there."""
        import obstore

        if paths:
            with self._guarded(next(iter(paths)), "deleted"), _ignoring_missing():
                obstore.delete(self._store, list(paths))

    def copy(self, source: str, target: str) -> None:
        """Copy an object within the bucket, without bringing it here."""
        import obstore

        with self._guarded(target, "written"):
            obstore.copy(self._store, source, target)

    def upload(self, file: Path, path: str) -> None:
        """Store a file of this machine, in parts when it is large."""
        import obstore

        with self._guarded(path, "written"):
            obstore.put(self._store, path, file, mode="overwrite")

    def chunks(self, path: str) -> Iterator[bytes]:
        """Yield an object's content in parts; FileNotFoundError when there is none."""
        import obstore

        with self._guarded(path, "read"):
            for part in obstore.get(self._store, path).stream(min_chunk_size=4 << 20):
                yield bytes(part)

    def where(self, path: str) -> str:
        return f"{self.url}/{path}"

    def _read(self, path: str) -> tuple[bytes, str | None, Any]:
        """Return an object's content, its tag, and who wrote it."""
        import obstore

        with self._guarded(path, "read"):
            got = obstore.get(self._store, path)
            return bytes(got.bytes()), got.meta["e_tag"], got.attributes.get(STAMP)

    def _put(self, path: str, content: bytes, mode: Any) -> bool:
        """Write on a condition; return whether it held.

        After an answer that got lost, the stamp says whether the condition failed because this very write was done.
        """
        import obstore
        from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

        stamp, lost, deadline = uuid.uuid4().hex, False, time.monotonic() + RETRY_SECONDS
        for attempt in range(TRIES + 1):
            try:
                with self._guarded(path, "written", and_let=BaseError):
                    obstore.put(self._once, path, content, mode=mode, attributes={STAMP: stamp}, use_multipart=False)
                return True
            except (AlreadyExistsError, PreconditionError):
                return lost and self._stamped(path, stamp)
            except BaseError as error:
                if attempt == TRIES or time.monotonic() > deadline or not _is_passing(error):
                    raise self._error(path, "written", error) from error
                lost = True
                time.sleep(min(random.uniform(0.1, 0.2) * 2**attempt, 5.0))
        raise AssertionError("unreachable")

    def _stamped(self, path: str, stamp: str) -> bool:
        try:
            return bool(self._read(path)[2] == stamp)
        except FileNotFoundError:
            return False

    @contextmanager
    def _guarded(self, path: str, verb: str, *, and_let: type[Exception] | tuple[()] = ()) -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except and_let:
            raise
        except FileNotFoundError as error:
            if verb != "read" or any(sign in str(error) for sign in NO_BUCKET):
                raise self._error(path, verb, error) from error
            raise FileNotFoundError(self.where(path)) from None
        except (BaseError, OSError, ValueError) as error:
            raise self._error(path, verb, error) from error

    def _error(self, path: str, verb: str, error: Exception) -> StoreError:
        return StoreError(f"{self.where(path)} cannot be {verb}: {explained(error)}")


def explained(error: BaseException) -> str:
    """Say in one line what a bucket's answer means and what to do, without the answer itself."""
    text = str(error)
    if any(sign in text for sign in NO_BUCKET):
        return "there is no such bucket"
    if "169.254.169.254" in text or "metadata.google" in text:
        return "there are no credentials in the environment, and the platform offers none (docs/stores.md)"
    if type(error).__name__ in ("PermissionDeniedError", "UnauthenticatedError") or "403 Forbidden" in text:
        return "the bucket refuses these credentials (docs/stores.md says where they are taken from)"
    if "BadScheme" in text:
        return "its endpoint is plain http, which has to be allowed: AWS_ALLOW_HTTP=true"
    if _is_passing(error):
        return "the bucket does not answer, or asks to be asked less; try again later"
    return " ".join(text.split("\n")[0].split())[:300]


def _is_passing(error: BaseException) -> bool:
    """Whether the same request may be answered later."""
    text = str(error)
    signs = (
        "429",
        "500",
        "502",
        "503",
        "504",
        "SlowDown",
        "HTTP error",
        "error sending request",
        "timed out",
        "Timeout",
    )
    return any(sign in text for sign in signs)


@contextmanager
def _ignoring_missing() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        if any(sign in str(error) for sign in NO_BUCKET):
            raise


def _connect(url: str, retries: int) -> "ObjectStore":
    try:
        from obstore.store import from_url
    except ImportError:
        raise SettingsError(f"store: {url} needs the package obstore: pip install 'rag-assets[objects]'") from None
    try:
        return from_url(
            url,
            client_options={
                "allow_http": any(os.environ.get(one, "").lower() in ("1", "true") for one in ALLOW_HTTP),
                "connect_timeout": timedelta(seconds=5),
                "read_timeout": timedelta(seconds=STALL_SECONDS),
                "timeout": timedelta(hours=1),
            },
            retry_config={
                "max_retries": retries,
                "retry_timeout": timedelta(seconds=RETRY_SECONDS),
                "backoff": {
                    "init_backoff": timedelta(milliseconds=200),
                    "max_backoff": timedelta(seconds=5),
                    "base": 2,
                },
            },
        )
    except Exception as error:
        raise SettingsError(f"store: {url} cannot be opened: {' '.join(str(error).split())[:300]}") from error
