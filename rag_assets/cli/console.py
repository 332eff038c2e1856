"""What commands print with: Rich on a terminal, plain lines elsewhere, one JSON object with --json; progress with an
ETA.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from resources.observability.logging import configure_logging, correlated
from resources.observability.progress import LineReporter, reporting_to
from resources.observability.progress import Progress as Event

console = Console(highlight=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """Print one JSON object, and nothing else, on standard output."""
    print(json.dumps(value, ensure_ascii=False, indent=2))


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table; the first column is text, the others align right when they hold numbers."""
    table = Table(title=title, title_justify="left")
    for position, name in enumerate(columns):
        numeric = position > 0 and any(str(row[position]).replace(",", "").replace(".", "").isdigit() for row in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(f"{cell:.4f}" if isinstance(cell, float) else str(cell)) for cell in row))
    console.print(table)


class BarReporter:
    """Progress as bars on the terminal that standard error is."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def update(self, progress: Event) -> None:
        task = progress.task
        if task not in self._tasks:
            self._tasks[task] = self._progress.add_task(task, total=progress.total)
        self._progress.update(self._tasks[task], completed=progress.done, total=progress.total)
        if progress.is_over:
            del self._tasks[task]


@contextmanager
def working() -> Iterator[None]:
    """Show progress and log lines of the command within the block, under one correlation id."""
    configure_logging()
    with correlated(uuid4().hex[:12]):
        if not sys.stderr.isatty():
            with reporting_to(LineReporter()):
                yield
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True)) as progress, reporting_to(BarReporter(progress)):
            yield
