"""Run a Great Expectations suite over a frame and say, per expectation, which rows break it.

Not here: which expectations a table has, and what happens to bad rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    import great_expectations as gx
    from great_expectations.expectations.expectation import Expectation


@dataclass(frozen=True)
class Outcome:
    """What became of one expectation: `bad` are the ids of the rows that break it, none when it is about the table as a
    whole.
    """

    expectation: str
    column: str
    passed: bool
    bad: tuple[str, ...]
    detail: str


def run_suite(name: str, frame: pd.DataFrame, key: str, expectations: Sequence["Expectation"]) -> list[Outcome]:
    """Validate `frame`, whose rows are identified by column `key`."""
    batch = _batch_definition(name).get_batch(batch_parameters={"dataframe": frame})
    suite = _suite(name, expectations)
    result = batch.validate(suite, result_format={"result_format": "COMPLETE", "unexpected_index_column_names": [key]})
    return [_outcome(one, key) for one in result.results]


def _outcome(result: Any, key: str) -> Outcome:
    failure = next((one["exception_message"] for one in _exceptions(result) if one.get("raised_exception")), None)
    if failure:
        raise ValueError(f"expectation {result.expectation_config.type} could not be evaluated: {failure}")
    bad = tuple(sorted({str(row[key]) for row in result.result.get("unexpected_index_list") or ()}))
    arguments = result.expectation_config.kwargs
    column = (
        arguments.get("column")
        or " = ".join(filter(None, (arguments.get("column_A"), arguments.get("column_B"))))
        or "table"
    )
    seen = result.result.get("partial_unexpected_list") or result.result.get("observed_value")
    return Outcome(
        result.expectation_config.type,
        str(column),
        bool(result.success),
        bad,
        str(seen)[:200] if not result.success else "",
    )


def _exceptions(result: Any) -> list[dict[str, Any]]:
    found = result.exception_info or {}
    return [found] if "raised_exception" in found else [one for one in found.values() if isinstance(one, dict)]


def _suite(name: str, expectations: Sequence["Expectation"]) -> "gx.ExpectationSuite":
    import great_expectations as gx

    return gx.ExpectationSuite(name=name, expectations=list(expectations))


@cache
def _context() -> Any:
    import great_expectations as gx

    context: Any = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    return context


@cache
def _batch_definition(name: str) -> Any:
    return (
        _context().data_sources.add_pandas(name).add_dataframe_asset(name).add_batch_definition_whole_dataframe("whole")
    )
