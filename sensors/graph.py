"""What sensors know of the asset graph: names and keys, never the assets themselves.

Also what identifies a run of a corpus, and the settings as they are at this tick. Not here: what makes a sensor act.
"""

from collections.abc import Sequence
from typing import Protocol

import dagster as dg
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster._core.storage.tags import PARTITION_NAME_TAG

from resources.settings import Settings

PARTITIONS = "corpus"
JOB = "search_ready"
ASSETS = ("documents", "chunks", "token_embeddings", "dense_index", "bm25_index", "ragas_report", "snapshot")
REASON_TAG = "rag/reason"
PLAN_TAG = "rag/plan"
REPAIR_TAG = "rag/repair"
BUSY = [one for one in dg.DagsterRunStatus if one not in {*FINISHED_STATUSES, dg.DagsterRunStatus.MANAGED}]


class Corpora(Protocol):
    """The resource `corpora`, as far as a sensor needs it: `rag.yaml`, read anew at each tick."""

    def settings(self) -> Settings:
        """Read the settings. Raises SettingsError."""
        ...


def asset_key(settings: Settings, asset: str) -> dg.AssetKey:
    """Return the key of an asset, under the configured prefix."""
    return dg.AssetKey([*settings.asset_key_prefix, asset])


def check_key(settings: Settings, asset: str, check: str) -> dg.AssetCheckKey:
    """Return the key of a check of one of the assets."""
    return dg.AssetCheckKey(asset_key(settings, asset), check)


def status(enabled: bool) -> dg.DefaultSensorStatus:
    """Return whether a sensor runs until somebody switches it in the UI."""
    return dg.DefaultSensorStatus.RUNNING if enabled else dg.DefaultSensorStatus.STOPPED


def busy_run(instance: dg.DagsterInstance, settings: Settings, corpus: str) -> str | None:
    """Return the run of this corpus that is queued or in progress, if there is one."""
    return next((run.run_id for run in _runs(instance, settings, corpus, BUSY)), None)


def newest_run(instance: dg.DagsterInstance, corpus: str) -> tuple[int, dg.DagsterRunStatus | None]:
    """Return the storage id and status of the newest run with this partition; 0 and None when there is none."""
    filters = dg.RunsFilter(tags={PARTITION_NAME_TAG: corpus})
    for record in instance.get_run_records(filters, limit=1):
        return record.storage_id, record.dagster_run.status
    return 0, None


def _runs(
    instance: dg.DagsterInstance, settings: Settings, corpus: str, statuses: Sequence[dg.DagsterRunStatus]
) -> list[dg.DagsterRun]:
    """Return the runs of this corpus; another code location's with a partition of the same name are left out."""
    ours = {asset_key(settings, name) for name in ASSETS}
    runs = instance.get_runs(dg.RunsFilter(tags={PARTITION_NAME_TAG: corpus}, statuses=list(statuses)))
    return [run for run in runs if _touches(run, ours)]


def _touches(run: dg.DagsterRun, ours: set[dg.AssetKey]) -> bool:
    checked = {key.asset_key for key in run.asset_check_selection or ()}
    named = checked | set(run.asset_selection or ())
    return not named or bool(named & ours)
