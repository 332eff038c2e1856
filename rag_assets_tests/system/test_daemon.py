"""The daemon as a real process: rounds, signals, and an end within a second whatever a round is at."""

import json
import signal
import subprocess
import time

import pytest

from resources.store.lance_store import LanceStore


class Running:
    """A daemon started as a user would, with its log at hand."""

    def __init__(self, project, *options):
        self.log = project.folder / "daemon.log"
        self.file = self.log.open("w")
        self.process = subprocess.Popen(
            project.command("reconcile", "daemon", *options),
            cwd=project.folder,
            env=project.environment,
            stdout=subprocess.DEVNULL,
            stderr=self.file,
        )

    def events(self, name):
        lines = self.log.read_text("utf-8").splitlines()
        return [
            one for one in map(json.loads, filter(lambda line: line.startswith("{"), lines)) if one["event"] == name
        ]

    def wait_for(self, seen, seconds=300):
        until = time.monotonic() + seconds
        while not (found := seen()):
            assert self.process.poll() is None and time.monotonic() < until, self.log.read_text("utf-8")
            time.sleep(0.02)
        return found

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        started = time.monotonic()
        self.process.wait(10)
        return time.monotonic() - started


@pytest.fixture
def daemon(project):
    started = []

    def start(*options):
        started.append(Running(project, *options))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()
        one.file.close()


def configure(project):
    (project.folder / "rag.yaml").write_text("corpora: {default: {sources: [{type: folder, path: docs}]}}")


def test_a_round_is_forced_at_once_and_the_end_comes_within_a_second(project, documents, daemon):
    configure(project)
    assert project.run("reconcile", "pause").code == 0
    running = daemon("--interval", "3600")
    first = running.wait_for(lambda: running.events("round done"))[0]
    assert (first["exit_code"], first["forced"], first["next_in_seconds"]) == (1, False, 3600.0)
    running.process.send_signal(signal.SIGUSR1)
    second = running.wait_for(lambda: running.events("round done")[1:])[0]
    assert second["forced"]
    assert running.stop() < 1 and running.process.returncode == 0 and running.events("stopped")


def test_errors_are_tried_again_sooner_and_then_less_and_less(project, daemon):
    (project.folder / "rag.yaml").write_text(
        "reconcile: {error_retry: 1s, interval: 3s}\ncorpora: {default: {sources: [{type: nowhere}]}}"
    )
    running = daemon("--corpus", "default", "--max-iterations", "3")
    assert running.process.wait(300) == 2, "there is no such type of source"
    assert [one["next_in_seconds"] for one in running.events("round done")] == [1.0, 2.0]


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_repair_in_progress_is_interrupted_safely(project, documents, daemon, how):
    configure(project)
    corpus = project.home / "corpora" / "default"
    running = daemon("--interval", "3600")
    running.wait_for(lambda: (corpus / "documents.lance").exists())
    assert running.stop(how) < 1 and running.process.returncode == 0
    holder = LanceStore(corpus, "default").lease.holder()
    assert holder is None or holder.released or holder.process_is_gone(), "no round is left running"
    done = project.run("reconcile", "run", "--force", "--json")
    assert done.code == 0 and done.json["converged"], done.err
    assert project.run("reconcile", "history", "--verify").code == 0
