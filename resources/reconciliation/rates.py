"""How long work takes: seconds an item, from the last runs of the corpus, or from what was measured elsewhere.

Not here: what work there is (`plan`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

START = "start"
START_SECONDS = 12.0
"""What a run costs besides its work: process, model, checks, looks. Measured as below, for one edited document."""

SECONDS: Mapping[str, float] = MappingProxyType(
    {
        "fetch": 0.0005,
        "recover": 0.05,
        "remove": 0.0005,
        "chunk": 0.0013,
        "delete": 0.0001,
        "embed": 0.022,
        "copy": 0.0005,
        "update": 0.00013,
        "rebuild": 0.00013,
        "evaluate": 0.059,
        "publish": 0.0,
    }
)
"""Seconds an item: a damaged file for `recover`; a document for `fetch`, `remove`, `chunk`; a question for `evaluate`;
a chunk for the others.

CPU seconds of one core for the first 400 documents (546 chunks, 82 questions) of the default corpus, with the default
model; `remove`, `delete` and `copy` are guesses. PDF and the like take longer to fetch, cores side by side are faster.
All the more reason that what the corpus's own runs took is believed as soon as there is enough of it.
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
    """Seconds an item by action, and what a run costs besides. `measured`: the actions whose rate comes from this
    corpus's own runs.
    """

    seconds: Mapping[str, float] = field(default_factory=lambda: SECONDS)
    measured: frozenset[str] = frozenset()
    start: float = START_SECONDS

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
    starts = [run[START].seconds for run in recent if START in run]
    return Rates(seconds, frozenset(known), sum(starts) / len(starts) if starts else START_SECONDS)
