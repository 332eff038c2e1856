"""Dagster's webserver and daemon over a project, as `rag-assets ui` starts them, until the end of a block."""

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress


@contextmanager
def serving(project, log):
    """Run `rag-assets ui` on a free port until the end of the block, and yield its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with log.open("wb") as output:
        process = subprocess.Popen(
            project.command("ui", "--port", str(port)),
            cwd=project.folder,
            env=project.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_default_signals,
        )
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_until_it_answers(address, process, log)
        yield address
    finally:
        _end(process)


def _end(process):
    """End the whole group, gently first: code servers outlive their parent for a while."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=30)


def _default_signals():
    """Undo what a shell or a test runner in the background made ignored: `dagster dev` would copy it onto SIGTERM."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def _wait_until_it_answers(address, process, log):
    deadline = time.monotonic() + 180
    while True:
        try:
            with urllib.request.urlopen(f"{address}/server_info", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            assert process.poll() is None, f"the UI ended: {log.read_text('utf-8')}"
            assert time.monotonic() < deadline, f"the UI does not answer: {log.read_text('utf-8')}"
            time.sleep(0.5)
