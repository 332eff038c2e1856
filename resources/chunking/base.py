"""Cutting a document into chunks: what a chunk is, what of it gets embedded, and the strategies by name.

Every strategy says where the text may be cut (`sentences`, `markdown`, or any word) and shares one packing rule
(`packing`). Chunks are verbatim pieces of the text; none is ever longer than the model reads.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Protocol

import numpy as np

from resources.chunking.markdown import markdown_boundaries
from resources.chunking.packing import WORD, Boundaries, Meter, pack, refine
from resources.chunking.sentences import sentence_boundaries
from resources.chunking.settings import ChunkingSettings
from resources.identity import digest

CHUNKER_VERSION = 2
PATH_SEPARATOR = " > "
# The heading may take a quarter of a chunk, so that text always outweighs it.
HEADING_SHARE = 4
MAX_HEADING_CHARACTERS = 1000
COUNTED_AT_ONCE = 1024

_WORD_START = re.compile(r"(?<=\s)\S")


class TokenCounter(Protocol):
    """What chunking needs of `resources.embedding.tokenizer.Tokenizer`."""

    max_tokens: int
    special_tokens: int
    fingerprint: str

    def spans(self, text: str) -> np.ndarray:
        """Return the [start, end) character offsets of the content tokens, int32 (n, 2)."""
        ...

    def count(self, texts: Sequence[str]) -> np.ndarray:
        """Return the tokens of each text, special ones included, int32 (n,)."""
        ...


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage: `text` is the document's text[start:end]; `tokens` counts its embedding input, specials included."""

    ordinal: int
    start: int
    end: int
    heading: str
    text: str
    tokens: int


def embedding_input(heading: str, text: str) -> str:
    """Return what is embedded and indexed for a chunk."""
    return f"{heading}\n{text}" if heading else text


def chunker_fingerprint(settings: ChunkingSettings, tokenizer: TokenCounter) -> str:
    """Return what identifies the way documents are cut: two documents cut alike have the same."""
    limit = min(settings.tokens, tokenizer.max_tokens)
    parts = (CHUNKER_VERSION, settings.strategy, limit, settings.overlap)
    return digest("chunker", *map(str, parts), tokenizer.fingerprint)


def chunk_document(title: str | None, text: str, tokenizer: TokenCounter, settings: ChunkingSettings) -> list[Chunk]:
    """Return the chunks of a document in reading order; none for a text of white space only.

    Each character other than white space is in a chunk, and each chunk's embedding input has at most
    min(settings.tokens, tokenizer.max_tokens) tokens. Time is linear in the length of the text.
    """
    if not text.strip():
        return []
    limit = min(settings.tokens, tokenizer.max_tokens)
    boundaries, heading = _strategy(settings.strategy, title, text)
    fitted = _Headings(tokenizer, heading, limit)
    meter = Meter(tokenizer.spans(text), len(text))
    boundaries = refine(text, boundaries, meter, fitted.smallest_budget)
    overlap = min(settings.overlap, fitted.smallest_budget // 2)
    ranges = (_trimmed(text, *one) for one in pack(boundaries, meter, fitted.budget, overlap))
    return list(_counted(text, (one for one in ranges if one[0] < one[1]), fitted))


def _strategy(name: str, title: str | None, text: str) -> tuple[Boundaries, Callable[[int, int], tuple[str, ...]]]:
    """Return where the text may be cut, and the headings that stand above a range of it."""
    shown = " ".join((title or "")[:MAX_HEADING_CHARACTERS].split())
    own = (shown,) if shown else ()
    if name == "fixed":
        words = np.fromiter((match.start() for match in _WORD_START.finditer(text)), np.int64)
        return Boundaries(words, np.full(len(words), WORD), len(text)), lambda start, end: own
    if name == "sentence":
        return sentence_boundaries(text), lambda start, end: own
    boundaries, sections = markdown_boundaries(text)

    def with_path(start: int, end: int) -> tuple[str, ...]:
        path = sections.path(start, end)
        return own + (path[1:] if path[:1] == own else path)

    return boundaries, with_path


class _Headings:
    """The heading of a range, shortened to its share of the limit, and the tokens it leaves for text."""

    def __init__(self, tokenizer: TokenCounter, parts: Callable[[int, int], tuple[str, ...]], limit: int) -> None:
        self._tokenizer = tokenizer
        self.limit = limit
        self._parts = parts
        self._share = limit // HEADING_SHARE
        self.smallest_budget = limit - tokenizer.special_tokens - self._share
        self._fit = cache(self._shortened)

    def of(self, start: int, end: int) -> str:
        return self._fit(self._parts(start, end))[0]

    def count(self, text: str, ranges: list[tuple[int, int]]) -> list[int]:
        """Return the tokens of each range as it will be embedded."""
        inputs = [embedding_input(self.of(start, end), text[start:end]) for start, end in ranges]
        counts: list[int] = self._tokenizer.count(inputs).tolist()
        return counts

    def budget(self, start: int) -> int:
        """Return how many tokens of text fit behind the heading at `start`."""
        return self.limit - self._fit(self._parts(start, start + 1))[1]

    def _shortened(self, parts: tuple[str, ...]) -> tuple[str, int]:
        """Return the heading and its tokens, special ones included: inner parts give way first, then the end."""
        for kept in (parts, (*parts[:1], *parts[1:][-1:]), parts[-1:]):
            heading = PATH_SEPARATOR.join(kept)
            tokens = self._tokens(heading)
            if tokens <= self._share + self._tokenizer.special_tokens:
                return heading, tokens
        spans = self._tokenizer.spans(heading)
        heading = heading[: spans[self._share - 1, 1]]
        return heading, self._tokens(heading)

    def _tokens(self, heading: str) -> int:
        return int(self._tokenizer.count([embedding_input(heading, "")])[0])


def _counted(text: str, ranges: Iterator[tuple[int, int]], headings: _Headings) -> Iterator[Chunk]:
    """Yield the ranges as chunks, each counted as it will be embedded; one that is too long repeats nothing."""
    ordinal = covered = 0
    while batch := list(islice(ranges, COUNTED_AT_ONCE)):
        for one, tokens in zip(batch, headings.count(text, batch), strict=True):
            if tokens > headings.limit and one[0] < covered:
                one = _trimmed(text, covered, one[1])
                (tokens,) = headings.count(text, [one])
            for (start, end), fitting in _fitted(text, one, tokens, headings):
                yield Chunk(ordinal, start, end, headings.of(start, end), text[start:end], fitting)
                ordinal += 1
            covered = one[1]


def _fitted(text: str, one: tuple[int, int], tokens: int, headings: _Headings) -> Iterator[tuple[tuple[int, int], int]]:
    """Yield the range and its tokens, halved as often as needed.

    That is rare: a cut inside a word can leave halves that have more tokens than the word had.
    """
    if tokens <= headings.limit:
        yield one, tokens
        return
    halves = _halves(text, *one)
    for half, counted in zip(halves, headings.count(text, halves), strict=True):
        yield from _fitted(text, half, counted, headings)


def _halves(text: str, start: int, end: int) -> list[tuple[int, int]]:
    middle = (start + end) // 2
    blank = text.rfind(" ", start + 1, middle)
    cut = blank if blank > 0 else middle
    return [_trimmed(text, start, cut), _trimmed(text, cut, end)]


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """Return the range without white space at its ends; empty when it is nothing else."""
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())
