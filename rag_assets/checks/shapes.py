"""How a verdict about a corpus becomes asset check results. Not here: any particular check."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from rag_assets.corpora import CorporaResource
from rag_assets.partitions import CORPUS
from resources.corpus import Corpus
from resources.store.writer import CorpusWriter

SHOWN_IDS = 100


@dataclass(frozen=True)
class Verdict:
    """What a check found. `blocks`: whether a failure stops everything downstream, or is a warning."""

    check: str
    passed: bool
    blocks: bool = True
    metadata: Mapping[str, Any] = field(default_factory=dict)


def audit(
    asset: str,
    checks: Mapping[str, str],
    run: Callable[[Corpus, CorpusWriter], Iterable[Verdict]],
    informative: Collection[str] = (),
) -> dg.AssetChecksDefinition:
    """Define the checks of one asset, name → description, all judged in one step by `run`.

    The `informative` ones never block.
    """
    specs = [
        dg.AssetCheckSpec(
            name, asset=dg.AssetKey(asset), description=text, blocking=name not in informative, partitions_def=CORPUS
        )
        for name, text in checks.items()
    ]

    @dg.multi_asset_check(name=f"audit_{asset}", specs=specs)
    def audit_asset(context: dg.AssetCheckExecutionContext, corpora: CorporaResource) -> Iterator[dg.AssetCheckResult]:
        keys = {spec.name: spec.asset_key for spec in context.check_specs}
        with corpora.writing(context) as (corpus, writer):
            verdicts = list(run(corpus, writer))
        for verdict in verdicts:
            if verdict.check in keys:
                severity = dg.AssetCheckSeverity.ERROR if verdict.blocks else dg.AssetCheckSeverity.WARN
                yield dg.AssetCheckResult(
                    asset_key=keys[verdict.check],
                    check_name=verdict.check,
                    passed=verdict.passed,
                    severity=severity,
                    metadata=dict(verdict.metadata),
                )

    return audit_asset


def ids_metadata(ids: list[str]) -> dict[str, Any]:
    """Return how many ids are affected, and the first of them."""
    return {"affected": len(ids), "ids": dg.MetadataValue.json(ids[:SHOWN_IDS])} if ids else {"affected": 0}
