"""What parsing makes of a document: its outcome, and what a parser returns or raises.

Not here: which parsers there are (`registry`), choosing one and running it (`reading`), and the processes that
untrusted documents are parsed in (`pool`).
"""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from resources.errors import RagAssetsError
from resources.identity import digest

READABLE = ("ok", "partial")
JSON: TypeAlias = "dict[str, JSON] | list[JSON] | str | int | float | bool | None"
Status: TypeAlias = Literal["ok", "partial", "empty", "failed", "hostile"]
Failure: TypeAlias = Literal["corruption", "exhaustion", "unsupported", "hostile"]
MAX_TITLE = 500


@dataclass(frozen=True, slots=True)
class RawDocument:
    """A fetched document, unparsed. `media_type` is what its source takes it for; its content has the last word.

    `title` only where the source itself knows one, `metadata` as JSON has it.
    """

    key: str
    version: str
    media_type: str
    data: bytes
    title: str | None = None
    metadata: dict[str, JSON] = field(default_factory=dict)


class ParseError(RagAssetsError):
    """This one document cannot be turned into text. Raised by parsers; `parse` makes it an outcome."""

    def __init__(self, reason: str, failure: Failure = "corruption") -> None:
        super().__init__(reason)
        self.failure: Failure = failure


class HostileError(ParseError):
    """The document is made to harm its reader (a bomb, an external entity); nothing of it is used."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, "hostile")


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """The outcome of parsing the document `key` in `version`; `media_type` is the one found in its content.

    `status`: `ok`; `partial`, some of it could not be read and `text` is the rest; `empty`, a valid document without
    text; `failed`; `hostile`. `text` is non-empty exactly when `status` is in READABLE, `reason` says why it is not
    `ok`, `failure` is the class of reason when nothing could be read. `bytes` and `content_hash` are the raw data's.
    """

    key: str
    version: str
    status: Status
    title: str | None
    text: str
    reason: str | None
    metadata: dict[str, JSON]
    media_type: str
    bytes: int
    content_hash: str
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Content:
    """What a parser returns: newlines are `\\n`; `title` and `metadata` as far as the document itself states them.

    `problems`: what could not be read, one line each; with any, the outcome is `partial`. `empty`: why there is no
    text, where the parser knows more than that there is none.
    """

    text: str
    title: str | None = None
    metadata: dict[str, JSON] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    empty: str = "the document has no text"


def outcome(
    raw: RawDocument,
    status: Status,
    media_type: str,
    *,
    title: str | None = None,
    metadata: dict[str, JSON] | None = None,
    text: str = "",
    reason: str | None = None,
    failure: Failure | None = None,
) -> ParsedDocument:
    """Return the outcome of a document, with what its source says of it where nothing else is known."""
    return ParsedDocument(
        raw.key,
        raw.version,
        status,
        title or raw.title,
        text,
        reason,
        raw.metadata if metadata is None else metadata,
        media_type,
        len(raw.data),
        digest(raw.data),
        failure,
    )
