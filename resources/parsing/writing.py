"""Writes Markdown: headings, tables, and blocks one after the other. Reading it is `markdown`'s.

Text is not escaped: it is to be found and read, not rendered, and `a_b` must stay `a_b`.
"""

import re
from collections.abc import Iterable, Sequence

MAX_COLUMNS = 512
_SPACES = re.compile(r"[ \t\r\n\f\v\u00a0]+")
_MANY_NEWLINES = re.compile(r"\n{3,}")


def one_line(text: str) -> str:
    """Return text with every run of white space as one blank."""
    return _SPACES.sub(" ", text).strip()


def heading(level: int, text: str) -> str:
    """Return a heading of level 1 to 6, or nothing where it has no text."""
    title = one_line(text)
    return f"{'#' * min(max(level, 1), 6)} {title}" if title else ""


def table(rows: Iterable[Sequence[str]]) -> str:
    """Return rows as a table, its first row as the header; a single column as lines, empty rows left out."""
    cells = [[one_line(cell).replace("|", "\\|") for cell in row[:MAX_COLUMNS]] for row in rows]
    cells = [row for row in cells if any(row)]
    width = max((len(row) for row in cells), default=0)
    used = [column for column in range(width) if any(column < len(row) and row[column] for row in cells)]
    cells = [[row[column] if column < len(row) else "" for column in used] for row in cells]
    if len(used) < 2:
        return "\n".join(row[0] for row in cells)
    lines = ["| " + " | ".join(row) + " |" for row in cells]
    lines.insert(1, "|" + " --- |" * len(used))
    return "\n".join(lines)


def blocks(parts: Iterable[str]) -> str:
    """Return parts as blocks with one empty line between; those without text are left out."""
    return "\n\n".join(part for one in parts if (part := one.strip("\n")) and part.strip())


def tidy(text: str) -> str:
    """Return text with at most one empty line in a row and none at its ends."""
    return _MANY_NEWLINES.sub("\n\n", "\n".join(line.rstrip() for line in text.split("\n"))).strip()
