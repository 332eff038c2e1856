"""Markdown as a chunker sees it: sections with a path of headings, and blocks that are kept whole when they fit."""

from bisect import bisect_right

import numpy as np

from resources.chunking.packing import HEADING, PARAGRAPH, Boundaries
from resources.chunking.sentences import sentence_boundaries
from resources.parsing.markdown import Block, blocks

MAX_TITLE_CHARACTERS = 200


class Sections:
    """The headings above each part of a text, from the outermost inwards."""

    def __init__(self, headings: list[Block]) -> None:
        self._starts = [0]
        self._paths: list[tuple[str, ...]] = [()]
        open_headings: list[Block] = []
        for block in headings:
            open_headings = [one for one in open_headings if one.level < block.level] + [block]
            self._starts.append(block.start)
            self._paths.append(tuple(one.title[:MAX_TITLE_CHARACTERS] for one in open_headings if one.title))

    def path(self, start: int, end: int) -> tuple[str, ...]:
        """Return the headings that all of text[start:end] stands under."""
        first = bisect_right(self._starts, start) - 1
        common = self._paths[first]
        for path in self._paths[first + 1 : bisect_right(self._starts, end - 1)]:
            shared = [one for one, other in zip(common, path, strict=False) if one == other]
            common = common[: len(shared)]
        return common


def markdown_boundaries(text: str) -> tuple[Boundaries, Sections]:
    """Return where Markdown may be cut, and its sections. Inside code and tables only `refine` adds boundaries."""
    found = list(blocks(text))
    prose = sentence_boundaries(text)
    kept = np.ones(len(prose.offsets), bool)
    offsets, ranks = [], []
    for block in found:
        kept[prose.within(block.start, block.end)] = False
        offsets.append(block.start)
        ranks.append(HEADING if block.kind == "heading" else PARAGRAPH)
        if block.kind != "heading":
            offsets.append(block.end)
            ranks.append(PARAGRAPH)
    boundaries = Boundaries(
        np.concatenate([prose.offsets[kept], np.array(offsets, np.int64)]),
        np.concatenate([prose.ranks[kept], np.array(ranks, np.int8)]),
        len(text),
    )
    return boundaries, Sections([block for block in found if block.kind == "heading"])
