"""How the runs of planned repairs ended, as far as they have. Only Dagster is asked here; `record` keeps the record."""

from datetime import timedelta

import dagster as dg
from dagster._core.storage.dagster_run import RunRecord

from resources.corpus import Corpus
from resources.errors import BudgetUsedError
from resources.reconciliation.memory import now, read_memory
from resources.reconciliation.record import End
from sensors.failed_runs import cause
from sensors.graph import REPAIR_TAG

UNSEEN = timedelta(minutes=5)
"""A repair without a run for so long will have none: its process was killed before, or Dagster did not take it up."""


def ended_repairs(instance: dg.DagsterInstance, corpus: Corpus) -> dict[str, End]:
    """Return the ends of the corpus's planned repairs, by id; those whose run is still to end are left out."""
    found = {}
    for repair, noted in read_memory(corpus.store).repairs.items():
        records = instance.get_run_records(dg.RunsFilter(tags={REPAIR_TAG: repair}), limit=1)
        if not records and noted.was_killed():
            found[repair] = End(None, success=False, problem="its process was killed before its run began")
        elif not records and now() - noted.planned > UNSEEN:
            found[repair] = End(None, success=False, problem="no run was started for it")
        elif records and records[0].dagster_run.is_finished:
            found[repair] = _end(instance, records[0])
    return found


def _end(instance: dg.DagsterInstance, record: RunRecord) -> End:
    run = record.dagster_run
    seconds = record.end_time - record.start_time if record.start_time and record.end_time else 0.0
    if run.is_success:
        return End(run.run_id, success=True, seconds=seconds)
    kinds = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_CANCELED}
    entries = instance.all_logs(run.run_id, of_type=kinds)
    events = [entry.dagster_event for entry in entries if entry.dagster_event is not None]
    step = next((event for event in events if event.is_step_failure), None)
    if step is not None:
        return End(run.run_id, success=False, problem=cause(step), seconds=seconds, stopped=_is_stopped(step))
    said = next((event.message for event in events if event.message), "the run failed")
    return End(run.run_id, success=False, problem=said, seconds=seconds)


def _is_stopped(event: dg.DagsterEvent) -> bool:
    """Whether its budget ended the step."""
    data = event.step_failure_data.user_failure_data
    name = data.metadata.get("error") if data is not None else None
    return name is not None and name.value == BudgetUsedError.__name__
