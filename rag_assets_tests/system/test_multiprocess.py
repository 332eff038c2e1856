"""`execution: multiprocess`: the steps of one run are processes that commit side by side under one lease.

One of them is killed. The others go on, another run is kept out, and the next run does what is left and no more.
"""

import json
import os
import signal
import subprocess
import time
from pydoc_data.topics import topics

import dagster as dg
import lance
import psutil
import pytest

from rag_assets.instance import open_instance
from resources.errors import LeaseHeldError
from resources.settings import load_settings
from resources.store.lance_store import LanceStore
from resources.store.tables import CHUNKS

SETTINGS = """
corpora:
  default:
    sources: [{type: folder, path: docs}]
    chunking: {tokens: 32, overlap: 0}
execution: {mode: multiprocess, max_concurrent: 2, per_step: 800}
"""
COMMIT = 512


@pytest.fixture
def built_in_two(project, monkeypatch):
    """A folder that is cut into two steps' worth of chunks, several commits each."""
    folder = project.folder / "docs"
    folder.mkdir()
    for name in sorted(topics)[:24]:
        (folder / f"{name}.txt").write_text(topics[name], "utf-8")
    (project.folder / "rag.yaml").write_text(SETTINGS, "utf-8")
    monkeypatch.setenv("DAGSTER_HOME", str(project.home / "dagster"))
    with open_instance(load_settings(project.folder / "rag.yaml")):
        return project


def embedding_rows(corpus):
    tables = list((corpus / "token_embeddings").glob("*.lance"))
    return lance.dataset(tables[0]).to_table(columns=["chunk_id", "text_hash"]).to_pylist() if tables else []


def step_processes():
    """Return the process of each step that embeds, as Dagster's own events name it."""
    with dg.DagsterInstance.get() as instance:
        started = [
            record.event_log_entry.dagster_event
            for run in instance.get_runs()
            for record in instance.get_records_for_run(run.run_id).records
            if record.event_log_entry.dagster_event_type == dg.DagsterEventType.STEP_WORKER_STARTED
        ]
    return {
        event.step_key: int(event.event_specific_data.metadata["pid"].value)
        for event in started
        if "do_token_embeddings" in event.step_key
    }


def written(log):
    """Return how many chunks each step says that it embedded, or copied from others of the same text."""
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    return [line["embedded"] + line["copied"] for line in lines if line["event"] == "token embeddings written"]


@pytest.mark.slow
def test_one_of_several_steps_at_work_is_killed(built_in_two):
    project, corpus = built_in_two, built_in_two.home / "corpora" / "default"
    command = project.command("ensure", "token-embeddings", "--auto-fix")
    with (project.folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=project.folder, env=project.environment, stdout=log, stderr=log)
        while process.poll() is None and len(steps := step_processes()) < 2:
            time.sleep(0.2)
        while process.poll() is None and len(embedding_rows(corpus)) < COMMIT:
            time.sleep(0.02)
        assert process.poll() is None, (project.folder / "log").read_text("utf-8")
        (doomed, victim), (_, other) = sorted(steps.items())
        store = LanceStore(corpus, "default")
        assert victim != other and psutil.pid_exists(victim) and psutil.pid_exists(other), "both are at work"
        holder = store.lease.holder()
        assert holder.pid == process.pid, "the lease is of the process that starts the steps"
        with pytest.raises(LeaseHeldError):
            store.lease.acquire("another run", wait=0)
        os.kill(victim, signal.SIGKILL)
        assert process.wait() == 2
    said = (project.folder / "log").read_text("utf-8")
    assert doomed in said and "Traceback" not in said, said[-2000:]
    assert store.lease.holder().number == holder.number and store.lease.holder().released

    chunks = {row["chunk_id"]: row["text_hash"] for row in store.rows(CHUNKS, ("chunk_id", "text_hash")).to_pylist()}
    kept = {row["chunk_id"] for row in embedding_rows(corpus)}
    [finished] = written(said)
    assert finished <= len(kept) < len(chunks), "the other step's work is there, and some of it is left"

    again = project.run("ensure", "token-embeddings", "--auto-fix", "--json")
    assert again.code == 0, again.err
    assert sum(written(again.err)) == len(chunks) - len(kept), "what was committed is not embedded again"
    rows = embedding_rows(corpus)
    assert len(rows) == len(chunks) and {row["chunk_id"]: row["text_hash"] for row in rows} == chunks
