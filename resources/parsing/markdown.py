"""Markdown: stays Markdown; its front matter becomes metadata and its first heading the title.

Also where headings, fenced code and tables stand in it, which the Markdown chunker asks for. This is no renderer: it
reads lines once, in linear time whatever they hold, and knows only the blocks that must not be torn apart
(CommonMark 0.31 headings and fences, GitHub's tables).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import yaml

from resources.parsing.base import JSON, Content
from resources.parsing.registry import parser
from resources.parsing.settings import ParsingSettings
from resources.parsing.text import decode

_FRONT_MATTER = re.compile(r"---[ \t]*\n(.{0,16384}?\n)(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
# PyYAML takes seconds for thousands of nested brackets.
_MAX_BRACKETS = 200
_FENCE = re.compile(r" {0,3}(`{3,}+|~{3,}+)")
_HEADING = re.compile(r" {0,3}(#{1,6})(?=[ \t\n]|\Z)")


@dataclass(frozen=True, slots=True)
class Block:
    """A part of a Markdown text that belongs together; `level` (1 to 6) and `title` are a heading's own."""

    kind: Literal["heading", "code", "table"]
    start: int
    end: int
    level: int = 0
    title: str = ""


@parser("text/markdown", extensions=(".md", ".markdown"), version=2)
def read_markdown(data: bytes, settings: ParsingSettings) -> Content:
    """Return the text without its front matter. Values of the front matter stay strings, as they are written."""
    text, problems = decode(data)
    metadata, body = _front_matter(text)
    title = metadata.get("title")
    if not isinstance(title, str):
        title = next((block.title for block in blocks(body) if block.kind == "heading" and block.title), None)
    return Content(body, title, metadata, problems)


def _front_matter(text: str) -> tuple[dict[str, JSON], str]:
    """Split off the YAML mapping between two `---` lines. What is not one (a rule, broken YAML) is part of the text."""
    match = _FRONT_MATTER.match(text)
    if match is None or match[1].count("[") + match[1].count("{") > _MAX_BRACKETS:
        return {}, text
    try:
        # An alias can make a small block huge, and no front matter needs one.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(match[1], Loader=yaml.BaseLoader)):
            return {}, text
        content = yaml.load(match[1], Loader=yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError):
        return {}, text
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        return {}, text
    return content, text[match.end() :]


def blocks(text: str) -> Iterator[Block]:
    """Yield the headings, fenced code blocks and tables of a text, in order; what lies between them is prose."""
    fence, fence_start = "", 0
    table_start = -1
    before, before_start, isolated = "", 0, True
    for start, line in _lines(text):
        fenced, heading = _FENCE.match(line), _HEADING.match(line)
        if fence:
            if fenced and fenced[1].startswith(fence) and not line[fenced.end() :].strip():
                yield Block("code", fence_start, start + len(line))
                fence = ""
            continue
        if fenced and "`" in fenced[1] and "`" in line[fenced.end() :]:
            fenced = None  # code within a line
        if table_start >= 0 and (fenced or "|" not in line):
            yield Block("table", table_start, start)
            table_start = -1
        if fenced:
            fence, fence_start = fenced[1], start
        elif table_start >= 0:
            pass
        elif heading:
            title = _without_closing(line[heading.end() :].strip())
            yield Block("heading", start, start + len(line), len(heading[1]), title)
        elif "|" in before and _consists_of(line, "|:- \t", required="|-"):
            table_start = before_start
        elif before and isolated and (_consists_of(line, "=") or _consists_of(line, "-")):
            yield Block("heading", before_start, start + len(line), 1 if "=" in line else 2, before)
            line = ""
        isolated = not before
        before, before_start = "" if fenced or heading else line.strip(), start
    if fence:
        yield Block("code", fence_start, len(text))
    if table_start >= 0:
        yield Block("table", table_start, len(text))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield (offset, line with its line end) one after the other."""
    start = 0
    while start < len(text):
        end = text.find("\n", start) + 1 or len(text)
        yield start, text[start:end]
        start = end


def _consists_of(line: str, characters: str, *, required: str = "") -> bool:
    content = line.strip()
    return bool(content) and not content.strip(characters) and all(one in content for one in required)


def _without_closing(title: str) -> str:
    """Drop the optional closing `##` of a heading."""
    opened = title.rstrip("#")
    return opened.rstrip() if not opened or opened[-1] in " \t" else title
