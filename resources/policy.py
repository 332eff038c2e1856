"""What a repair may do by itself: the sections of `rag.yaml` that bound it. Values only.

Read by `resources.reconciliation` (brake, decision, completeness), by the stages (budget) and by the loop.
"""

from datetime import timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from resources.sections import Duration, Section

_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def parse_bytes(value: Any) -> Any:
    """Return `500MB` or `8GB` as a number of bytes; anything else is an error."""
    if isinstance(value, str) and value.strip()[-2:].upper() in _UNITS:
        try:
            return int(float(value.strip()[:-2]) * _UNITS[value.strip()[-2:].upper()])
        except ValueError:
            pass
    elif isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError("a size such as 500MB or 8GB is expected")


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("must be longer than 0s")
    return value


Size = Annotated[int, BeforeValidator(parse_bytes), Field(ge=1)]
PositiveDuration = Annotated[Duration, AfterValidator(_positive)]


class BrakeSettings(Section):
    """A listing that would remove more than `documents` and more than `share` of a source is held."""

    documents: int = Field(10, ge=0)
    share: float = Field(0.1, ge=0, le=1)


class AutoRepairSettings(Section):
    """What a repair may cost without a person's word: chunks to embed, and `max_cost` at `cost_per_hour` of work."""

    max_chunks: int | None = Field(None, ge=0)
    max_cost: float | None = Field(None, ge=0)
    cost_per_hour: float = Field(0.0, ge=0)

    @model_validator(mode="after")
    def _cost_is_known(self) -> "AutoRepairSettings":
        if self.max_cost is not None and not self.cost_per_hour:
            raise ValueError("max_cost needs cost_per_hour: what an hour of this machine costs, in the same currency")
        return self


class CacheSettings(Section):
    """What a corpus that is kept elsewhere may keep on this machine."""

    max_bytes: Size = Field(20 * 10**9, ge=0)


class BudgetSettings(Section):
    """What one run may use; it ends after the commit that crosses a bound, and the rest is planned next time.

    `max_documents`: documents fetched, cut or embedded, by each asset. `max_minutes`: since the run started.
    `max_memory`: what its process holds. `cpu_share`: of the cores; `nice`: how far it steps back for others.
    """

    max_documents: int | None = Field(None, ge=1)
    max_minutes: float | None = Field(None, gt=0)
    max_memory: Size | None = None
    cpu_share: float = Field(1.0, gt=0, le=1)
    nice: int = Field(0, ge=0, le=19)


class RetrySettings(Section):
    """How often a repair that did not help is tried again: after `backoff`, twice that, …, at most `max_backoff`."""

    attempts: int = Field(3, ge=1)
    backoff: PositiveDuration = timedelta(seconds=30)
    max_backoff: PositiveDuration = timedelta(hours=1)


class CompletenessSettings(Section):
    """When documents that are missing, or lack chunks or embeddings, are tolerated: never, unless a bound is set.

    Then all bounds that are set must hold: at least `min_percent` of the documents complete, at most `max_missing` not.
    `min_embeddings_per_document`: a complete document with fewer token vectors is reported.
    """

    min_percent: float | None = Field(None, ge=0, le=100)
    max_missing: int | None = Field(None, ge=0)
    min_embeddings_per_document: int = Field(1, ge=1)

    def tolerates(self, missing: int, wanted: int) -> bool:
        """Whether `missing` incomplete documents of `wanted` still count as complete."""
        if self.min_percent is None and self.max_missing is None:
            return missing == 0
        enough = self.min_percent is None or 100 * (wanted - missing) >= self.min_percent * wanted
        return enough and (self.max_missing is None or missing <= self.max_missing)


class RetentionSettings(Section):
    """What of the past is kept: the last `snapshots` contents, and what was live within `grace`, for running queries.

    `hold`: snapshots by number that are kept whatever comes; true: everything, and nothing is erased either.
    """

    snapshots: int = Field(10, ge=1)
    grace: Duration = timedelta(hours=1)
    hold: bool | tuple[int, ...] = False


class ReconcileSettings(Section):
    """The loop over all corpora: how many at once, how long the daemon waits between rounds and after an error."""

    parallel: int = Field(1, ge=1, le=64)
    interval: PositiveDuration = timedelta(hours=1)
    error_retry: PositiveDuration = timedelta(minutes=5)
