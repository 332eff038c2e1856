"""Why a source or one of its documents cannot be read: a class for each cause, and the strategy that it calls for.

Here: the taxonomy, and how what libraries raise is told apart (`classify`). Not here: carrying a strategy out
(`fetching` retries and breaks circuits, the documents stage records and tries again later).
"""

import errno
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar

from resources.errors import RagAssetsError, SourceError


@dataclass(frozen=True, slots=True)
class Strategy:
    """What to do about a failure.

    `attempts`: how often one document is tried within a run, with growing pauses. `later`: whether a later run tries it
    again by itself; otherwise when the document, its parser, or a person says so. `breaks`: after how many in a row the
    source's circuit breaker opens, 0 for never. `slows`: whether the source is asked less at a time from then on.
    """

    attempts: int = 1
    later: bool = False
    breaks: int = 0
    slows: bool = False


class ReadError(SourceError):
    """Base of the taxonomy; `retry_after` is how many seconds the other side asked to wait, if it did.

    `final`: it was tried again as often as its strategy allows, so that no outer layer does so once more.
    """

    kind: ClassVar[str] = "unknown"
    strategy: ClassVar[Strategy] = Strategy(attempts=2, later=True, breaks=5)

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.final = False


class AuthenticationError(ReadError):
    """Credentials are missing, wrong or expired: no document of this source can be read until they are renewed."""

    kind = "authentication"
    strategy = Strategy(later=True, breaks=1)


class NetworkError(ReadError):
    """The other side cannot be reached, broke off, or says that it is ill (a 5xx)."""

    kind = "network"
    strategy = Strategy(attempts=5, later=True, breaks=5)


class RateLimitError(ReadError):
    """The other side asks for fewer requests."""

    kind = "rate_limit"
    strategy = Strategy(attempts=8, later=True, breaks=10, slows=True)


class PermissionDeniedError(ReadError):
    """These credentials may not read this document."""

    kind = "permission"
    strategy = Strategy(later=True)


class CorruptionError(ReadError):
    """The bytes are not what they claim to be: cut short, failed checksum, broken archive."""

    kind = "corruption"
    strategy = Strategy(attempts=2)


class ExhaustionError(ReadError):
    """Memory, disk, descriptors or a configured limit are used up."""

    kind = "exhaustion"
    strategy = Strategy(attempts=3, later=True, breaks=10, slows=True)


class UnsupportedError(ReadError):
    """There is no way to read this kind of document."""

    kind = "unsupported"
    strategy = Strategy()


class HostileError(ReadError):
    """The document is made to do harm: it leads out of its archive, or unpacks without end."""

    kind = "hostile"
    strategy = Strategy()


class UnlistableError(ReadError):
    """The source itself says in its own words why it cannot be read."""

    kind = "unlistable"
    strategy = Strategy(later=True)


class GoneError(ReadError):
    """The document was listed and is not there any more; the next listing says so."""

    kind = "gone"
    strategy = Strategy(later=True)


class ChangedError(ReadError):
    """The document changed while it was read."""

    kind = "changed"
    strategy = Strategy(attempts=4, later=True)


FAILURES: dict[str, type[ReadError]] = {
    one.kind: one
    for one in (
        AuthenticationError,
        NetworkError,
        RateLimitError,
        PermissionDeniedError,
        CorruptionError,
        ExhaustionError,
        UnsupportedError,
        HostileError,
        GoneError,
        ChangedError,
        UnlistableError,
        ReadError,
    )
}

_BY_STATUS: dict[int, type[ReadError]] = {
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: GoneError,
    408: NetworkError,
    410: GoneError,
    412: ChangedError,
    425: RateLimitError,
    429: RateLimitError,
    507: ExhaustionError,
}
_BY_CODE: dict[str, type[ReadError]] = {
    "SlowDown": RateLimitError,
    "Throttling": RateLimitError,
    "ThrottlingException": RateLimitError,
    "TooManyRequestsException": RateLimitError,
    "RequestLimitExceeded": RateLimitError,
    "ServerBusy": RateLimitError,
    "userRateLimitExceeded": RateLimitError,
    "rateLimitExceeded": RateLimitError,
    "InvalidAccessKeyId": AuthenticationError,
    "SignatureDoesNotMatch": AuthenticationError,
    "ExpiredToken": AuthenticationError,
    "InvalidToken": AuthenticationError,
    "AuthenticationFailed": AuthenticationError,
    "InvalidAuthenticationInfo": AuthenticationError,
    "authError": AuthenticationError,
    "dailyLimitExceeded": RateLimitError,
    "exportSizeLimitExceeded": ExhaustionError,
    "AccessDenied": PermissionDeniedError,
    "InvalidObjectState": UnsupportedError,  # archived to a tier that must be restored first
}
# Matched against the names of an error's classes, so that no cloud library has to be imported to know its errors.
_BY_NAME: dict[str, type[ReadError]] = {
    "NoCredentialsError": AuthenticationError,
    "PartialCredentialsError": AuthenticationError,
    "CredentialUnavailableError": AuthenticationError,
    "ClientAuthenticationError": AuthenticationError,
    "GoogleAuthError": AuthenticationError,
    "FileExpired": ChangedError,
    "ResourceModifiedError": ChangedError,
    "EndpointConnectionError": NetworkError,
    "HTTPClientError": NetworkError,
    "ClientError": NetworkError,
    "ServiceRequestError": NetworkError,
    "ServiceResponseError": NetworkError,
    "RequestException": NetworkError,
    "HTTPException": NetworkError,
}
_EXHAUSTED = (errno.ENOSPC, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EDQUOT)


def classify(error: BaseException, what: str) -> ReadError:
    """Return the failure that an exception stands for, with `what` (a document or a place) in its message."""
    if isinstance(error, ReadError):
        return error
    if isinstance(error, SourceError):
        return UnlistableError(str(error))
    if isinstance(error, RagAssetsError):
        raise error
    chain = list(_chain(error))
    rules = (_by_code, _by_status, _by_type)
    failure = next((found for rule in rules for one in chain if (found := rule(one)) is not None), ReadError)
    after = next((seconds for one in chain if (seconds := _retry_after(one)) is not None), None)
    return failure(f"{what}: {_message(error)}", retry_after=after)


def from_status(status: int, what: str, *, retry_after: str | None = None, reason: str = "") -> ReadError:
    """Return the failure of an HTTP response; `reason` is the service's own word for it, if it has one."""
    failure = _BY_CODE.get(reason) or _class_of_status(status) or UnsupportedError
    more = f" ({reason})" if reason else ""
    return failure(f"{what}: answered {status}{more}", retry_after=_seconds(retry_after))


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _by_code(error: BaseException) -> type[ReadError] | None:
    return _BY_CODE.get(_code(error))


def _by_status(error: BaseException) -> type[ReadError] | None:
    status = _status(error)
    return _class_of_status(status) if status is not None else None


def _by_type(error: BaseException) -> type[ReadError] | None:
    if isinstance(error, ReadError):
        return type(error)
    for one in type(error).__mro__:
        if one.__name__ in _BY_NAME:
            return _BY_NAME[one.__name__]
    match error:
        case MemoryError():
            return ExhaustionError
        case FileNotFoundError():
            return GoneError
        case PermissionError():
            return PermissionDeniedError
        case TimeoutError() | ConnectionError() | socket.gaierror() | EOFError():
            return NetworkError
        case OSError() if error.errno in _EXHAUSTED:
            return ExhaustionError
    return None


def _class_of_status(status: int) -> type[ReadError] | None:
    return _BY_STATUS.get(status) or (NetworkError if 500 <= status < 600 else None)


def _response(error: BaseException) -> Any:
    return getattr(error, "response", None)


def _status(error: BaseException) -> int | None:
    response = _response(error)
    if isinstance(response, dict):
        found = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        found = getattr(error, "status_code", None) or getattr(error, "status", None) or getattr(error, "code", None)
        found = found if found is not None else getattr(response, "status_code", None)
    return found if isinstance(found, int) and 400 <= found < 600 else None


def _code(error: BaseException) -> str:
    response = _response(error)
    if isinstance(response, dict):
        return str(response.get("Error", {}).get("Code", ""))
    return str(getattr(error, "error_code", "") or "")


def _retry_after(error: BaseException) -> float | None:
    response = _response(error)
    if isinstance(response, dict):
        headers = response.get("ResponseMetadata", {}).get("HTTPHeaders") or {}
    else:
        headers = getattr(response, "headers", None) or getattr(error, "headers", None) or {}
    try:
        return _seconds(headers.get("Retry-After") or headers.get("retry-after"))
    except AttributeError:
        return None


def _seconds(value: str | None) -> float | None:
    """Return a Retry-After header as seconds from now (RFC 9110, section 10.2.3)."""
    if not value:
        return None
    if str(value).strip().isdigit():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(str(value)) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


def _message(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
