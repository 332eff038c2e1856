"""Evaluation figures as a table: a row a metric, a column a pipeline, which fits a narrow terminal."""

from collections.abc import Mapping
from typing import Any


def metrics_table(metrics: Mapping[str, Mapping[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    """Return the column names and the rows; `latency_ms` becomes a row for each percentile."""
    flat = {pipeline: _flatten(figures) for pipeline, figures in metrics.items()}
    names = list(dict.fromkeys(name for figures in flat.values() for name in figures))
    rows = [[name, *(figures.get(name, "") for figures in flat.values())] for name in names]
    return ["metric", *flat], rows


def _flatten(figures: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in figures.items():
        if isinstance(value, Mapping):
            flat.update({f"latency {inner} (ms)": f"{number:.1f}" for inner, number in value.items()})
        elif value is not None:
            flat[name] = value
    return flat
