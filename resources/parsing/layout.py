"""From placed lines to Markdown: which lines are headings, which are one paragraph, which are the rows of a table.

Pure functions over lines as a page draws them. A line says nothing of what it is but its place, its size and its gaps,
so this errs on the side of running text: no word is ever lost or moved.
"""

import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from resources.parsing.writing import blocks, heading, table

_LARGER = 1.15
_LEVELS = ((1.8, 1), (1.4, 2), (_LARGER, 3))
_LONGEST_HEADING = 200


# Left, right, text.
Cell: TypeAlias = tuple[float, float, str]


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a page: the baselines of its beginning and its end, in points from below, and the size of its letters;
    0 where unknown. They differ where a word that was hyphenated makes two lines one. `cells`: the pieces between wide
    gaps.
    """

    text: str
    y: float = 0.0
    last_y: float = 0.0
    size: float = 0.0
    cells: tuple[Cell, ...] = ()


def body_size(pages: Iterable[list[Line]]) -> float:
    """Return the size that most of a document's letters have; 0 where it is unknown."""
    sizes: dict[float, int] = {}
    for lines in pages:
        for line in lines:
            key = round(line.size, 1)
            sizes[key] = sizes.get(key, 0) + len(line.text)
    return max(sizes, key=lambda size: sizes[size], default=0.0)


def to_markdown(lines: list[Line], body: float) -> str:
    """Return a page's lines as blocks; `body` is the size of running text."""
    return blocks(_blocks(lines, body))


def _blocks(lines: list[Line], body: float) -> Iterator[str]:
    leading = _usual_leading(lines)
    position = 0
    while position < len(lines):
        rows = _rows_from(lines, position)
        if rows:
            yield table([[text for _, _, text in line.cells] for line in lines[position : position + rows]])
            position += rows
            continue
        end = position + 1
        level = _level(lines[position], body)
        while end < len(lines) and _goes_on(lines[end - 1], lines[end], leading) and not _rows_from(lines, end):
            end += 1
        text = "\n".join(line.text for line in lines[position:end])
        yield heading(level, text) if level and len(text) <= _LONGEST_HEADING else text
        position = end


def _usual_leading(lines: list[Line]) -> float:
    """Return the distance from a line to the next in running text, in sizes of its letters."""
    steps = [
        (one.last_y - other.y) / one.size
        for one, other in pairwise(lines)
        if one.size and 0.8 < (one.last_y - other.y) / one.size < 3
    ]
    return statistics.median(steps) if steps else 1.2


def _level(line: Line, body: float) -> int | None:
    """Return the level of a heading, None of running text; a heading has a letter and is larger."""
    if not body or line.size < body * _LARGER or not any(character.isalpha() for character in line.text):
        return None
    return next(level for ratio, level in _LEVELS if line.size >= body * ratio)


def _goes_on(line: Line, following: Line, leading: float) -> bool:
    """Whether two lines are of one paragraph: same size, one under the other without more room than usual."""
    if not line.size or not following.size:
        return bool(following.text.strip())
    if abs(line.size - following.size) > 0.1 * line.size:
        return False
    step = (line.last_y - following.y) / line.size
    return -0.3 < step < min(leading * 1.35, leading + 0.6) or step < -2


def _rows_from(lines: list[Line], position: int) -> int:
    """Return how many lines from here on are rows of one table: as many cells in each, one under the other."""
    columns = len(lines[position].cells)
    if columns < 2:
        return 0
    end = position + 1
    while end < len(lines) and _aligned(lines[end - 1], lines[end]):
        end += 1
    rows = end - position
    return rows if rows >= (2 if columns > 2 else 3) else 0


def _aligned(line: Line, following: Line) -> bool:
    if len(line.cells) != len(following.cells) or line.last_y <= following.y:
        return False
    room = line.size
    return all(
        one[0] - room < other[1] and other[0] - room < one[1]
        for one, other in zip(line.cells, following.cells, strict=True)
    )
