"""A corpus of real text in a folder of its own, and the command line as a user runs it: another process."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Result:
    """How a command ended. `out` is standard output, `err` standard error."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@dataclass(frozen=True)
class Project:
    """A folder with a user's `rag.yaml`, and the commands run in it."""

    folder: Path

    @property
    def home(self) -> Path:
        return self.folder / ".rag"

    @property
    def environment(self) -> dict[str, str]:
        ours = ("RAG_HOME", "RAG_CONFIG", "DAGSTER_HOME")
        return {name: value for name, value in os.environ.items() if name not in ours}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "rag_assets", *arguments]

    def run(self, *arguments: str) -> Result:
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Result(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def project(tmp_path) -> Project:
    folder = tmp_path / "project"
    folder.mkdir()
    return Project(folder)


@pytest.fixture
def documents(project) -> Path:
    """Twelve of Python's help topics as text files in the project's folder `docs`."""
    from pydoc_data.topics import topics

    folder = project.folder / "docs"
    folder.mkdir()
    for name in sorted(topics)[:12]:
        (folder / f"{name}.txt").write_text(topics[name], "utf-8")
    return folder


class Killer:
    """Starts `reconcile run` as a user would, and kills it when something is seen."""

    def kill_at(self, bench, seen):
        command = [sys.executable, "-m", "rag_assets", "reconcile", "run"]
        process = subprocess.Popen(command, cwd=bench.folder, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
        while process.poll() is None and not seen():
            time.sleep(0.01)
        assert process.poll() is None, process.communicate()
        process.kill()
        process.communicate()


@pytest.fixture
def project_runner() -> Killer:
    return Killer()
