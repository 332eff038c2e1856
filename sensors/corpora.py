"""The corpora of `rag.yaml` as Dagster's partitions.

A corpus that is configured or stored becomes a partition; one that is neither any more stops being one. Its data is
never touched: configure it again, and it is back. Partitions that this sensor never saw as its corpora are another code
location's.
"""

import json
from collections.abc import Iterable

import dagster as dg

from resources.corpus import corpus_names
from resources.settings import Settings
from sensors.graph import PARTITIONS, Corpora, status


def new_corpora(instance: dg.DagsterInstance, names: Iterable[str]) -> list[str]:
    """Return those of `names` that are no partition yet."""
    known = set(instance.get_dynamic_partitions(PARTITIONS))
    return [name for name in names if name not in known]


def register_corpora(instance: dg.DagsterInstance, names: Iterable[str]) -> None:
    """Make these corpora partitions."""
    if new := new_corpora(instance, names):
        instance.add_dynamic_partitions(PARTITIONS, new)


def corpora_sensor(settings: Settings) -> dg.SensorDefinition:
    """Return the sensor that keeps the partitions in step with the corpora."""

    @dg.sensor(
        name="corpora",
        minimum_interval_seconds=settings.automation.corpora.seconds,
        default_status=status(settings.automation.corpora.enabled),
        description="Makes every corpus of rag.yaml a partition, and forgets those that are gone; data is not touched.",
    )
    def corpora_(context: dg.SensorEvaluationContext, corpora: dg.ResourceParam[Corpora]) -> dg.SensorResult:
        wanted = corpus_names(corpora.settings())
        new = new_corpora(context.instance, wanted)
        ours = set(json.loads(context.cursor or "[]"))
        gone = sorted(ours.difference(wanted).intersection(context.instance.get_dynamic_partitions(PARTITIONS)))
        cursor = json.dumps(wanted)
        changes: list[dg.AddDynamicPartitionsRequest | dg.DeleteDynamicPartitionsRequest] = []
        if new:
            changes.append(dg.AddDynamicPartitionsRequest(PARTITIONS, new))
        if gone:
            changes.append(dg.DeleteDynamicPartitionsRequest(PARTITIONS, gone))
            context.log.warning(f"no longer configured: {', '.join(gone)}; their data stays where it is")
        if not changes:
            known = dg.SkipReason(f"{len(wanted)} corpora, all of them partitions")
            return dg.SensorResult(skip_reason=known, cursor=cursor)
        return dg.SensorResult(dynamic_partitions_requests=changes, cursor=cursor)

    return corpora_
