"""The report's plots, as SVG elements that take their text colour from the page. No figures are computed here."""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Told apart by people with any colour vision, and on light as well as on dark pages.
COLOURS = ("#4c78a8", "#f58518", "#54a24b", "#b279a2", "#e45756", "#72b7b2", "#9d755d", "#eeca3b")
INK = "#0a0b0c"
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.18,
    "axes.axisbelow": True,
    **dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "grid.color"), INK
    ),
}


def metric_bars(means: Mapping[str, Mapping[str, float]], metrics: Sequence[str]) -> str:
    """Draw one group of bars a metric, one bar a pipeline, each labelled with its value."""

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        width = 0.8 / len(means)
        for number, (pipeline, values) in enumerate(means.items()):
            places = np.arange(len(metrics)) + (number - (len(means) - 1) / 2) * width
            bars = axes.bar(
                places, [values[one] for one in metrics], width * 0.92, label=pipeline, color=_colour(number)
            )
            axes.bar_label(bars, fmt="%.3f", fontsize=8, padding=2)
        axes.set_xticks(np.arange(len(metrics)), metrics)
        axes.set_ylim(0, 1.1)
        axes.set_yticks(np.linspace(0, 1, 6))
        axes.grid(axis="x", visible=False)
        figure.legend(loc="outside upper left", ncols=len(means), frameon=False)

    return _svg("bars", 9, 3.4, draw)


def histograms(values: Mapping[str, Sequence[float]], label: str) -> str:
    """Draw one histogram a pipeline of per-query values from 0 to 1, side by side on one scale, means marked."""

    def draw(figure: "Figure") -> None:
        panels = figure.subplots(1, len(values), sharey=True, squeeze=False)[0]
        for number, (axes, (pipeline, one)) in enumerate(zip(panels, values.items(), strict=True)):
            axes.hist(one, bins=np.linspace(0, 1, 11), color=_colour(number), rwidth=0.9)
            axes.axvline(float(np.mean(one)), color=INK, linewidth=1, linestyle=":")
            axes.set_title(f"{pipeline}, mean {np.mean(one):.3f}", fontsize=10)
            axes.set_xlabel(label)
            axes.grid(axis="x", visible=False)
        panels[0].set_ylabel("queries")

    return _svg("histograms", 9, 2.5, draw)


def latency_strips(milliseconds: Mapping[str, Sequence[float]]) -> str:
    """Draw every measured query as a dot, one strip a pipeline; bars mark the median and the 95th percentile."""

    def draw(figure: "Figure") -> None:
        axes: Axes = figure.subplots()
        jitter = np.random.default_rng(0)
        for number, one in enumerate(milliseconds.values()):
            heights = number + jitter.uniform(-0.22, 0.22, len(one))
            axes.scatter(one, heights, s=12, alpha=0.45, color=_colour(number), linewidths=0)
            for share, style in ((50, "-"), (95, "--")):
                at = float(np.percentile(one, share))
                axes.plot([at, at], [number - 0.34, number + 0.34], color=_colour(number), linewidth=2, linestyle=style)
        axes.set_yticks(range(len(milliseconds)), list(milliseconds))
        axes.invert_yaxis()
        axes.set_xlim(left=0)
        axes.set_xlabel("milliseconds a query (line: median, dashed: 95th percentile)")
        axes.grid(axis="y", visible=False)

    return _svg("latency", 9, 0.7 + 0.5 * len(milliseconds), draw)


def _svg(name: str, width: float, height: float, draw: "Callable[[Figure], None]") -> str:
    """Return what `draw` puts on a figure of that many inches, the same bytes for the same input."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure)
        written = io.StringIO()
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = written.getvalue()
    return svg[svg.index("<svg") :].replace(INK, "currentColor")


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]
