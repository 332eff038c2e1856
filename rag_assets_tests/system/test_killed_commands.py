"""What a person says, killed between any two of its steps: the same command works afterwards, nothing was half said.

The kill comes at the k-th file that the command is about to put in its place, for every k.
"""

import shutil
import signal
import subprocess
import sys

import pytest

from rag_assets_tests.system.test_damage import run
from resources.corpus import open_corpus
from resources.reconciliation.consent import is_approved
from resources.reconciliation.decision import decide
from resources.reconciliation.memory import read_memory
from resources.retrieval.pipelines import retrieve
from resources.retrieval.snapshot import open_live
from resources.settings import load_settings

SETTINGS = "corpora: {default: {auto_repair: {max_chunks: 3}, sources: [{type: folder, path: docs}]}}"
KILLED_AT = """
import os, sys
left = int(sys.argv[1])
def step(event, arguments):
    global left
    if event in ("os.rename", "os.link") and "corpora" in str(arguments[1]):
        left -= 1
        if not left:
            os.kill(os.getpid(), 9)
sys.addaudithook(step)
from rag_assets.cli.app import app
app(sys.argv[2:])
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Two snapshots; then 12 of 15 documents vanish from the source and 5 are new: held, and to be approved."""
    folder = tmp_path_factory.mktemp("killed")
    (folder / "docs").mkdir()
    (folder / "rag.yaml").write_text(SETTINGS.replace("3", "300"))
    for number in range(14):
        (folder / "docs" / f"{number:02}.txt").write_text(f"Lighthouse number {number} has a keeper.")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAG_HOME", raising=False)
        run(folder)
        (folder / "docs" / "more.txt").write_text("A note on bridges.")
        run(folder)
    for number in range(12):
        (folder / "docs" / f"{number:02}.txt").unlink()
    for number in range(5):
        (folder / "docs" / f"new-{number}.txt").write_text(f"Bridge number {number} has a toll.")
    (folder / "rag.yaml").write_text(SETTINGS)
    return folder


@pytest.fixture
def folder(built, tmp_path, monkeypatch):
    monkeypatch.delenv("RAG_HOME", raising=False)
    return shutil.copytree(built, tmp_path / "copy")


def opened(folder):
    return open_corpus(load_settings(folder / "rag.yaml"), "default")


def plan_of(folder):
    return decide(opened(folder), "search-ready").plan


def is_paused(folder):
    return read_memory(opened(folder).store).paused is not None


def is_acknowledged(folder):
    return "removals_held" in read_memory(opened(folder).store).acknowledged


def is_plan_approved(folder):
    corpus = opened(folder)
    return is_approved(read_memory(corpus.store), corpus, plan_of(folder))


def is_confirmed(folder):
    return len(read_memory(opened(folder).store).confirmed.get("folder", ())) == 12


def is_rolled_back(folder):
    live = opened(folder).store.snapshots.live()
    return live.pinned and live.restored_from == 1


COMMANDS = {
    "pause": (("reconcile", "pause", "--reason", "moving house"), is_paused),
    "ack": (("reconcile", "ack", "removals_held", "--until", "2099-01-01"), is_acknowledged),
    "approve": (("reconcile", "approve", "PLAN"), is_plan_approved),
    "confirm": (("sources", "confirm", "folder"), is_confirmed),
    "rollback": (("snapshots", "rollback", "1"), is_rolled_back),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_killed_before_each_of_its_steps_it_works_when_it_is_given_again(folder, tmp_path, name):
    arguments, is_done = COMMANDS[name]
    arguments = [plan_of(folder).id if one == "PLAN" else one for one in arguments]
    assert not is_done(folder)
    kills = 0
    while True:
        trial = shutil.copytree(folder, tmp_path / f"trial-{kills}")
        command = [sys.executable, "-c", KILLED_AT, str(kills + 1), *arguments]
        first = subprocess.run(command, cwd=trial, capture_output=True, text=True, check=False)
        if first.returncode == 0:
            break
        assert first.returncode == -signal.SIGKILL, first.stderr
        kills += 1
        assert retrieve(open_live(opened(trial).store), ["lighthouse"], k=3)[0], "questions are answered"
        if not is_done(trial):
            again = [sys.executable, "-m", "rag_assets", *arguments]
            second = subprocess.run(again, cwd=trial, capture_output=True, text=True, check=False)
            assert second.returncode == 0, second.stderr
        assert is_done(trial)
    assert kills and is_done(trial)
