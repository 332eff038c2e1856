"""Tries another registered parser on documents beside the one in use, and says what to do with it.

Which documents are tried follows from their keys, so that a second run tries the same ones. Nothing is stored.
Not here: reading the documents (`resources.materialisation.canary`).
"""

import re
import statistics
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from resources.identity import shard_of
from resources.parsing.base import READABLE, ParsedDocument, RawDocument
from resources.parsing.detection import detect
from resources.parsing.pool import ParserPool, parser_pool
from resources.parsing.registry import require_parsers
from resources.parsing.settings import ParsingSettings

ENOUGH = 20
LOST_BELOW = 0.9
_STEPS = 10_000
_GOODNESS = {"ok": 3, "partial": 2, "empty": 1, "failed": 0, "hostile": 0}


@dataclass(frozen=True, slots=True)
class Trial:
    """One document read by both: how it ended, and the share of the current text's words that the canary has too."""

    key: str
    current: str
    canary: str
    recall: float | None
    gain: float | None
    current_seconds: float
    canary_seconds: float

    @property
    def is_worse(self) -> bool:
        """Whether the document ends worse."""
        return _GOODNESS[self.canary] < _GOODNESS[self.current]

    @property
    def is_better(self) -> bool:
        """Whether the document ends better."""
        return _GOODNESS[self.canary] > _GOODNESS[self.current]

    @property
    def loses_words(self) -> bool:
        """Whether both read it, and more than a tenth of the present words are missing."""
        both = self.current in READABLE and self.canary in READABLE
        return both and self.recall is not None and self.recall < LOST_BELOW


@dataclass(frozen=True, slots=True)
class CanaryReport:
    """`recommendation`: promote it, reject it, or try more documents; `reasons` say why."""

    trials: tuple[Trial, ...]
    recommendation: Literal["promote", "reject", "inconclusive"]
    reasons: tuple[str, ...]


def is_chosen(key: str, share: float) -> bool:
    """Whether a document is among the `share` (0 to 1) of all that are tried."""
    return shard_of(f"canary:{key}", _STEPS) < share * _STEPS


def run_canary(raws: Iterable[RawDocument], settings: ParsingSettings, *, media_type: str, parser: str) -> CanaryReport:
    """Parse the documents that are of this type with the parser in use and with `parser`.

    Raises SettingsError when there is no such parser.
    """
    other = settings.model_copy(update={"parsers": {**settings.parsers, media_type: parser}, "workers": 1})
    require_parsers(other)
    with parser_pool(settings.model_copy(update={"workers": 1})) as current, parser_pool(other) as canary:
        chosen = (raw for raw in raws if detect(raw.data, raw.media_type) == media_type)
        return judge(list(_trials(chosen, current, canary)))


def _trials(raws: Iterable[RawDocument], current: ParserPool, canary: ParserPool) -> Iterator[Trial]:
    for raw in raws:
        ours, our_seconds = _timed(current, raw)
        theirs, their_seconds = _timed(canary, raw)
        recall, gain = overlap(ours.text, theirs.text), overlap(theirs.text, ours.text)
        new = None if gain is None else 1 - gain
        yield Trial(raw.key, ours.status, theirs.status, recall, new, our_seconds, their_seconds)


def _timed(pool: ParserPool, raw: RawDocument) -> tuple[ParsedDocument, float]:
    started = time.perf_counter()
    (parsed,) = pool.parse([raw])
    return parsed, time.perf_counter() - started


def overlap(reference: str, text: str) -> float | None:
    """Return the share of the words of `reference` that `text` has too, each as often; None without any."""
    expected, found = (Counter(re.findall(r"\w+", one.lower())) for one in (reference, text))
    return (expected & found).total() / expected.total() if expected else None


def judge(trials: list[Trial]) -> CanaryReport:
    """Recommend what to do: reject what reads fewer documents or loses words, promote what reads as much or more."""
    worse = [one for one in trials if one.is_worse]
    better = [one for one in trials if one.is_better]
    lossy = [one for one in trials if one.loses_words]
    both = [one for one in trials if one.current in READABLE and one.canary in READABLE]
    recalls = [one.recall for one in both if one.recall is not None]
    slower = sum(one.canary_seconds for one in trials) / max(sum(one.current_seconds for one in trials), 1e-9)
    reasons = [f"{len(trials)} documents tried: {len(better)} end better, {len(worse)} worse, {len(lossy)} lose words"]
    if recalls:
        reasons.append(f"recall of words: median {statistics.median(recalls):.3f}, least {min(recalls):.3f}")
    reasons.append(f"{slower:.1f} times the time")
    if len(worse) > len(better) or (recalls and len(lossy) > 0.05 * len(recalls) + len(better)):
        return CanaryReport(tuple(trials), "reject", tuple(reasons))
    if len(trials) < ENOUGH:
        return CanaryReport(tuple(trials), "inconclusive", (*reasons, f"fewer than {ENOUGH} documents"))
    return CanaryReport(tuple(trials), "promote", tuple(reasons))
