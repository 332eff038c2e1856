"""Runs that failed, said once and aloud.

A failed run leaves its drift behind, so the drift sensor tries again, a bounded number of times; nothing is started
here. Not here: runs whose process died before it could fail (`dead_runs`).
"""

import dagster as dg
import structlog
from dagster._core.storage.tags import PARTITION_NAME_TAG

from resources.settings import Settings
from sensors.graph import REASON_TAG, status

log = structlog.get_logger(__name__)


def failed_runs_sensor(settings: Settings) -> dg.SensorDefinition:
    """Return the sensor that reports each failed run of a corpus."""

    @dg.run_failure_sensor(
        name="failed_runs",
        minimum_interval_seconds=settings.automation.failed_runs.seconds,
        default_status=status(settings.automation.failed_runs.enabled),
        description="Reports each failed run with its corpus, its step and its error.",
    )
    def failed_runs(context: dg.RunFailureSensorContext) -> dg.SkipReason:
        run = context.dagster_run
        corpus = run.tags.get(PARTITION_NAME_TAG, "")
        failures = {event.step_key or "": cause(event) for event in context.get_step_failure_events()}
        failures = failures or {"": context.failure_event.message or "the run failed"}
        for step, error in failures.items():
            why = run.tags.get(REASON_TAG, "")
            log.error("run failed", corpus=corpus, run=run.run_id, step=step, reason=why, error=error)
        first = next(iter(failures.values()))
        return dg.SkipReason(f"run {run.run_id} of {corpus or 'no corpus'} failed: {first}")

    return failed_runs


def cause(event: dg.DagsterEvent) -> str:
    """Say in one line why a step failed."""
    data = event.step_failure_data
    if data.user_failure_data is not None and data.user_failure_data.description:
        return str(data.user_failure_data.description)
    error = data.error
    while error is not None and error.cause is not None:
        error = error.cause
    return " ".join(error.message.split()) if error is not None else "the step failed"
