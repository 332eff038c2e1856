"""Runs that failed are said aloud, once, with their corpus, step and error."""

from uuid import uuid4

import dagster as dg
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster_shared.record import copy
from structlog.testing import capture_logs

from sensors.graph import BUSY, busy_run, newest_run


def failed(desk):
    """Run the corpus over a folder that is not there; return the run."""
    desk.configure("{default: {sources: [{type: folder, path: gone}]}}")
    assert not desk.run("documents", tags={"rag/reason": "test"})
    return desk.instance.get_runs(limit=1)[0]


def test_a_failed_run_is_reported_with_its_cause(desk):
    run = failed(desk)
    event = desk.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)[0].dagster_event
    sensor = next(one for one in desk.definitions.sensors if one.name == "failed_runs")
    context = dg.build_run_status_sensor_context("failed_runs", event, desk.instance, run)
    with capture_logs() as logs:
        skipped = sensor(context.for_run_failure())
    (said,) = [one for one in logs if one["log_level"] == "error"]
    assert (said["event"], said["corpus"], said["run"], said["reason"]) == ("run failed", "default", run.run_id, "test")
    assert said["step"].endswith("plan_documents") and "gone" in said["error"]
    assert "gone" in skipped.skip_message and "\n" not in said["error"]


def test_a_corpus_is_busy_while_a_run_of_it_is_not_over(desk):
    run = failed(desk)
    selected = frozenset({dg.AssetKey("documents")})
    newest, _ = newest_run(desk.instance, "default")
    prefixed = desk.settings.model_copy(update={"asset_key_prefix": ("team", "kb")})
    assert dg.DagsterRunStatus.QUEUED in BUSY
    for status in {*BUSY, *FINISHED_STATUSES} - {dg.DagsterRunStatus.QUEUED}:  # to store that, a code server is needed
        new = desk.instance.add_run(copy(run, run_id=str(uuid4()), status=status, asset_selection=selected))
        busy = None if status in FINISHED_STATUSES else new.run_id
        assert busy_run(desk.instance, desk.settings, "default") == busy, status
        assert busy_run(desk.instance, desk.settings, "another") is None
        assert busy_run(desk.instance, prefixed, "default") is None, "another code location's run"
        found, its_status = newest_run(desk.instance, "default")
        assert found > newest and its_status == status
        assert newest_run(desk.instance, "another") == (0, None)
        desk.instance.delete_run(new.run_id)
