"""JSON and JSON lines: each value on a line of its own, behind the path that leads to it, so that both can be found."""

import json
from collections.abc import Iterator
from typing import Any

from resources.parsing.base import Content, ParseError
from resources.parsing.registry import parser
from resources.parsing.settings import ParsingSettings
from resources.parsing.text import decode


@parser("application/json", extensions=(".json",), version=1, libraries=("charset-normalizer",))
def read_json(data: bytes, settings: ParsingSettings) -> Content:
    """Return the values of a JSON document, or of a file with one document a line."""
    text, problems = decode(data)
    try:
        return _content(json.loads(text.removeprefix("\ufeff")), problems)
    except json.JSONDecodeError as error:
        if error.msg != "Extra data":
            raise ParseError(f"damaged: not valid JSON: {error}") from error
    except (RecursionError, ValueError) as error:
        raise ParseError(f"JSON beyond its parser: {error}") from error
    return _json_lines(text, problems)


@parser("application/x-ndjson", extensions=(".jsonl", ".ndjson"), version=1, libraries=("charset-normalizer",))
def read_json_lines(data: bytes, settings: ParsingSettings) -> Content:
    """Return the values of every line that is JSON; others make the document partial."""
    text, problems = decode(data)
    return _json_lines(text, problems)


def _json_lines(text: str, problems: tuple[str, ...]) -> Content:
    records, damaged, first = [], 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                records.append("\n".join(_lines(json.loads(line))))
            except (ValueError, RecursionError) as error:
                damaged += 1
                first = first or f"line {number}: {error}"
    if damaged and not records:
        raise ParseError(f"damaged: not valid JSON: {first}")
    if damaged:
        problems += (f"{damaged} lines are not valid JSON ({first})",)
    return Content("\n\n".join(records), problems=problems)


def _content(value: Any, problems: tuple[str, ...]) -> Content:
    title = value.get("title") if isinstance(value, dict) else None
    if isinstance(value, list) and any(isinstance(one, dict | list) for one in value):
        text = "\n\n".join("\n".join(_lines(one)) for one in value)
    else:
        text = "\n".join(_lines(value))
    return Content(text, title if isinstance(title, str) else None, problems=problems)


def _lines(value: Any) -> Iterator[str]:
    """Yield `path: value` for each value, without recursion; numbers in lists are not counted in the path."""
    todo: list[tuple[str, Any]] = [("", value)]
    while todo:
        path, one = todo.pop()
        if isinstance(one, dict):
            todo.extend((f"{path}.{key}" if path else str(key), inner) for key, inner in reversed(one.items()))
        elif isinstance(one, list):
            todo.extend((path, inner) for inner in reversed(one))
        elif one is not None and one != "":
            written = one if isinstance(one, str) else json.dumps(one)
            yield f"{path}: {written}" if path else written
