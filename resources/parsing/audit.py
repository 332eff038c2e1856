"""How good a corpus's documents are as text: pure functions over the rows of the `documents` table.

A row is a mapping with the columns `document_id`, `source`, `key`, `media_type`, `status`, `title`, `text_hash`, `text`
and `metadata`, decoded. Not here: reading the table, and showing the result.
"""

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
_FORMULA = re.compile(r"\$\$[^$]+\$\$|\$[^$\n]+\$")
_NOT_A_WORD = re.compile(r"[\W_]+")
_WEIGHTS = {"readable": 3, "preserved": 3, "formulas": 1, "covered": 2, "consistent": 1}


@dataclass(frozen=True, slots=True)
class Outcomes:
    """How the documents of one type of one source ended: a count for each status."""

    source: str
    media_type: str
    counts: Mapping[str, int]

    @property
    def total(self) -> int:
        """All documents."""
        return sum(self.counts.values())

    def share(self, *statuses: str) -> float:
        """The part of them, 0 to 1, that ended in one of these statuses."""
        return sum(self.counts.get(status, 0) for status in statuses) / self.total if self.total else 0.0


def outcomes(rows: Iterable[Row]) -> list[Outcomes]:
    """Count the outcomes of each type of each source, in their order."""
    counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for row in rows:
        counts[row["source"], row["media_type"]][row["status"]] += 1
    return [Outcomes(source, media_type, dict(found)) for (source, media_type), found in sorted(counts.items())]


@dataclass(frozen=True, slots=True)
class Preservation:
    """How much of what files hold came out: the median share by type (0 to 1), the documents that lost more than a
    fifth, and the share of the judged documents that did not; None when none could be judged.
    """

    by_type: Mapping[str, float]
    lost: Mapping[str, float]
    share: float | None


def content_preserved(rows: Iterable[Row]) -> Preservation:
    """Compare each text's length, white space aside, with what its file holds (`expected_characters`)."""
    return _preservation(rows, "expected_characters", lambda row: len("".join(row["text"].split())), MIN_EXPECTED)


def formulas_preserved(rows: Iterable[Row]) -> Preservation:
    """Compare how many formulas each text has with how many its file holds (`expected_formulas`)."""
    return _preservation(rows, "expected_formulas", lambda row: len(_FORMULA.findall(row["text"])), 1)


def _preservation(rows: Iterable[Row], expected_key: str, found: Any, least: int) -> Preservation:
    shares: dict[str, list[float]] = defaultdict(list)
    lost: dict[str, float] = {}
    for row in rows:
        expected = (row["metadata"] or {}).get(expected_key)
        if row["status"] not in (*READABLE, "empty") or not isinstance(expected, int) or expected < least:
            continue
        share = min(1.0, found(row) / expected) if row["text"] else 0.0
        shares[row["media_type"]].append(share)
        if share < LOST_BELOW:
            lost[row["document_id"]] = share
    judged = sum(map(len, shares.values()))
    medians = {media_type: statistics.median(found) for media_type, found in sorted(shares.items())}
    return Preservation(medians, lost, 1 - len(lost) / judged if judged else None)


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic and how many readable documents are about it; `is_gap` when there are fewer than asked for."""

    name: str
    documents: int
    is_gap: bool


def coverage(rows: Iterable[Row], topics: Mapping[str, Sequence[str]] | None = None, *, least: int = 1) -> list[Topic]:
    """Count the readable documents of each topic, the fewest first.

    `topics` are names with the words or phrases of which a document about them has one, in its title or text. Without
    them, topics are what documents say of themselves (subjects, keywords), or else their folder: these have no gaps but
    topics of fewer than `least` documents.
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
    return [
        Topic(name, count, count < least) for name, count in sorted(counts.items(), key=lambda one: (one[1], one[0]))
    ]


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
    """Return the readable documents in another language than the model's, each with its language."""
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

    score: float
    parts: Mapping[str, float | None]


def readiness(rows: Sequence[Row], topics: Mapping[str, Sequence[str]] | None = None) -> Readiness:
    """Return the weighted mean of: documents that could be read (an empty one counts as read), documents that lost no
    text, those that lost no formula, topics without a gap, documents that contradict none of another source.
    """
    total = len(rows)
    read = sum(row["status"] in (*READABLE, "empty") for row in rows)
    readable = sum(row["status"] in READABLE for row in rows)
    covered = coverage(rows, topics) if topics else []
    contradicting = {one for found in contradictions(rows) for one in found.document_ids}
    parts: dict[str, float | None] = {
        "readable": read / total if total else 0.0,
        "preserved": content_preserved(rows).share,
        "formulas": formulas_preserved(rows).share,
        "covered": sum(not topic.is_gap for topic in covered) / len(covered) if covered else None,
        "consistent": 1 - len(contradicting) / readable if readable else None,
    }
    judged = {name: part for name, part in parts.items() if part is not None}
    score = sum(_WEIGHTS[name] * part for name, part in judged.items()) / sum(_WEIGHTS[name] for name in judged)
    return Readiness(score, parts)
