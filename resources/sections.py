"""A section of the settings: its base class, durations, and how a bad value is explained in one line.

Every package that has settings of its own builds on this. Not here: any particular setting, and the file.
"""

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parse_duration(value: Any) -> Any:
    """Return `12h`, `90s`, `30m` or `7d` as a timedelta; anything else is left for pydantic to judge."""
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        return timedelta(**{_UNITS[match[2]]: float(match[1])})
    if isinstance(value, timedelta):
        return value
    raise ValueError("a duration such as 90s, 30m, 12h or 7d is expected")


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]


class Section(BaseModel):
    """A part of `rag.yaml`: unknown keys are errors, values do not change once read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Say in one line what is wrong: the key, the value and what is allowed."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"]) or "the file"
    if first["type"] == "extra_forbidden":
        allowed = ", ".join(sorted(_fields_at(model, first["loc"][:-1])))
        return f"{key}: unknown key; allowed here: {allowed}"
    more = f" ({len(error.errors()) - 1} more)" if len(error.errors()) > 1 else ""
    return f"{key}: {first['msg'].removeprefix('Value error, ')}, got {first['input']!r}{more}"


def _fields_at(model: Any, location: tuple[Any, ...]) -> list[str]:
    for part in location:
        field = getattr(model, "model_fields", {}).get(part)
        if field is None:
            continue  # a key of a mapping such as `corpora`: the value's model was chosen already
        annotation = field.annotation
        candidates = [annotation, *getattr(annotation, "__args__", ())]
        model = next((one for one in candidates if isinstance(one, type) and issubclass(one, BaseModel)), model)
    return [name for name in getattr(model, "model_fields", {}) if name not in ("home", "path")]
