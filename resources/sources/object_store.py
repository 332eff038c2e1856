"""Buckets: Amazon S3 and what speaks its protocol, Azure Blob Storage, Google Cloud Storage, all through fsspec.

Listing costs one call a page, and nothing is asked about single objects; opening compares versions, so that an object
that changes while it is read is noticed. Without keys in the options, the platform's own identity is used.
"""

from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from typing import IO, Any, ClassVar, cast

from pydantic import Field

from resources.identity import digest
from resources.sources.base import OpenDocument, SourceItem
from resources.sources.failures import ChangedError, GoneError
from resources.sources.registry import Secret, register_source, require
from resources.sources.selection import FileOptions, Selection

BLOCK = 8 << 20
CONNECT_SECONDS = 10
READ_SECONDS = 60


class ObjectStoreOptions(FileOptions):
    """`url`: the bucket, and the prefix of the keys wanted. `endpoint_url`: another server than the cloud's own.

    `anonymous`: without any credentials.
    """

    url: str
    endpoint_url: str | None = None
    anonymous: bool = False


class ObjectStoreSource(ABC):
    """Keys are object names below the prefix. Versions are ETags or generations, whichever the service has."""

    location = "url"
    keeps_originals = False
    type: ClassVar[str]
    scheme: ClassVar[str]
    implementation: ClassVar[tuple[str, str]]
    # Whether the library itself refuses to go on reading an object that changed.
    pinned_reads: ClassVar[bool] = False

    def __init__(self, name: str, options: ObjectStoreOptions) -> None:
        self.name = name
        self.fingerprint = digest(self.type)
        self.pace = options.pace
        self._options = options
        self._selection = Selection(options)
        self._root = options.url.removeprefix(f"{self.scheme}://").strip("/")

    def discover(self) -> Iterator[SourceItem]:
        """Yield every wanted object, ordered by key. Raises what the library does when the bucket cannot be listed."""
        found = self._files.find(self._root, detail=True)
        if not found and not self._files.exists(self._root.split("/")[0]):
            raise GoneError(f"{self._options.url}: no such bucket, or not one that these credentials may see")
        start = len(self._root) + 1
        objects = {path[start:]: info for path, info in found.items() if path.startswith(f"{self._root}/")}
        for key in sorted(objects):
            if not key.endswith("/") and objects[key]["type"] == "file" and self._selection.wants(key):
                yield self._listed(key, objects[key])

    @contextmanager
    def open(self, item: SourceItem) -> Iterator[OpenDocument]:
        """Open an object as it is now; ChangedError at the end when it did not stay so."""
        path = f"{self._root}/{item.key}"
        info = self._files.info(path)
        with self._files.open(path, "rb", block_size=BLOCK, cache_type="readahead") as stream:
            yield OpenDocument(cast(IO[bytes], stream), self._version(info), _media_type(info))
        if not self.pinned_reads and self._version(self._files.info(path)) != self._version(info):
            raise ChangedError(f"{item.key}: changed while it was read")

    @cached_property
    def _files(self) -> Any:
        module, name = self.implementation
        make = getattr(require(module, self.type, self.type), name)
        return make(skip_instance_cache=True, use_listings_cache=False, **self._arguments())

    @abstractmethod
    def _arguments(self) -> dict[str, Any]: ...

    @abstractmethod
    def _version(self, info: Mapping[str, Any]) -> str: ...

    @abstractmethod
    def _checksum(self, info: Mapping[str, Any]) -> str | None: ...

    def _listed(self, key: str, info: Mapping[str, Any]) -> SourceItem:
        at = info.get("LastModified") or info.get("last_modified") or info.get("mtime")
        return SourceItem(
            key,
            self._version(info),
            info["size"],
            at.isoformat() if isinstance(at, datetime) else at,
            self._checksum(info),
            f"{self.scheme}://{self._root}/{key}",
            self._options.principals,
        )


class S3Options(ObjectStoreOptions):
    """`key`, `secret`, `token`: credentials, where the environment, the profile or the role do not give them."""

    url: str = Field(pattern=r"^s3://[^/]")
    key: Secret | None = None
    secret: Secret | None = None
    token: Secret | None = None
    profile: str | None = None
    region: str | None = None


@register_source("s3")
class S3Source(ObjectStoreSource):
    """Amazon S3, or any server of its protocol."""

    Options = S3Options
    type = "s3"
    scheme = "s3"
    implementation = ("s3fs", "S3FileSystem")
    pinned_reads = True
    _options: S3Options

    @cached_property
    def _files(self) -> Any:
        files = super()._files
        files.retries = 1  # `fetching` retries, and it knows for how long
        return files

    def _arguments(self) -> dict[str, Any]:
        options = self._options
        return {
            "anon": options.anonymous,
            "endpoint_url": options.endpoint_url,
            "key": _plain(options.key),
            "secret": _plain(options.secret),
            "token": _plain(options.token),
            "profile": options.profile,
            "client_kwargs": {"region_name": options.region} if options.region else {},
            "config_kwargs": {
                "retries": {"mode": "standard", "total_max_attempts": 1},
                "connect_timeout": CONNECT_SECONDS,
                "read_timeout": READ_SECONDS,
            },
        }

    def _version(self, info: Mapping[str, Any]) -> str:
        return str(info["ETag"]).strip('"')

    def _checksum(self, info: Mapping[str, Any]) -> str | None:
        return f"etag:{self._version(info)}:{info['size']}"


class AzureOptions(ObjectStoreOptions):
    """`account` with `account_key` or `sas_token`, or a `connection_string`; without them, the platform's identity."""

    url: str = Field(pattern=r"^az://[^/]")
    account: str | None = None
    account_key: Secret | None = None
    sas_token: Secret | None = None
    connection_string: Secret | None = None


@register_source("azure")
class AzureSource(ObjectStoreSource):
    """Azure Blob Storage."""

    Options = AzureOptions
    type = "azure"
    scheme = "az"
    implementation = ("adlfs", "AzureBlobFileSystem")
    _options: AzureOptions

    def _arguments(self) -> dict[str, Any]:
        options = self._options
        keys = (options.account_key, options.sas_token, options.connection_string)
        return {
            "account_name": options.account,
            "account_key": _plain(options.account_key),
            "sas_token": _plain(options.sas_token),
            "connection_string": _plain(options.connection_string),
            "account_host": options.endpoint_url,
            "anon": options.anonymous if not any(keys) else None,
            "connection_timeout": CONNECT_SECONDS,
            "read_timeout": READ_SECONDS,
        }

    def _version(self, info: Mapping[str, Any]) -> str:
        return str(info["etag"]).strip('"')

    def _checksum(self, info: Mapping[str, Any]) -> str | None:
        md5 = (info.get("content_settings") or {}).get("content_md5")
        return f"md5:{b64encode(bytes(md5)).decode()}" if md5 else None


class GcsOptions(ObjectStoreOptions):
    """`credentials`: a service account's key file; without it, the platform's identity. `project`: to be billed."""

    url: str = Field(pattern=r"^gs://[^/]")
    credentials: str | None = None
    project: str | None = None


@register_source("gcs")
class GcsSource(ObjectStoreSource):
    """Google Cloud Storage.

    By gcsfs's plain class: the one that fsspec would choose asks each bucket for its layout first, by another protocol
    and with a permission of its own.
    """

    Options = GcsOptions
    type = "gcs"
    scheme = "gs"
    implementation = ("gcsfs.core", "GCSFileSystem")
    _options: GcsOptions

    def _arguments(self) -> dict[str, Any]:
        options = self._options
        return {
            "token": "anon" if options.anonymous else options.credentials,
            "project": options.project,
            "endpoint_url": options.endpoint_url,
            "timeout": READ_SECONDS,
        }

    def _version(self, info: Mapping[str, Any]) -> str:
        return str(info["generation"])

    def _checksum(self, info: Mapping[str, Any]) -> str | None:
        md5 = info.get("md5Hash")
        return f"md5:{md5}" if md5 else None


def _plain(secret: Any) -> str | None:
    return secret.get_secret_value() if secret is not None else None


def _media_type(info: Mapping[str, Any]) -> str | None:
    """Return the type an object was stored with, unless that says nothing."""
    stored = info.get("ContentType") or info.get("contentType")
    vague = ("application/octet-stream", "binary/octet-stream", "application/x-directory")
    return None if stored in vague else stored
