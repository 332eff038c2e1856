"""Which process works on a run, and what becomes of runs whose process is gone.

Dagster leaves a killed in-process run STARTED for ever, with its pool slot. Each run therefore carries its process in
its tags, and the next start (or the sensor's tick) reports the dead ones failed and frees what they held.
"""

import os

import dagster as dg
import psutil

from resources.settings import Settings
from resources.store.lease import process_runs, process_start, this_host
from sensors.graph import status

HOST_TAG = ".dagster/rag_host"  # the prefix keeps them out of the UI's list of runs
PROCESS_TAG = ".dagster/rag_process"
UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def process_tags() -> dict[str, str]:
    """Return the tags that say which process works on a run."""
    return {HOST_TAG: this_host(), PROCESS_TAG: f"{os.getpid()}:{process_start(psutil.Process()):.2f}"}


def mark_run(instance: dg.DagsterInstance, run_id: str) -> None:
    """Tag a run with this process, unless it carries that already."""
    run = instance.get_run_by_id(run_id)
    tags = process_tags()
    if run is not None and any(run.tags.get(key) != value for key, value in tags.items()):
        instance.add_run_tags(run_id, tags)


def run_has_ended(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether Dagster knows the run and knows it to be over."""
    run = instance.get_run_by_id(run_id)
    return run is not None and run.is_finished


def free_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Report runs failed whose process on this host is gone, free their pool slots, and return their ids."""
    dead = []
    for run in instance.get_runs(filters=dg.RunsFilter(statuses=UNFINISHED)):
        if run.tags.get(HOST_TAG) == this_host() and not _is_alive(run.tags.get(PROCESS_TAG, "")):
            instance.report_run_failed(
                run,
                "The process of this run is gone (killed, or the machine stopped). Run it again: what was "
                "committed is kept.",
            )
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            dead.append(run.run_id)
    return dead


def _is_alive(process: str) -> bool:
    pid, _, started = process.partition(":")
    return bool(started) and process_runs(int(pid), float(started))


def dead_runs_sensor(settings: Settings) -> dg.SensorDefinition:
    """Return the sensor that frees what killed runs still hold."""

    @dg.sensor(
        name="dead_runs",
        minimum_interval_seconds=settings.automation.dead_runs.seconds,
        default_status=status(settings.automation.dead_runs.enabled),
        description="Reports runs failed whose process is gone, and frees their pool slots.",
    )
    def dead_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        dead = free_dead_runs(context.instance)
        return dg.SkipReason(f"reported failed: {', '.join(dead)}" if dead else "no dead runs")

    return dead_runs
