"""HTML as Markdown: walks a parsed page once, without recursion, and keeps headings, lists, tables, code and formulas.

Used for web pages, e-books and mail. Scripts, styles and what is marked as hidden are dropped; nothing is fetched. No
judgement of what is main content: menus stay, because dropping them loses text on pages that are built otherwise.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from resources.parsing.formulas import mathml_to_latex
from resources.parsing.writing import blocks, heading, one_line, table, tidy
from resources.parsing.xml import read_fragment

_DROPPED = frozenset(
    (
        *("script", "style", "template", "noscript", "head", "iframe", "object", "embed", "svg", "canvas"),
        *("datalist", "audio", "video", "map", "input"),
    )
)
_BLOCKS = frozenset(
    (
        *("address", "article", "aside", "blockquote", "body", "center", "dd", "details", "dialog", "div", "dl", "dt"),
        *(
            "fieldset",
            "figcaption",
            "figure",
            "footer",
            "form",
            "header",
            "hgroup",
            "hr",
            "html",
            "legend",
            "li",
            "main",
        ),
        *("menu", "nav", "ol", "option", "p", "section", "select", "summary", "ul", "caption", "tr", "td", "th"),
    )
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
# What is nested deeper is written as plain text; each level costs a copy of its text.
_MAX_NESTED = 12
# A cell as long as that is a page laid out with a table.
_LAYOUT_CELL = 1000
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_BREAK = "\v"


@dataclass(slots=True)
class _Part:
    """An open element that is written as a whole: its finished blocks, and the running text after them."""

    tag: str
    done: list[str] = field(default_factory=list)
    line: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    number: int = 0

    def flush(self) -> None:
        if self.line:
            text = "\n".join(one_line(line) for line in "".join(self.line).split(_BREAK)).strip()
            self.line.clear()
            if text:
                self.done.append(text)

    def text(self, separator: str = "\n\n") -> str:
        self.flush()
        return separator.join(self.done)


def to_markdown(root: Any) -> str:
    """Return the text under a node of a page parsed by selectolax."""
    parts = [_Part("body")]
    todo = [(root, False)]
    while todo:
        node, leaving = todo.pop()
        tag = node.tag
        if leaving:
            _leave(parts, tag)
        elif tag == "-text":
            parts[-1].line.append(node.text_content or "")
        elif _enter(parts, node, tag):
            todo.append((node, True))
            children = []
            child = node.first_child
            while child is not None:
                children.append((child, False))
                child = child.next
            todo.extend(reversed(children))
    while len(parts) > 1:
        _close(parts)
    return tidy(parts[0].text())


def _enter(parts: list[_Part], node: Any, tag: str) -> bool:
    """Begin an element; False when its content is not to be read."""
    part = parts[-1]
    if tag == "br":
        part.line.append(_BREAK)
        return False
    if tag == "math":
        part.line.append(_formula(node))
        return False
    if tag == "script" and str(node.attributes.get("type")).startswith("math/tex"):
        part.line.append(f" ${one_line(node.text(deep=True))}$ ")
        return False
    if tag in _DROPPED or tag.startswith("-") or tag.startswith("!") or _is_hidden(node):
        return False
    if tag == "pre" or tag == "textarea":
        part.flush()
        code = node.text(deep=True).replace("\r\n", "\n").strip("\n")
        part.done.append(f"```\n{code}\n```" if code.strip() else "")
        return False
    if tag in _HEADINGS or tag in _BLOCKS or tag == "table":
        part.flush()
    if tag in _HEADINGS or tag in ("ul", "ol", "li", "table", "tr", "td", "th"):
        if len(parts) > _MAX_NESTED:
            return True
        if tag == "tr" and part.tag == "table":
            part.rows.append([])
        elif tag not in ("td", "th", "tr") or (tag != "tr" and part.tag == "table"):
            parts.append(_Part(tag))
    return True


def _leave(parts: list[_Part], tag: str) -> None:
    if parts[-1].tag == tag and len(parts) > 1:
        _close(parts)
    elif tag in _BLOCKS:
        parts[-1].flush()


def _close(parts: list[_Part]) -> None:
    """Write the innermost part into the one around it."""
    part = parts.pop()
    outer = parts[-1]
    tag = part.tag
    if tag in ("td", "th"):
        if not outer.rows:
            outer.rows.append([])
        outer.rows[-1].append(part.text())
        return
    text = part.text("\n" if tag in ("ul", "ol") else "\n\n")
    if tag in _HEADINGS:
        text = heading(_HEADINGS[tag], text)
    elif tag == "li" and text:
        outer.number += 1
        mark = f"{outer.number}. " if outer.tag == "ol" else "- "
        text = mark + text.replace("\n\n", "\n").replace("\n", "\n" + " " * len(mark))
    elif tag == "table":
        is_layout = any(len(cell) > _LAYOUT_CELL or "\n#" in cell for row in part.rows for cell in row)
        cells = blocks(cell for row in part.rows for cell in row) if is_layout else table(part.rows)
        text = blocks((text, cells))
    if text:
        outer.done.append(text)


def _is_hidden(node: Any) -> bool:
    attributes = node.attributes
    if "hidden" in attributes:
        return True
    style = attributes.get("style")
    # Formulas for screen readers are hidden from the eye, and are the formula.
    return bool(style and _HIDDEN.search(style)) and node.css_first("math") is None


def _formula(node: Any) -> str:
    attributes = node.attributes
    latex = attributes.get("alttext")
    if not latex:
        element = read_fragment(node.html or "")
        latex = node.text(deep=True) if element is None else mathml_to_latex(element)
    mark = "$$" if attributes.get("display") == "block" else "$"
    latex = one_line(latex)
    return f" {mark}{latex}{mark} " if latex else ""
