"""What reacts by itself, and how often: the section `automation` of `rag.yaml`.

Read when the definitions are made: Dagster fixes a sensor's interval and a schedule's cron there, and keeps what a
person switched on or off in the UI. Not here: what each of them does (the package `sensors`).
"""

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, field_validator

from resources.sections import Duration, Section

_FIELDS = {"minute": (0, 59), "hour": (0, 23), "day of month": (1, 31), "month": (1, 12), "day of week": (0, 7)}
_PART = re.compile(r"(\d+)|(?:\*|(\d+)-(\d+))(?:/[1-9]\d*)?")


def check_cron(text: str) -> str:
    """Return a cron expression of five numeric fields, or raise ValueError that says which field is wrong."""
    fields = text.split()
    if len(fields) != len(_FIELDS):
        raise ValueError(f"a cron expression has five fields ({', '.join(_FIELDS)}), such as '0 3 * * *'")
    for field, (name, (low, high)) in zip(fields, _FIELDS.items(), strict=True):
        for part in field.split(","):
            match = _PART.fullmatch(part)
            bounds = [int(one) for one in match.groups() if one is not None] if match else []
            if match is None or bounds != sorted(bounds) or any(not low <= one <= high for one in bounds):
                raise ValueError(f"{part!r} is no {name}: {low} to {high}, *, ranges a-b, steps /n, joined by commas")
    return text


Cron = Annotated[str, AfterValidator(check_cron)]


class SensorSettings(Section):
    """`enabled`: whether it runs until somebody switches it in the UI. `every`: the least time between two looks."""

    enabled: bool = True
    every: Duration = timedelta(seconds=30)

    @field_validator("every")
    @classmethod
    def _whole_seconds(cls, every: timedelta) -> timedelta:
        if every < timedelta(seconds=1) or every % timedelta(seconds=1):
            raise ValueError("whole seconds are expected, at least 1s")
        return every

    @property
    def seconds(self) -> int:
        """The interval as Dagster takes it."""
        return int(self.every.total_seconds())


class ScheduleSettings(Section):
    """`enabled`: whether it runs until somebody switches it in the UI. `cron`: when, in UTC."""

    enabled: bool = True
    cron: Cron


class AutomationSettings(Section):
    """The sensors and schedules, by name. A section may say only what differs: `corpora: {every: 5m}`."""

    drift: SensorSettings = SensorSettings()
    failed_checks: SensorSettings = SensorSettings()
    failed_runs: SensorSettings = SensorSettings()
    dead_runs: SensorSettings = SensorSettings(every=timedelta(seconds=60))
    corpora: SensorSettings = SensorSettings()
    propagation: SensorSettings = SensorSettings()
    checksum_audit: ScheduleSettings = ScheduleSettings(cron="0 2 * * *")
    reembed_audit: ScheduleSettings = ScheduleSettings(cron="0 3 * * 6")
    evaluation: ScheduleSettings = ScheduleSettings(cron="0 4 * * *")

    @field_validator("*", mode="before")
    @classmethod
    def _over_defaults(cls, value: Any, info: Any) -> Any:
        """Keep the rest of a section's own defaults where only a part of it is given."""
        if not isinstance(value, dict):
            return value
        return cls.model_fields[info.field_name].default.model_dump() | value
