"""Which process works on a run, and what becomes of runs whose process is gone.

Dagster leaves a killed in-process run STARTED for ever, with its pool slot. Each run therefore carries its process in
its tags (where steps are processes of their own, the one that starts them), and the next start (or the sensor's tick)
reports the dead ones failed and frees what they held.
"""

import dagster as dg

from resources.settings import Settings
from resources.store.lease import Process
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
    """Return the tags that say that this process works on a run."""
    process = Process.current()
    return {HOST_TAG: process.host, PROCESS_TAG: f"{process.pid}:{process.started:.2f}"}


def mark_run(instance: dg.DagsterInstance, run_id: str) -> None:
    """Tag a run with this process."""
    instance.add_run_tags(run_id, process_tags())


def process_of(run: dg.DagsterRun) -> Process | None:
    """Return the process that works on a run, None when its tags do not say."""
    pid, _, started = run.tags.get(PROCESS_TAG, "").partition(":")
    return Process(run.tags.get(HOST_TAG, ""), int(pid), float(started)) if started else None


def run_has_ended(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether Dagster knows the run and knows it to be over."""
    run = instance.get_run_by_id(run_id)
    return run is not None and run.is_finished


def free_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Report runs failed whose process on this host is gone, free their pool slots, and return their ids."""
    dead = []
    for run in instance.get_runs(filters=dg.RunsFilter(statuses=UNFINISHED)):
        process = process_of(run)
        if process is not None and process.is_gone():
            instance.report_run_failed(
                run,
                "The process of this run is gone (killed, or the machine stopped). Run it again: what was "
                "committed is kept.",
            )
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            dead.append(run.run_id)
    return dead


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
