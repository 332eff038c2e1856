"""Packs text into ranges that fit a token budget, given where it may be cut and how good each place is.

Here: the ranks of boundaries and the one packing rule that every strategy shares. Not here: where sentences, paragraphs
and sections begin (`sentences`, `markdown`), and what a chunk finally contains (`base`).
"""

import re
from collections.abc import Callable, Iterator

import numpy as np

# How good a place to cut is. A stronger boundary is taken before a fuller chunk.
CHARACTER, WORD, LINE, SENTENCE, SENTENCE_LINE, PARAGRAPH, HEADING = range(7)

# A token with so many characters up to the next one costs more than one: unknown words and runs of blanks can be
# megabytes long, and a chunk's characters must be bounded as well as its tokens.
CHARACTERS_PER_TOKEN = 32

_BLANKS = re.compile(r"\s++")


class Boundaries:
    """Where a text may be cut: ascending offsets, both ends included, each with a rank."""

    def __init__(self, offsets: np.ndarray, ranks: np.ndarray, length: int) -> None:
        inside = (offsets > 0) & (offsets < length)
        order = np.lexsort((-ranks[inside], offsets[inside]))
        unique, first = np.unique(offsets[inside][order], return_index=True)
        self.offsets = np.concatenate(([0], unique, [length])).astype(np.int64)
        self.ranks = np.concatenate(([HEADING], ranks[inside][order][first], [HEADING])).astype(np.int8)

    def within(self, start: int, end: int) -> slice:
        """Return the positions of the boundaries in (start, end), the ends excluded."""
        return slice(
            int(np.searchsorted(self.offsets, start, "right")), int(np.searchsorted(self.offsets, end, "left"))
        )


class Meter:
    """How many tokens lie before an offset of the text, from the tokenizer's spans."""

    def __init__(self, spans: np.ndarray, length: int) -> None:
        self.starts = spans[:, 0].astype(np.int64)
        if not len(self.starts) or self.starts[0] > 0:
            self.starts = np.concatenate(([0], self.starts))
        self._costs = np.maximum(1, np.diff(self.starts, append=length) // CHARACTERS_PER_TOKEN)
        self._before = np.concatenate(([0], np.cumsum(self._costs)))

    def __call__(self, offsets: np.ndarray) -> np.ndarray:
        """Return the cost of the text before each offset, int64 (n,); a token that is cut counts."""
        return self._cost(offsets, CHARACTERS_PER_TOKEN - 1)

    def whole(self, offsets: np.ndarray) -> np.ndarray:
        """Return the same without a token that is cut: what the text after the offset need not pay for, int64 (n,)."""
        return self._cost(offsets, 0)

    def _cost(self, offsets: np.ndarray, rounding: int) -> np.ndarray:
        token = np.searchsorted(self.starts, offsets, "right") - 1
        started = (offsets - self.starts[token] + rounding) // CHARACTERS_PER_TOKEN
        cost: np.ndarray = self._before[token] + np.minimum(started, self._costs[token])
        return cost


def refine(text: str, boundaries: Boundaries, meter: Meter, budget: int) -> Boundaries:
    """Add weaker boundaries wherever the text between two is more than the budget: lines, words, tokens, characters."""
    for kind in (_lines_and_words, _tokens_and_characters):
        costs = meter(boundaries.offsets)
        too_long = np.flatnonzero(np.diff(costs) > budget)
        if not len(too_long):
            break
        added = [kind(text, meter, int(boundaries.offsets[one]), int(boundaries.offsets[one + 1])) for one in too_long]
        offsets = np.concatenate([boundaries.offsets, *(offsets for offsets, _ in added)])
        ranks = np.concatenate([boundaries.ranks, *(ranks for _, ranks in added)])
        boundaries = Boundaries(offsets, ranks, len(text))
    return boundaries


def _lines_and_words(text: str, meter: Meter, start: int, end: int) -> tuple[np.ndarray, np.ndarray]:
    coded = np.fromiter(_coded_blanks(text, start, end), np.int64)
    return coded >> 3, coded & 7


def _coded_blanks(text: str, start: int, end: int) -> Iterator[int]:
    for match in _BLANKS.finditer(text, start, end):
        lines = match[0].count("\n")
        yield match.end() << 3 | (PARAGRAPH if lines > 1 else LINE if lines else WORD)


def _tokens_and_characters(text: str, meter: Meter, start: int, end: int) -> tuple[np.ndarray, np.ndarray]:
    tokens = meter.starts[np.searchsorted(meter.starts, start) : np.searchsorted(meter.starts, end)]
    offsets = np.concatenate([tokens, np.arange(start, end, 8 * CHARACTERS_PER_TOKEN)])
    return offsets, np.full(len(offsets), CHARACTER)


def pack(boundaries: Boundaries, meter: Meter, budget: Callable[[int], int], overlap: int) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of consecutive ranges of at most `budget(start)` tokens that together cover the text.

    A range ends at the strongest boundary that leaves it at least half full, the last of equals. So cuts follow the
    text's own structure, and after an edit they soon fall where they fell before. Up to `overlap` tokens before a cut
    are repeated after it, from the start of a sentence if one starts there, never across a heading.
    """
    offsets, ranks, costs = boundaries.offsets, boundaries.ranks, meter(boundaries.offsets)
    paid = meter.whole(offsets)
    last = len(offsets) - 1
    start = cut = 0
    while cut < last:
        room = budget(int(offsets[start]))
        furthest = int(np.searchsorted(costs, paid[start] + room, "right")) - 1
        if furthest <= cut and start < cut:
            start = cut  # the repeated text leaves no room for what follows
            continue
        half = int(np.searchsorted(costs, paid[start] + room // 2))
        first = max(cut + 1, half if half <= furthest else 0)
        furthest = max(furthest, cut + 1)
        cut = last if furthest == last else _strongest(ranks, first, furthest)
        yield int(offsets[start]), int(offsets[cut])
        start = _overlap_start(ranks, paid, start, cut, int(costs[cut]), overlap)


def _strongest(ranks: np.ndarray, first: int, last: int) -> int:
    """Return the last position of the highest rank in [first, last]."""
    return last - int(np.argmax(ranks[first : last + 1][::-1]))


def _overlap_start(ranks: np.ndarray, paid: np.ndarray, start: int, cut: int, cost: int, overlap: int) -> int:
    if overlap == 0 or ranks[cut] == HEADING:
        return cut
    first = max(start + 1, int(np.searchsorted(paid, cost - overlap)))
    if first >= cut:
        return cut
    return first + int(np.argmax(np.minimum(ranks[first:cut], SENTENCE)))
