"""`kill -9` in the middle of a build, ten seeded times: nothing is lost, nothing half-published, nothing left hanging.

The corpus has a published snapshot; then most of its source changes, and each attempt to follow is killed at random.
After every kill the old snapshot still answers. At the end one run completes, and the result is the same as that of a
build that was never interrupted.
"""

import random
import signal
import subprocess
import time
from pydoc_data.topics import topics

import dagster as dg
import lance
import pytest

from resources.retrieval.pipelines import retrieve
from resources.retrieval.snapshot import open_live
from resources.store.lance_store import LanceStore
from resources.store.tables import CHUNKS, DOCUMENTS

KILLS = 10


def write(folder, names, suffix=""):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / f"{name}.txt").write_text(topics[name] + suffix, "utf-8")


def contents(store, table_path):
    documents = store.rows(DOCUMENTS, ("document_id", "text_hash", "fingerprint", "status")).to_pylist()
    chunks = store.rows(CHUNKS, ("chunk_id", "text_hash", "fingerprint", "tokens")).to_pylist()
    embeddings = lance.dataset(table_path).to_table(columns=["chunk_id", "text_hash", "fingerprint", "n_tokens"])
    return [sorted(map(str, rows)) for rows in (documents, chunks, embeddings.to_pylist())]


def embedded(corpus):
    tables = list((corpus / "token_embeddings").glob("*.lance"))
    return set(lance.dataset(tables[0]).to_table(columns=["chunk_id"])["chunk_id"].to_pylist()) if tables else set()


@pytest.mark.parametrize("seed", [20261120])
def test_killed_ten_times(project, tmp_path, monkeypatch, seed):
    names = sorted(topics)
    docs = project.folder / "docs"
    write(docs, names[:6])
    first = project.run("ensure", "search-ready", "--source", "folder:docs", "--auto-fix", "--json")
    assert first.code == 0, first.err
    corpus = project.home / "corpora" / "default"
    old = open_live(LanceStore(corpus, "default")).manifest.number

    write(docs, names[:40], "\n\nA closing paragraph that was not there before.\n")
    gone = names[5]
    (docs / f"{gone}.txt").unlink()
    dice = random.Random(seed)
    killed, kept = 0, embedded(corpus)
    for _ in range(KILLS):
        process = subprocess.Popen(
            project.command("ensure", "search-ready", "--auto-fix", "--json"),
            cwd=project.folder,
            env=project.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(dice.uniform(2.0, 14.0))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.wait()
        store = LanceStore(corpus, "default")
        view = open_live(store)
        live = view.manifest
        answers = retrieve(view, ["What does the assert statement do?"], k=3)[0]
        assert answers and answers[0].document_id == "folder:assert.txt", "the last snapshot answers"
        if live.number > old:
            found = {hit.document_id for hit in retrieve(view, [topics[gone][:200]], k=100)[0]}
            assert f"folder:{gone}.txt" not in found, "once removed, never found again"
        now = embedded(corpus)
        wanted = set(store.rows(CHUNKS, ("chunk_id",))["chunk_id"].to_pylist())
        assert kept & wanted <= now, "what was embedded stays embedded"
        kept = now
    assert killed >= KILLS // 2, "the kills came too late to prove anything"

    finished = project.run("ensure", "search-ready", "--auto-fix", "--json")
    assert finished.code == 0, finished.err
    assert project.run("ensure", "search-ready", "--auto-fix", "--json").json["run"] is None

    monkeypatch.setenv("DAGSTER_HOME", str(project.home / "dagster"))
    with dg.DagsterInstance.get() as instance:
        unfinished = [run for run in instance.get_runs() if not run.is_finished]
        assert not unfinished, "no run is left hanging"
        pools = instance.event_log_storage.get_concurrency_keys()
        assert all(not instance.event_log_storage.get_concurrency_info(pool).active_run_ids for pool in pools)

    whole = type(project)(tmp_path / "whole")
    whole.folder.mkdir()
    undisturbed = whole.run("ensure", "search-ready", "--source", f"folder:{docs}", "--auto-fix", "--json")
    assert undisturbed.code == 0, undisturbed.err
    results = []
    for home in (project.home, whole.home):
        store = LanceStore(home / "corpora" / "default", "default")
        [table] = (store.folder / "token_embeddings").glob("*.lance")
        results.append(contents(store, table))
    assert results[0] == results[1], "the same ids and fingerprints as a build that was never interrupted"
