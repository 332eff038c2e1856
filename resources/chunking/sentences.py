"""Where sentences, list items and paragraphs begin in a text, in one pass that is linear whatever the text holds.

The rules are those of common rule-based segmenters (Grefenstette and Tapanainen, "What is a word, what is a sentence?",
1994): a full stop ends a sentence unless it belongs to an abbreviation, an initial or the number of an item; before a
lower-case letter it counts no more than the end of a line. Libraries were tried: see docs/chunking.md.
"""

import re
from collections.abc import Iterator

import numpy as np

from resources.chunking.packing import LINE, PARAGRAPH, SENTENCE, SENTENCE_LINE, Boundaries

# Possessive quantifiers and the look-behind keep a long run of dots, quotes or blanks from being read twice.
_BREAK = re.compile(
    r"""(?<![.!?…])(?P<stop>[.!?…]++)["'”’»)\]]*+\s++  # a sentence may end
      | (?P<wide>[。！？]++)[”’」』）]*+\s*+                # a sentence ends
      | \n\s*+                                         # a line ends
    """,
    re.VERBOSE,
)
_ITEM = re.compile(r"(?:[-*+•]|\d{1,3}[.)])[ \t]")
_LAST_WORD = re.compile(r"(?:^|[\s(\[\"'“‘])([^\s(\[\"'“‘]*)$")
_ABBREVIATIONS = """
adm al apr aug ave blvd ca capt cf ch cmdr co col corp dec dept dr ed eds eq eqs est etc ex feb fig figs gen gov hon inc
jan jr jul jun lt ltd maj mar mr mrs ms mt no nos nov oct op p pp ph.d pl pres prof ref refs rep rev sec sen sep sept
sgt sr st tab univ v viz vol vols vs
"""
_ABBREVIATED = frozenset(_ABBREVIATIONS.split())


def sentence_boundaries(text: str) -> Boundaries:
    """Return every line, sentence, list item and paragraph start of the text as a boundary."""
    coded = np.fromiter(_coded_breaks(text), np.int64)
    return Boundaries(coded >> 3, coded & 7, len(text))


def _coded_breaks(text: str) -> Iterator[int]:
    for match in _BREAK.finditer(text):
        start, end = match.span()
        lines = text.count("\n", start, end)
        stop = match["stop"] or match["wide"]
        rank = _rank_of_stop(text, start, end, stop) if stop else None
        if lines > 1:
            rank = PARAGRAPH
        elif lines == 1:
            rank = SENTENCE_LINE if rank == SENTENCE else SENTENCE if _ITEM.match(text, end) else LINE
        if rank is not None:
            yield end << 3 | rank


def _rank_of_stop(text: str, start: int, end: int, stop: str) -> int | None:
    """Return how good the place behind a full stop is: LINE where a lower-case letter makes it doubtful."""
    if stop == ".":
        found = _LAST_WORD.search(text[max(0, start - 24) : start])
        word = found[1] if found else ""
        if word.isdigit() and _opens_line(text, start - len(word)):
            return None  # "1. First" numbers an item
        if word.lower() in _ABBREVIATED or ("." in word and _is_letters(word)) or (len(word) == 1 and word.isupper()):
            return None
    return LINE if text[end : end + 1].islower() else SENTENCE


def _is_letters(word: str) -> bool:
    """Whether a dotted word is an abbreviation such as e.g, i.e, U.S (and no file or module name)."""
    return all(len(part) <= 1 for part in word.split("."))


def _opens_line(text: str, start: int) -> bool:
    before = text[max(0, start - 24) : start].rstrip(" \t")
    return not before or before.endswith("\n")
