"""What bad input gets: one clear line and exit 2, or a failure row for that document alone; never a traceback."""

import json
import signal
import subprocess
import threading
import time

import pytest

from resources.store.files import LocalFiles
from resources.store.lance_store import LanceStore
from resources.store.lease import Lease
from resources.store.tables import DOCUMENTS


def beir(folder, corpus, queries='{"_id": "q", "text": "what is a"}\n', qrels="query-id\tcorpus-id\tscore\nq\ta\t1\n"):
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text(corpus)
    (folder / "queries.jsonl").write_text(queries)
    (folder / "qrels" / "test.tsv").write_text(qrels)
    return folder


def fails(result, *parts):
    lines = result.err.strip().splitlines()
    assert result.code == 2, (result.code, result.out, result.err)
    assert lines[-1].startswith("error: "), lines
    assert all(part in lines[-1] for part in parts), lines[-1]


@pytest.mark.parametrize(
    ("corpus", "parts"),
    [
        ('{"_id": "a", "text": "x"}\n{"_id": "b", "text": \n', ("corpus.jsonl:2",)),
        ('{"_id": "a", "text": "x"}\n{"_id": "a", "text": "y"}\n', ("corpus.jsonl", "a", "2", "1")),
    ],
)
def test_a_broken_beir_directory(project, corpus, parts):
    beir(project.folder / "set", corpus)
    fails(project.run("ensure", "search-ready", "--source", "beir:set", "--auto-fix"), *parts)
    fails(project.run("eval", "--beir", "set"), *parts)


def test_a_missing_file_of_a_beir_directory(project):
    (beir(project.folder / "set", '{"_id": "a", "text": "x"}\n') / "queries.jsonl").unlink()
    fails(project.run("eval", "--beir", "set"), "queries.jsonl")


def test_wrong_usage(project):
    fails(project.run("ensure", "search-ready", "--corpus", "nope"), "unknown corpus 'nope'", "default")
    fails(project.run("query", "anything"), "no snapshot yet", "rag-assets ensure")
    fails(project.run("ensure", "search-ready", "--source", "ftp:there"), "ftp", "beir", "folder", "pydoc")
    fails(
        project.run("ensure", "search-ready", "--source", "folder:nowhere", "--auto-fix"), "nowhere", "no such folder"
    )
    (project.folder / "rag.yaml").write_text("corpora: {default: {chunkin: {}}}")
    fails(project.run("corpora", "list"), "rag.yaml", "chunkin", "unknown key", "chunking")
    fails(project.run("corpora", "list", "--config", "other.yaml"), "other.yaml", "no such settings file")
    fails(project.run("init"), "rag.yaml exists already")
    assert project.run("ensure", "nonsense").code == 2


def test_a_store_folder_that_is_not_ours_is_left_alone(project, documents):
    foreign = project.home / "corpora" / "default"
    foreign.mkdir(parents=True)
    (foreign / "thesis.txt").write_text("mine")
    fails(project.run("ensure", "search-ready", "--source", "folder:docs", "--auto-fix"), "is not ours")
    assert [file.name for file in foreign.iterdir()] == ["thesis.txt"]


def test_bad_documents_become_rows_and_the_rest_goes_on(project, documents):
    (documents / "nul.txt").write_bytes(b"text\0with\0nul" * 20)
    (documents / "latin.txt").write_bytes(
        "Größenwahn und Übermut tun selten gut, heißt es im Märchen.".encode("latin-1")
    )
    (documents / "empty.txt").write_text("  \n ")
    (documents / "huge.txt").write_text("The same sentence, again and again. " * (50_000_000 // 36))
    built = project.run("ensure", "search-ready", "--source", "folder:docs", "--auto-fix", "--json")
    assert built.code == 0, built.err
    store = LanceStore(project.home / "corpora" / "default", "default")
    found = store.rows(DOCUMENTS, ("key", "status", "reason")).to_pylist()
    outcome = {row["key"]: (row["status"], row["reason"]) for row in found}
    assert outcome["empty.txt"][0] == "empty" and outcome["empty.txt"][1]
    assert outcome["nul.txt"][0] == "failed" and outcome["nul.txt"][1]
    assert outcome["latin.txt"][0] == "ok"
    assert outcome["huge.txt"] == (
        "failed",
        "49,999,968 characters of text are more than the 10,000,000 that max_characters allows",
    )
    assert [status for status, _ in outcome.values()].count("ok") == 13
    assert [(issue["type"], issue["affected"], issue["severity"]) for issue in built.json["issues"]] == [
        ("failed_documents", 2, "low")
    ]
    assert (
        project.run("query", "Übermut im Märchen", "--json").json["citations"][0]["document_id"] == "folder:latin.txt"
    )


def test_a_source_that_is_suddenly_empty_or_gone_removes_nothing(project, documents):
    assert project.run("ensure", "search-ready", "--source", "folder:docs", "--auto-fix").code == 0
    aside = project.folder / "aside"
    documents.rename(aside)
    gone = project.run("ensure", "search-ready", "--auto-fix", "--json")
    assert gone.code == 1 and [issue["type"] for issue in gone.json["issues"]] == ["source_unreachable"]
    assert "no such folder" in gone.json["issues"][0]["description"]
    documents.mkdir()
    emptied = project.run("ensure", "search-ready", "--auto-fix", "--json")
    assert emptied.code == 1
    assert [issue["type"] for issue in emptied.json["issues"]] == ["empty_source"]
    asked = project.run("query", "assert statement", "--json")
    assert asked.code == 0 and asked.json["citations"][0]["document_id"] == "folder:assert.txt"


def test_a_second_run_waits_for_the_lease_or_says_who_holds_it(project, documents):
    (project.folder / "rag.yaml").write_text(
        "corpora: {default: {lease_wait: 2s, sources: [{type: folder, path: docs}]}}"
    )
    LanceStore(project.home / "corpora" / "default", "default").create()
    lease = Lease(LocalFiles(project.home / "corpora" / "default"), "default")
    with lease.acquire("the-other-run", wait=0):
        fails(project.run("ensure", "search-ready", "--auto-fix"), "is being written by run the-other-run")
        (project.folder / "rag.yaml").write_text(
            "corpora: {default: {lease_wait: 2m, sources: [{type: folder, path: docs}]}}"
        )
        threading.Timer(12, lease.release, ["the-other-run"]).start()
        started = time.monotonic()
        waited = project.run("ensure", "search-ready", "--auto-fix", "--json")
        assert waited.code == 0 and time.monotonic() - started > 12, waited.err


def test_json_is_the_only_thing_on_standard_output(project, documents):
    built = project.run("ensure", "search-ready", "--source", "folder:docs", "--json")
    assert built.code == 1 and set(built.json) >= {"corpus", "holds", "issues", "actions"}
    lines = [json.loads(line) for line in built.err.splitlines() if line.startswith("{")]
    assert all("correlation_id" in line for line in lines)


def test_an_interrupted_run_says_so_and_the_next_one_goes_on(project, documents):
    arguments = ("ensure", "search-ready", "--source", "folder:docs", "--auto-fix")
    process = subprocess.Popen(
        project.command(*arguments), cwd=project.folder, env=project.environment, text=True, stderr=subprocess.PIPE
    )
    marker = project.home / "corpora" / "default" / "documents.lance"
    while not marker.exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 2 and "was interrupted; what it committed is kept" in err.splitlines()[-1], err
    assert project.run(*arguments).code == 0
