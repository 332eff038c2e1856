"""The validators of vectors, each registered under a name by one decorator. Not here: what any of them looks for.

Another package adds its own by an entry point of the group `rag_assets.vector_validators` that names a module to
import.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from resources.plugins import load_plugins
from resources.reconciliation.audit.calibration import Calibration
from resources.reconciliation.drift import Severity

Judge = Callable[[Any, Calibration], np.ndarray]
PLUGINS = "rag_assets.vector_validators"
NAMED_BY_PROOF = ""
"""The drift type of a validator that only doubts: embedding the text again tells what the vectors are instead."""


@dataclass(frozen=True)
class VectorValidator:
    """`judge` gets a `Block` of rows (with `table`, the `Summary` of all) and returns whether each is bad, bool (n,).

    What an exact one finds is proven. What a statistical one finds is doubted, and reported only when embedding the
    text again gives other vectors. `severity` holds while only the candidate has the row; served by live, it is
    critical.
    """

    name: str
    drift: str
    severity: Severity
    exact: bool
    table: bool
    judge: Judge
    description: str
    whole_row: bool = False


_VALIDATORS: dict[str, VectorValidator] = {}


def vector_validator(
    drift: str,
    *,
    exact: bool,
    table: bool = False,
    severity: Severity = Severity.HIGH,
    name: str = "",
    whole_row: bool = False,
) -> Callable[[Judge], Judge]:
    """Register a function as the validator of a drift type; its docstring's first line says what it finds.

    Where several find fault with a row, the one registered first names it.
    """

    def register(judge: Judge) -> Judge:
        chosen = name or judge.__name__
        if chosen in _VALIDATORS:
            raise ValueError(f"two validators are called {chosen!r}")
        description = (judge.__doc__ or drift).strip().splitlines()[0]
        _VALIDATORS[chosen] = VectorValidator(chosen, drift, severity, exact, table, judge, description, whole_row)
        return judge

    return register


@cache
def vector_validators() -> tuple[VectorValidator, ...]:
    """Return all validators in the order in which they name a row's fault: exact ones first, the checksum last."""
    load_plugins(PLUGINS)
    return tuple(_VALIDATORS.values())
