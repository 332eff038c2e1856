"""How long work takes: seconds an item, from the last runs of the corpus, or from what was measured elsewhere.

Not here: what work there is (`plan`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

START_SECONDS = 12.0
"""What a run costs before and after its work: start, model, checks, looks (measured as below)."""

SECONDS: Mapping[str, float] = MappingProxyType(
    {
        "fetch": 0.002,
        "recover": 0.05,
        "remove": 0.0005,
        "chunk": 0.002,
        "delete": 0.0002,
        "embed": 0.05,
        "copy": 0.001,
        "update": 0.001,
        "rebuild": 0.001,
        "evaluate": 0.1,
        "publish": 0.0,
    }
)
"""Seconds an item: a damaged file for `recover`, a document for `fetch`, `remove`, a question for `evaluate`; a chunk
for the others.

Measured with benchmarks/… on two cores; replaced by what the corpus's own runs took as soon as there are any.
"""

ENOUGH_ITEMS = 50
LAST_RUNS = 5


@dataclass(frozen=True)
class Measured:
    """What was done in a run: so many items in so many seconds."""

    items: int
    seconds: float


@dataclass(frozen=True)
class Rates:
    """Seconds an item by action. `measured`: the actions whose rate comes from this corpus's own runs."""

    seconds: Mapping[str, float] = field(default_factory=lambda: SECONDS)
    measured: frozenset[str] = frozenset()

    def estimate(self, action: str, items: int) -> float:
        """Return the seconds that so many items take; an action nobody knows counts as `embed`, the slowest."""
        return items * self.seconds.get(action, self.seconds["embed"])


def measured_rates(runs: Iterable[Mapping[str, Measured]]) -> Rates:
    """Return the rates of the last runs, oldest first; an action is believed once it was measured on enough items."""
    seconds, known = dict(SECONDS), set()
    recent = list(runs)[-LAST_RUNS:]
    for action in SECONDS:
        samples = [run[action] for run in recent if action in run]
        items = sum(one.items for one in samples)
        if items >= ENOUGH_ITEMS:
            seconds[action] = sum(one.seconds for one in samples) / items
            known.add(action)
    return Rates(seconds, frozenset(known))
