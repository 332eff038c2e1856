"""Run benchmarks, each in a process of its own, print the table, and keep the rows under `results/`.

Exits with 1 when a benchmark failed or an answer was wrong, never because something was slow.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.measure import in_child
from benchmarks.results import BENCHMARKS, RESULTS, save, table
from benchmarks.running import collect


def main() -> int:
    """Run what the command line names, everything by default."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(BENCHMARKS)}; default: all")
    parser.add_argument("--full", action="store_true", help="the sizes that the targets are for; takes about an hour")
    parser.add_argument("--profile", action="store_true", help="say where the time of each hot path goes")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the folder that keeps each run's rows")
    parser.add_argument("--work", type=Path, help="a folder to make corpora in and to find them in the next time")
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - set(BENCHMARKS):
        parser.error(f"unknown benchmark {unknown.pop()!r}; there are: {', '.join(BENCHMARKS)}")
    with tempfile.TemporaryDirectory(prefix="rag-assets-bench-") as temporary:
        outcomes = [
            _one(name, chosen.work or Path(temporary), full=chosen.full, profile=chosen.profile)
            for name in chosen.names or BENCHMARKS
        ]
    rows = [row | {"benchmark": name} for name, found, _ in outcomes for row in found]
    save(chosen.results, rows, full=chosen.full)
    print(f"\n{table(rows)}")
    failed = [(name, problem) for name, _, problem in outcomes if problem]
    for name, problem in failed:
        print(f"{name}: {problem}", file=sys.stderr)
    return 1 if failed else 0


def _one(name: str, work: Path, *, full: bool, profile: bool) -> tuple[str, list[dict[str, Any]], str]:
    """Return a benchmark's name, its rows, and what went wrong with it; the others go on."""
    print(f"{name} …", flush=True)
    folder = work / ("full" if full else "quick")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        rows, problem = in_child(collect, name, folder, full, profile)
    except Exception as error:  # noqa: BLE001 - also a process that was killed
        return name, [], f"its process ended: {error!r}"
    return name, rows, problem


if __name__ == "__main__":
    sys.exit(main())
