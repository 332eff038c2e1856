"""Evaluation figures as table rows."""

from collections.abc import Mapping
from typing import Any


def metrics_rows(metrics: Mapping[str, Mapping[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    """Return column names and one row a pipeline; nested latencies become columns of their own."""
    flat = {pipeline: _flatten(figures) for pipeline, figures in metrics.items()}
    names = list(dict.fromkeys(name for figures in flat.values() for name in figures))
    return ["pipeline", *names], [
        [pipeline, *(figures.get(name, "") for name in names)] for pipeline, figures in flat.items()
    ]


def _flatten(figures: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in figures.items():
        if isinstance(value, Mapping):
            flat.update({f"{inner} ms": round(float(number), 1) for inner, number in value.items()})
        elif value is not None:
            flat[name] = value
    return flat
