"""How things are timed and judged: rows, interleaved repetitions, processes of their own, peak memory.

What is measured belongs in the benchmarks, what becomes of the rows in `__main__` and `report`.
"""

import cProfile
import logging
import os
import pstats
import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt
import structlog

T = TypeVar("T")
P = ParamSpec("P")

SCALE = {"s": 1.0, "ms": 1e3}
HOTTEST = 4
PROFILED_ITEMS = 100


class WrongAnswerError(Exception):
    """What was measured did not do what it was measured for."""


class MissingDataError(Exception):
    """The benchmark needs development data that this machine does not have."""


@dataclass(frozen=True)
class Row:
    """One figure, a value a repetition, and what it should be.

    `baseline`: the same repetitions of what it is measured `against`. `ratio` and `most` are targets, of ours over
    the baseline and of ours; `least` is one for figures that should be high. `facts`: whatever explains the figure.
    """

    name: str
    unit: str
    ours: Sequence[float]
    against: str = ""
    baseline: Sequence[float] = ()
    ratio: float | None = None
    most: float | None = None
    least: float | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    profile: str = ""

    @property
    def ratios(self) -> list[float]:
        """Ours over the baseline, repetition by repetition."""
        return [mine / theirs for mine, theirs in zip(self.ours, self.baseline, strict=False)]

    @property
    def distances(self) -> list[float]:
        """Each target's share that is used up: the figure over its target, 1 where they are equal."""
        found = []
        if self.ratio is not None and self.baseline:
            found.append(float(np.median(self.ratios)) / self.ratio)
        if self.most is not None:
            found.append(float(np.median(self.ours)) / self.most)
        if self.least is not None:
            found.append(self.least / float(np.median(self.ours)))
        return found

    @property
    def verdict(self) -> str:
        """Whether every target is met; a dash where there is none."""
        return "–" if not self.distances else "met" if max(self.distances) <= 1 else "missed"

    @property
    def target(self) -> str:
        """The targets in words."""
        parts = [
            f"≤ {self.ratio:g}×" if self.ratio is not None else "",
            f"≤ {self.most:g} {self.unit}" if self.most is not None else "",
            f"≥ {self.least:g} {self.unit}".strip() if self.least is not None else "",
        ]
        return ", ".join(part for part in parts if part)

    def as_json(self) -> dict[str, Any]:
        """Return the row as `results/` keeps it."""
        return {
            "name": self.name,
            "unit": self.unit,
            "ours": spread(self.ours),
            "against": self.against,
            "baseline": spread(self.baseline),
            "ratio": spread(self.ratios),
            "target": self.target,
            "distance": max(self.distances, default=None),
            "verdict": self.verdict,
            "facts": self.facts,
            "profile": self.profile,
        }


def spread(values: Sequence[float]) -> list[float] | None:
    """Return minimum, median and maximum to four digits; None of nothing."""
    if not len(values):
        return None
    return [float(f"{one:.4g}") for one in (min(values), float(np.median(values)), max(values))]


@dataclass(frozen=True)
class Times:
    """Seconds by call, pass and item, of wall clock and of this process's cores, and where the first call spends its
    time (when that is asked for).
    """

    seconds: npt.NDArray[np.float64]
    busy: npt.NDArray[np.float64]
    profile: str

    def per_pass(self, call: int, unit: str, percentile: float = 50) -> list[float]:
        """Return, for each pass, this percentile over the items."""
        return (np.percentile(self.seconds[call], percentile, axis=1) * SCALE[unit]).tolist()

    def cpu(self, unit: str, baseline: int = 1) -> dict[str, float]:
        """Return the median time on the cores, ours and the baseline's: what is left when nobody else is at work."""
        ours, theirs = (float(f"{np.median(self.busy[call]) * SCALE[unit]:.4g}") for call in (0, baseline))
        return {f"cpu_{unit}": ours, f"baseline_cpu_{unit}": theirs}


profiling = False
"""Whether `interleaved` also profiles its first call; `--profile` sets it."""


def quieten() -> None:
    """Leave only the rows on the screen: no progress bars, no log lines but warnings. For a process of its own."""
    os.environ["TQDM_DISABLE"] = "1"
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))


def interleaved(calls: Sequence[Callable[[T], object]], items: Sequence[T], passes: int) -> Times:
    """Time every call on every item, `passes` times over, one after the other in changing order.

    Whatever else the machine does then disturbs all of them alike, and none is always asked right after another that
    has just warmed the caches for the same item. One round over a few items warms up first.
    """
    for item in items[: max(1, len(items) // 10)]:
        for call in calls:
            call(item)
    seconds = np.empty((len(calls), passes, len(items)))
    busy = np.empty_like(seconds)
    for turn in range(passes):
        for at, item in enumerate(items):
            first, backwards = (at + turn) % len(calls), (at + turn) // len(calls) % 2
            for step in range(len(calls)):
                one = (first + (-step if backwards else step)) % len(calls)
                start, started = time.perf_counter(), time.process_time()
                calls[one](item)
                busy[one, turn, at] = time.process_time() - started
                seconds[one, turn, at] = time.perf_counter() - start
    profile = hottest(lambda: [calls[0](item) for item in items[:PROFILED_ITEMS]]) if profiling else ""
    return Times(seconds, busy, profile)


def hottest(work: Callable[[], object]) -> str:
    """Return the functions in which `work` spends most of its time, in a line."""
    profiler = cProfile.Profile()
    profiler.runcall(work)
    stats = pstats.Stats(profiler)
    total = max(stats.total_tt, 1e-9)  # type: ignore[attr-defined]
    own = sorted(stats.stats.items(), key=lambda item: -item[1][2])[:HOTTEST]  # type: ignore[attr-defined]
    return ", ".join(f"{Path(file).stem}.{name} {figures[2] / total:.0%}" for (file, _, name), figures in own)


def in_child(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a module's function in a fresh process, so that memory and imports are its own."""
    with ProcessPoolExecutor(1, get_context("spawn"), _end_with_parent) as pool:
        return pool.submit(function, *args, **kwargs).result()


def _end_with_parent() -> None:
    """Leave nothing running behind a command that was killed."""
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


def memory(field_name: str = "VmRSS") -> float:
    """Return this process's memory in MB: VmRSS now, VmHWM at its highest since `reset_peak`, RssAnon without files."""
    status = Path("/proc/self/status").read_text("utf-8")
    found = re.search(rf"{field_name}:\s+(\d+) kB", status)
    if found is None:
        raise MissingDataError("memory is read from /proc/self/status, which only Linux has")
    return int(found[1]) / 1024


def reset_peak() -> None:
    """Let VmHWM start again from what is used now."""
    Path("/proc/self/clear_refs").write_text("5", "ascii")
