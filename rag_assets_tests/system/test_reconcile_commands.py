"""`reconcile` and `sources confirm` as a user types them: what is said, and how they exit."""

import json

import pytest

from resources.reconciliation.history import PATH
from resources.store.lance_store import LanceStore


@pytest.fixture
def configured(project, documents):
    def configure(more=""):
        content = f"corpora: {{default: {{sources: [{{type: folder, path: docs}}]{more}}}}}"
        (project.folder / "rag.yaml").write_text(content)

    configure()
    return configure


@pytest.mark.slow
def test_a_day_with_reconcile(project, documents, configured):
    dry = project.run("reconcile", "run", "--dry-run")
    assert dry.code == 1 and "nothing was written" in dry.out and "folder:assert.txt: fetch, chunk" in dry.out
    assert not project.home.exists()
    configured(", auto_repair: {max_chunks: 1}")
    asked = project.run("reconcile", "run", "--json")
    assert (asked.code, asked.json["verdict"]) == (3, "pending_approval")
    wrong = project.run("reconcile", "approve", "000000000000")
    assert wrong.code == 2 and asked.json["plan"]["id"] in wrong.err
    assert project.run("reconcile", "approve", asked.json["plan"]["id"]).code == 0
    done = project.run("reconcile", "run", "--json")
    assert (done.code, done.json["converged"], len(done.json["runs"])) == (0, True, 1), done.err
    healthy = project.run("reconcile", "status")
    assert (healthy.code, healthy.out) == (0, "default is search-ready: healthy.\n")

    for name in sorted(documents.iterdir())[:11]:
        name.unlink()
    held = project.run("reconcile", "status", "--json")
    [issue] = held.json["issues"]
    assert (held.code, issue["type"], issue["affected"]) == (3, "removals_held", 11)
    assert "folder:assert.txt" in issue["ids"]
    confirmed = project.run("sources", "confirm", "folder", "--json")
    assert confirmed.code == 0 and confirmed.json["confirmed"] == 11
    assert project.run("sources", "confirm", "folder").code == 2, "nothing is held any more"

    assert project.run("reconcile", "ack", "source_deleted", "--until", "2999-12-31").code == 0
    assert project.run("reconcile", "status").code == 0
    assert project.run("reconcile", "pause", "--reason", "holidays").code == 0
    assert project.run("reconcile", "resume").code == 0

    history = project.run("reconcile", "history", "--json")
    assert [entry["number"] for entry in history.json["entries"]] == [1]
    assert project.run("reconcile", "history", "--verify").code == 0
    file = LanceStore(project.home / "corpora" / "default", "default").folder / PATH
    file.write_text(file.read_text().replace('"success": true', '"success": false'))
    broken = project.run("reconcile", "history", "--verify")
    assert broken.code == 1 and "line 1 of" in broken.err and "is broken" in broken.err


def test_alerts_say_what_is_wrong_and_what_to_type_once(project, documents, configured):
    configured(", auto_repair: {max_chunks: 1}")

    def alerts():
        lines = project.run("reconcile", "run").err.splitlines()
        return [one for one in map(json.loads, lines) if one["event"] == "drift"]

    found = {one["drift"]: one for one in alerts()}
    assert set(found) == {"missing_documents", "never_published"}
    missing = found["missing_documents"]
    assert missing["command"].startswith("rag-assets reconcile approve ") and missing["command"].endswith("default")
    assert (missing["affected"], missing["live_answers"], missing["verdict"]) == (12, "stale", "pending_approval")
    assert missing["since"] and found["never_published"]["live_answers"] == "missing"
    assert alerts() == [], "once an incident, not once a look"


def test_several_corpora_one_of_them_broken(project, documents):
    (project.folder / "rag.yaml").write_text(
        "reconcile: {parallel: 2}\n"
        "defaults: {auto_repair: {max_chunks: 0}}\n"
        "corpora:\n  a: {sources: [{type: folder, path: docs}]}\n  b: {sources: [{type: folder, path: nowhere}]}\n"
    )
    status = project.run("reconcile", "status", "--all", "--json")
    assert status.code == 2
    assert [one["verdict"] for one in status.json["corpora"]] == ["pending_approval", "error"]
    done = project.run("reconcile", "run", "--all", "--json")
    assert done.code == 2
    assert [(one["corpus"], one["verdict"], one["exit_code"]) for one in done.json["corpora"]] == [
        ("a", "pending_approval", 3),
        ("b", "error", 2),
    ]


@pytest.mark.slow
def test_several_corpora_are_repaired_side_by_side_under_one_budget(project, documents):
    (project.folder / "rag.yaml").write_text(
        "reconcile: {parallel: 2}\n"
        "defaults: {sources: [{type: folder, path: docs}], budget: {cpu_share: 0.9, nice: 5, max_minutes: 30}}\n"
        "corpora: {a: {}, b: {}, c: {}}\n"
    )
    done = project.run("reconcile", "run", "--all", "--json")
    assert done.code == 0, (done.out, done.err)
    assert [(one["corpus"], one["verdict"], len(one["runs"])) for one in done.json["corpora"]] == [
        ("a", "healthy", 1),
        ("b", "healthy", 1),
        ("c", "healthy", 1),
    ]
    assert project.run("reconcile", "status", "--all").code == 0
