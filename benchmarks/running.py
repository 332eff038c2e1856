"""One benchmark in a process of its own: import it, run it, keep the rows it found before anything went wrong."""

import tempfile
import traceback
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.measure import MissingDataError, Row
from benchmarks.results import line

Run = Callable[[Path, bool], Iterator[Row]]


def collect(name: str, work: Path, full: bool, profile: bool) -> tuple[list[dict[str, Any]], str]:
    """Run one benchmark here; rows found before something went wrong are kept."""
    measure.profiling = profile
    measure.quieten()
    run: Run = import_module(f"benchmarks.{name}").run
    rows: list[dict[str, Any]] = []
    try:
        with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=work) as own:
            for row in run(Path(own), full):
                rows.append(row.as_json())
                print(f"  {line(rows[-1])}", flush=True)
    except MissingDataError as error:
        print(f"  left out: {error}")
    except Exception as error:  # noqa: BLE001 - whatever it is, the other benchmarks go on
        traceback.print_exc()
        return rows, f"{type(error).__name__}: {error}"
    return rows, ""
