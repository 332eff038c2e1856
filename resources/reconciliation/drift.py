"""What drift is, and how a validator that finds some is registered.

A validator is a function from a `SystemState` to issues: `@validator("documents")` names the asset it judges, and how
deep it must look. Packages add theirs through the entry point group `rag_assets.validators` (name = any, value = a
module that registers when imported). Not here: any particular drift (`analyse`), and what repairs it (`remedies`).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from resources.plugins import load_plugins

if TYPE_CHECKING:
    from resources.reconciliation.observe import SystemState

VALIDATORS = "rag_assets.validators"
Place = Literal["source", "candidate", "live", "both"]
Depth = Literal["scan", "checksum", "reembed"]
DEPTHS: tuple[Depth, ...] = ("scan", "checksum", "reembed")
SHOWN_IDS = 1000


class Severity(IntEnum):
    """How bad a drift is. Up to LOW the desired state holds."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4


@dataclass(frozen=True)
class DriftIssue:
    """One kind of deviation: `affected` ids (documents or chunks), where they are wrong, and the action that repairs
    them.

    `asset`: whose check shows it; `analyse` fills it in from the validator.
    """

    type: str
    severity: Severity
    where: Place
    affected: int
    ids: tuple[str, ...]
    action: str
    description: str
    asset: str = ""

    @property
    def key(self) -> str:
        """What attempts, incidents and acknowledgements are remembered under."""
        return f"{self.type}@{self.where}"

    def as_json(self) -> dict[str, Any]:
        """Return the issue as the command line prints it, with at most 1,000 ids."""
        return asdict(self) | {"severity": self.severity.name.lower(), "ids": list(self.ids[:SHOWN_IDS])}


def issue(
    type_: str,
    severity: Severity,
    where: Place,
    ids: Sequence[str],
    action: str,
    description: str,
    affected: int | None = None,
) -> Iterator[DriftIssue]:
    """Yield an issue when anything is affected; `{n}` in the description becomes their number."""
    count = len(ids) if affected is None else affected
    if count:
        yield DriftIssue(type_, severity, where, count, tuple(ids), action, description.format(n=count))


def holds(issues: Iterable[DriftIssue]) -> bool:
    """Whether the desired state holds: nothing worse than LOW."""
    return all(one.severity <= Severity.LOW for one in issues)


Find = Callable[["SystemState"], Iterable[DriftIssue]]
F = TypeVar("F", bound=Find)


@dataclass(frozen=True)
class Validator:
    """A function that finds drift of one asset. `depth`: how much of the store it reads."""

    name: str
    asset: str
    depth: Depth
    find: Find

    def run(self, state: "SystemState") -> Iterator[DriftIssue]:
        """Yield what it finds, each issue with its asset."""
        for found in self.find(state):
            yield replace(found, asset=found.asset or self.asset)


_validators: dict[str, Validator] = {}


def validator(asset: str, *, depth: Depth = "scan", name: str | None = None) -> Callable[[F], F]:
    """Register the decorated function as a validator of `asset`; its name is the function's unless one is given."""

    def register(find: F) -> F:
        chosen = name or find.__name__.strip("_")
        _validators[chosen] = Validator(chosen, asset, depth, find)
        return find

    return register


def validators(assets: Iterable[str], depth: Depth = "scan") -> list[Validator]:
    """Return the validators of these assets that look no deeper than `depth`, asset by asset."""
    load_plugins(VALIDATORS)
    allowed = DEPTHS[: DEPTHS.index(depth) + 1]
    return [one for asset in assets for one in _validators.values() if one.asset == asset and one.depth in allowed]
