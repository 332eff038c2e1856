"""How good a corpus's documents are as text: pure functions over the rows of the `documents` table.

A row is a mapping with the columns `document_id`, `source`, `key`, `media_type`, `status`, `title`, `text_hash` and
`metadata`, decoded; `text` only where named topics are looked for. Not here: reading the table, what the sources say
beside it, and showing the result.
"""

import math
import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from resources.parsing.base import READABLE

Row: TypeAlias = Mapping[str, Any]

LOST_BELOW = 0.8
MIN_EXPECTED = 50
NOT_READ = ("failed", "hostile", "unread")
_NOT_A_WORD = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class Preservation:
    """How much of what files hold came out: how many documents could be judged, the median share of all of them (None
    of none) and by type (0 to 1), and the documents that lost more than a fifth, with the share they kept.
    """

    judged: int
    median: float | None
    by_type: Mapping[str, float]
    lost: Mapping[str, float]

    @property
    def share(self) -> float | None:
        """The share of the judged documents that lost no more than a fifth; None when none could be judged."""
        return 1 - len(self.lost) / self.judged if self.judged else None


def content_preserved(rows: Iterable[Row]) -> Preservation:
    """Compare each text's length, white space aside, with what its file holds."""
    return _preservation(rows, "characters", MIN_EXPECTED)


def formulas_preserved(rows: Iterable[Row]) -> Preservation:
    """Compare how many formulas each text has with how many its file holds."""
    return _preservation(rows, "formulas", 1)


def _preservation(rows: Iterable[Row], what: str, least: int) -> Preservation:
    shares: dict[str, list[float]] = defaultdict(list)
    lost: dict[str, float] = {}
    for row in rows:
        metadata = row["metadata"] or {}
        expected, kept = metadata.get(f"expected_{what}"), metadata.get(f"kept_{what}")
        if row["status"] not in (*READABLE, "empty") or not isinstance(expected, int) or not isinstance(kept, int):
            continue
        if expected < least:
            continue
        share = min(1.0, kept / expected)
        shares[row["media_type"]].append(share)
        if share < LOST_BELOW:
            lost[row["document_id"]] = share
    every = [share for found in shares.values() for share in found]
    medians = {media_type: statistics.median(found) for media_type, found in sorted(shares.items())}
    return Preservation(len(every), statistics.median(every) if every else None, medians, lost)


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic and how many readable documents are about it."""

    name: str
    documents: int

    @property
    def is_gap(self) -> bool:
        """Whether no document is about it."""
        return self.documents == 0


def coverage(rows: Iterable[Row], topics: Mapping[str, Sequence[str]] | None = None) -> list[Topic]:
    """Count the readable documents of each topic, the fewest first.

    `topics` are names with the words or phrases of which a document about them has one, in its title or text. Without
    them, topics are what documents say of themselves (subjects, keywords), or else their folder: these have no gaps.
    """
    counts: Counter[str] = Counter(dict.fromkeys(topics or (), 0))
    patterns = {
        name: re.compile("|".join(rf"\b{re.escape(word)}\b" for word in (*words, name)), re.IGNORECASE)
        for name, words in (topics or {}).items()
    }
    for row in rows:
        if row["status"] not in READABLE:
            continue
        if patterns:
            text = f"{row['title'] or ''}\n{row['text'] or ''}"
            counts.update(name for name, pattern in patterns.items() if pattern.search(text))
        else:
            counts.update(set(_own_topics(row)))
    return [Topic(name, count) for name, count in sorted(counts.items(), key=lambda one: (one[1], one[0]))]


def _own_topics(row: Row) -> list[str]:
    metadata = row["metadata"] or {}
    for key in ("subjects", "keywords"):
        stated = metadata.get(key)
        if isinstance(stated, str):
            stated = re.split(r"[,;]", stated)
        if isinstance(stated, list) and stated:
            return [str(one).strip() for one in stated if str(one).strip()]
    folder, _, _ = row["key"].rpartition("/")
    return [folder.split("/")[0]] if folder else []


@dataclass(frozen=True, slots=True)
class Contradiction:
    """One title over different texts: two versions of a document, or two documents that are taken for one."""

    title: str
    document_ids: tuple[str, ...]
    sources: tuple[str, ...]


def contradictions(rows: Iterable[Row]) -> list[Contradiction]:
    """Return the titles that documents of more than one source share without sharing their text."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        title = _NOT_A_WORD.sub(" ", (row["title"] or "").lower()).strip()
        if row["status"] in READABLE and title:
            found[title].append(row)
    return [
        Contradiction(
            str(same[0]["title"]),
            tuple(sorted(row["document_id"] for row in same)),
            tuple(sorted({row["source"] for row in same})),
        )
        for _, same in sorted(found.items())
        if len({row["source"] for row in same}) > 1 and len({row["text_hash"] for row in same}) > 1
    ]


def foreign(rows: Iterable[Row], languages: Sequence[str]) -> dict[str, str]:
    """Return the readable documents in another language than these (ISO 639-1), each with its language."""
    return {
        row["document_id"]: language
        for row in rows
        if row["status"] in READABLE
        and isinstance(language := (row["metadata"] or {}).get("language"), str)
        and language.partition("-")[0].lower() not in languages
    }


@dataclass(frozen=True, slots=True)
class Readiness:
    """A score from 0 to 1 and its parts; a part that could not be judged is None and does not count."""

    parts: Mapping[str, float | None]

    @property
    def score(self) -> float:
        """The product of the parts: one that is nothing leaves nothing, and each counts for as much as it lacks."""
        return math.prod(part for part in self.parts.values() if part is not None)


def text_parts(
    rows: Sequence[Row],
    content: Preservation,
    formulas: Preservation,
    contradicting: Iterable[Contradiction],
    topics: Sequence[Topic] = (),
) -> dict[str, float | None]:
    """Return the shares of documents that could be read, that have text, that lost none of it, that lost no formula,
    and that contradict none of another source; and of the `topics`, named ones, that have documents.

    Each fault counts once: a document that is empty although its file holds text has lost it.
    """
    counts = Counter(row["status"] for row in rows)
    readable = sum(counts[status] for status in READABLE)
    empty = sum(row["status"] == "empty" and row["document_id"] not in content.lost for row in rows)
    contradicted = {one for found in contradicting for one in found.document_ids}
    return {
        "readable": 1 - sum(counts[status] for status in NOT_READ) / len(rows) if rows else 0.0,
        "with_text": 1 - empty / len(rows) if rows else None,
        "preserved": content.share,
        "formulas": 1 - len(formulas.lost) / readable if readable else None,
        "consistent": 1 - len(contradicted) / readable if readable else None,
        "covered": sum(not topic.is_gap for topic in topics) / len(topics) if topics else None,
    }
