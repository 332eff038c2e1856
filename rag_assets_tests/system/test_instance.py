"""The Dagster instance: made ready once, silent to the outside, the user's files left alone, no dead runs in it."""

import multiprocessing
import os
import time
from importlib.resources import files
from pathlib import Path
from uuid import uuid4

import dagster as dg
import pytest
from sqlalchemy import text

from rag_assets.instance import open_instance, prepare, storage_kept_open, write_environment
from rag_assets.partitions import CORPUS
from resources.settings import load_settings
from sensors.dead_runs import free_dead_runs, process_tags

POOL = "held"


@dg.asset
def _asset() -> None:
    pass


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", "")  # counts as unset; `prepare` sets it, monkeypatch takes that back
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rag.yaml").write_text("corpora:\n  handbook: {}\n  minutes: {}\n", "utf-8")
    return load_settings()


def modified(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_nothing_is_sent_and_nobody_is_asked(settings):
    with open_instance(settings):
        pass
    with dg.DagsterInstance.get() as instance:
        assert instance.telemetry_enabled is False
        assert instance.nux_enabled is False, "no dialog that asks for an e-mail address"


def test_corpora_become_partitions_once(settings):
    for _ in range(2):
        with open_instance(settings) as instance:
            assert sorted(instance.get_dynamic_partitions(str(CORPUS.name))) == ["handbook", "minutes"]


def test_env_gets_an_absolute_home_and_keeps_its_other_lines(settings, tmp_path):
    (tmp_path / ".env").write_text("TOKEN=secret\nDAGSTER_HOME=elsewhere\n# a note\n", "utf-8")
    path = write_environment(tmp_path, settings)
    assert path.read_text("utf-8").splitlines() == [
        "TOKEN=secret",
        "# a note",
        f"DAGSTER_HOME={tmp_path / '.rag' / 'dagster'}",
    ]
    assert (tmp_path / ".rag" / "dagster" / "dagster.yaml").read_bytes() == files("rag_assets").joinpath(
        "dagster.yaml"
    ).read_bytes()


def test_preparing_again_changes_nothing(settings, tmp_path):
    write_environment(tmp_path, settings)
    before = modified(tmp_path)
    write_environment(tmp_path, settings)
    assert modified(tmp_path) == before


def test_a_dagster_yaml_of_the_user_is_left_alone(settings):
    settings.dagster_home.mkdir(parents=True)
    own = settings.dagster_home / "dagster.yaml"
    own.write_text("telemetry: {enabled: false}\nrun_retries: {enabled: true}\n", "utf-8")
    before = modified(settings.dagster_home)
    prepare(settings)
    assert modified(settings.dagster_home) == before
    with open_instance(settings) as instance:
        assert instance.run_retries_enabled


def work_for_ever(home, reached):
    """Hold a slot of the pool in a run of this process, and say which run that is."""
    os.environ["DAGSTER_HOME"] = home

    @dg.op(pool=POOL)
    def wait(context: dg.OpExecutionContext) -> None:
        reached.put(context.run_id)
        time.sleep(600)

    @dg.job
    def waiting() -> None:
        wait()

    with dg.DagsterInstance.get() as instance:
        waiting.execute_in_process(instance=instance, tags=process_tags())


def test_a_killed_run_is_reported_failed_and_a_living_one_left_alone(settings):
    spawn = multiprocessing.get_context("spawn")
    with open_instance(settings) as instance:
        instance.event_log_storage.set_concurrency_slots(POOL, 2)
        workers = []
        try:
            for _ in range(2):
                reached = spawn.Queue()
                worker = spawn.Process(target=work_for_ever, args=(str(settings.dagster_home), reached), daemon=True)
                worker.start()
                workers.append((worker, reached.get(timeout=120)))
            (doomed, dead), (_, living) = workers
            assert slots(instance) == {dead, living}
            assert free_dead_runs(instance) == [], "both live"

            doomed.kill()
            doomed.join()
            assert instance.get_run_by_id(dead).status == dg.DagsterRunStatus.STARTED, "Dagster does not notice"
            assert free_dead_runs(instance) == [dead]
            assert instance.get_run_by_id(dead).status == dg.DagsterRunStatus.FAILURE
            assert instance.get_run_by_id(living).status == dg.DagsterRunStatus.STARTED
            assert slots(instance) == {living}
            assert free_dead_runs(instance) == [], "a second look finds nothing"
        finally:
            for worker, _ in workers:
                worker.kill()
                worker.join()


def slots(instance):
    return set(instance.event_log_storage.get_concurrency_info(POOL).active_run_ids)


def test_a_runs_storage_is_kept_open_and_left_as_it_was(settings):
    with open_instance(settings) as instance:
        run_id = str(uuid4())
        storage = instance.event_log_storage

        def waits_for_the_disk():
            with storage.index_connection() as connection:
                return connection.execute(text("PRAGMA synchronous")).scalar() == 2

        assert waits_for_the_disk()
        with storage_kept_open(instance, run_id):
            assert not waits_for_the_disk()
            job = dg.Definitions([_asset]).resolve_implicit_global_asset_job_def()
            assert job.execute_in_process(instance=instance, run_id=run_id).success
            assert Path(f"{storage.path_for_shard(run_id)}-wal").exists()
        assert waits_for_the_disk()
        assert not Path(f"{storage.path_for_shard(run_id)}-wal").exists()
        assert [one.dagster_event_type for one in instance.all_logs(run_id)][-1] == dg.DagsterEventType.RUN_SUCCESS
