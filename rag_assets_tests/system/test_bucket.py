"""A corpus in a bucket through the commands a user types: built, healed, published, asked and rolled back there."""

import shutil
import subprocess
from itertools import count
from pydoc_data.topics import topics

import pytest

from rag_assets_tests.store.conftest import s3, s3_server  # noqa: F401 - fixtures
from rag_assets_tests.store.contract.stores import BUCKET
from rag_assets_tests.system.conftest import Project
from resources.corpus import open_corpus
from resources.reconciliation.observe import SystemState
from resources.settings import load_settings

# What a look may ask of the bucket, however many documents there are.
LOOK = 30
SLOW_DOWN = (503, {}, b"<Error><Code>SlowDown</Code></Error>")


@pytest.fixture
def project(tmp_path, s3):  # noqa: F811
    folder = tmp_path / "project"
    (folder / "docs").mkdir(parents=True)
    for name in sorted(topics)[:8]:
        (folder / "docs" / f"{name}.txt").write_text(topics[name], "utf-8")
    (folder / "rag.yaml").write_text(
        f"corpora: {{default: {{store: 's3://{BUCKET}/{tmp_path.parent.name}/e2e', "
        "sources: [{type: folder, path: docs}], chunking: {tokens: 64, overlap: 0}, evaluation: {sample: 5}}}"
    )
    return Project(folder)


def opened(project):
    settings = load_settings(project.folder / "rag.yaml")
    return open_corpus(settings, "default")


@pytest.mark.slow
def test_built_healed_published_asked_and_rolled_back(project, s3):  # noqa: F811
    build = subprocess.Popen(
        project.command("ensure", "search-ready", "--auto-fix"),
        cwd=project.folder,
        env=project.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    # In the middle of the build the connection is lost for good: one line, and what was committed stays.
    while build.poll() is None and not s3.count("PUT", "token_embeddings/"):
        pass
    s3.fail(10**6, SLOW_DOWN, method="PUT")
    _, errors = build.communicate()
    assert build.returncode != 0 and "Traceback" not in errors.splitlines()[-1]
    s3.faults.clear()
    left = SystemState(opened(project))
    assert left.candidate.chunks.num_rows and left.live is None

    # Throttled at every fifth request, it goes on where it stopped.
    numbers = count()
    s3.faults.append(lambda method, path: None if next(numbers) % 5 else SLOW_DOWN)
    done = project.run("ensure", "search-ready", "--auto-fix")
    assert done.code == 0, done.err
    s3.faults.clear()
    live = opened(project).store.snapshots.live()
    assert live.number == 1 and live.counts["documents"] == 8

    # A look is few requests; a question asked again from memory none at all.
    s3.requests.clear()
    assert project.run("ensure", "search-ready", "--validate-only").code == 0
    assert len(s3.requests) <= LOOK, s3.requests
    first = project.run("query", "assert statement")
    assert "assert.txt" in first.out
    s3.requests.clear()
    assert project.run("query", "assert statement").out == first.out
    assert not [path for _, path in s3.requests if "/indexes/" in path or "/data/" in path]
    assert len(s3.requests) <= 7, s3.requests

    # An index file deleted in the bucket is drift although the cache has it; the repair uploads it again.
    store = opened(project).store
    lost = next(path for path in store.files.list("indexes") if path.endswith(".faiss"))
    store.files.delete(lost)
    assert project.run("ensure", "search-ready", "--validate-only").code == 1
    assert project.run("reconcile", "run").code == 0
    assert lost in store.files.list("indexes") and store.indexes.lacks(live.dense) == []

    # A change is published; another machine answers from the bucket alone; and back again.
    (project.folder / "docs" / "new.txt").write_text("The zyxomma is a dragonfly.")
    assert project.run("reconcile", "run").code == 0
    shutil.rmtree(project.home / "corpora/default/cache")
    assert "new.txt" in project.run("query", "zyxomma").out
    assert project.run("snapshots", "rollback", "1").code == 0
    assert "new.txt" not in project.run("query", "zyxomma").out
    assert not (project.home / "corpora/default/documents.lance").exists(), "nothing of it lies here"


@pytest.mark.slow
def test_an_unknown_bucket_is_one_line_and_exit_code_2(project):
    rag = project.folder / "rag.yaml"
    rag.write_text(rag.read_text().replace(f"s3://{BUCKET}/", "s3://not-a-bucket-of-ours/"))
    for command in (("ensure", "search-ready", "--auto-fix"), ("query", "x"), ("reconcile", "status")):
        done = project.run(*command)
        assert done.code == 2 and "there is no such bucket" in done.err, (command, done)
        assert len([one for one in done.err.splitlines() if "no such bucket" in one]) == 1
