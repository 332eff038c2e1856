"""Draw what `results/` keeps: the table in docs/benchmarks.md and the plot beside it, both of full runs.

    python -m benchmarks.report

The table has, of each benchmark, the newest full run; the plot also shows the runs before it.
"""

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot
from matplotlib.figure import Figure

from benchmarks.results import BENCHMARKS, RESULTS, table

DOCS = Path(__file__).parents[1] / "docs"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
MET, MISSED, EARLIER = "#2a7f62", "#b3432b", "#b8b8b8"


def main() -> None:
    """Write both."""
    runs = [json.loads(file.read_text("utf-8")) for file in sorted(RESULTS.glob("*-full.json"))]
    history: dict[tuple[str, str], list[float]] = {}
    newest: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {}
    for run in runs:
        for row in run["rows"]:
            history.setdefault((row["name"], row["against"]), []).append(row["distance"])
        for name in {row["benchmark"] for row in run["rows"]}:
            newest[name] = run, [row for row in run["rows"] if row["benchmark"] == name]
    rows = [row for name in BENCHMARKS if name in newest for row in newest[name][1]]
    where = "\n".join(sorted({_where(run) for run, _ in newest.values()}))
    page = DOCS / "benchmarks.md"
    before, _, rest = page.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{where}\n\n{table(rows)}\n{END}{after}", "utf-8")
    judged = [row for row in rows if row["distance"] is not None]
    _plot(judged, history).savefig(DOCS / "images" / "benchmarks.png", dpi=110)


def _where(run: dict[str, Any]) -> str:
    machine = run["machine"]
    place = f"{machine['cores']} cores of {machine['cpu']} ({', '.join(machine['flags'])}), {machine['memory_gb']} GB"
    return f"`make bench FULL=1` at commit {run['commit'].rstrip('+')}, {run['date'][:10]}, {place}."


def _plot(rows: list[dict[str, Any]], history: dict[tuple[str, str], list[float]]) -> Figure:
    """Return each row's distance from its target, 1 where it is reached; earlier runs in grey."""
    mpl.use("Agg")
    figure, axes = pyplot.subplots(figsize=(10, 0.34 * len(rows) + 1.3), layout="constrained")
    for place, row in enumerate(reversed(rows)):
        *earlier, now = history[row["name"], row["against"]]
        color = MET if now <= 1 else MISSED
        axes.barh(place, now - 1, left=1, height=0.5, color=color, zorder=1)
        axes.scatter(earlier, [place] * len(earlier), color=EARLIER, s=18, zorder=2)
        axes.scatter([now], [place], color=color, s=26, zorder=3)
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=1)
    names = [f"{row['name']}  [{row['target']}]" for row in reversed(rows)]
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(lambda x, _: f"{x:g}" if f"{x:g}"[-1] in "25" else "")
    axes.set_xlabel("measured ÷ target: left of the line it is met (grey: earlier)", loc="right")
    axes.grid(axis="x", color="#e4e4e4", zorder=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    return figure


if __name__ == "__main__":
    main()
