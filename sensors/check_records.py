"""The newest evaluation of each check of a corpus as Dagster keeps it, and evaluations that a sensor reports itself.

The only module that knows Dagster's internal check records. Not here: what is made of them.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg
import sqlalchemy
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData as Target,
)
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus as Status
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable as Evaluations
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage

BY_SENSOR = "sensor-"
VERDICTS = {Status.SUCCEEDED: True, Status.FAILED: False}


@dataclass(frozen=True)
class CheckRecord:
    """The newest evaluation of a check. `by_sensor`: reported without a run."""

    key: dg.AssetCheckKey
    corpus: str
    passed: bool
    storage_id: int
    by_sensor: bool


def newest_records(
    instance: dg.DagsterInstance, keys: Iterable[dg.AssetCheckKey], corpora: Collection[str]
) -> list[CheckRecord]:
    """Return the newest evaluation of each check and corpus that has one; those still to be evaluated are left out."""
    found = instance.event_log_storage.get_asset_check_partition_info(list(keys))
    return [
        CheckRecord(
            one.check_key,
            str(one.partition_key),
            VERDICTS[one.latest_execution_status],
            one.latest_check_event_storage_id,
            not one.latest_planned_run_id or one.latest_planned_run_id.startswith(BY_SENSOR),
        )
        for one in found
        if one.partition_key in corpora and one.latest_execution_status in VERDICTS
    ]


def is_error(instance: dg.DagsterInstance, record: CheckRecord) -> bool:
    """Whether a failed check is an error, which stops what is downstream, and not a warning."""
    history = instance.event_log_storage.get_asset_check_execution_history(
        record.key, limit=1, status={Status.FAILED}, partition_filter=PartitionKeyFilter(key=record.corpus)
    )
    evaluation = history[0].evaluation if history else None
    return evaluation is not None and evaluation.severity == dg.AssetCheckSeverity.ERROR


def evaluation(
    instance: dg.DagsterInstance,
    key: dg.AssetCheckKey,
    corpus: str,
    *,
    passed: bool,
    metadata: Mapping[str, Any],
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
) -> dg.AssetCheckEvaluation:
    """Return an evaluation to report without a run, of what the corpus was last materialised to."""
    _make_room(instance, key, corpus)
    wanted = dg.AssetRecordsFilter(asset_key=key.asset_key, asset_partitions=[corpus])
    records = instance.fetch_materializations(wanted, limit=1).records
    targets = [Target(run_id=one.run_id, storage_id=one.storage_id, timestamp=one.timestamp) for one in records]
    return dg.AssetCheckEvaluation(
        asset_key=key.asset_key,
        check_name=key.name,
        passed=passed,
        metadata=dict(metadata),
        severity=severity,
        partition=corpus,
        target_materialization_data=targets[0] if targets else None,
    )


def _make_room(instance: dg.DagsterInstance, key: dg.AssetCheckKey, corpus: str) -> None:
    """Give an earlier evaluation without a run a name of its own.

    Dagster's table of evaluations is unique by check, partition and run, and "no run" counts as one: storing a second
    evaluation without a run of the same partition fails. Renamed, the earlier one stays in the check's history.
    """
    storage = instance.event_log_storage
    if isinstance(storage, SqlEventLogStorage):
        of_sensor = (
            Evaluations.c.asset_key == key.asset_key.to_string(),
            Evaluations.c.check_name == key.name,
            Evaluations.c.partition == corpus,
            Evaluations.c.run_id == "",
        )
        with storage.index_connection() as connection:
            named = sqlalchemy.literal(BY_SENSOR) + sqlalchemy.cast(Evaluations.c.id, sqlalchemy.String)
            connection.execute(Evaluations.update().where(*of_sensor).values(run_id=named))
