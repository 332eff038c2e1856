"""`sources`, as a user works with it: a folder, an archive, a bucket on a real S3 server; through to the snapshot."""

import zipfile
from collections import Counter
from pydoc_data.topics import topics

import pytest
from typer.testing import CliRunner

from rag_assets.cli.app import app
from rag_assets_tests.sources.servers import Bucket, FaultyProxy, moto_server
from rag_assets_tests.system.conftest import Project, Result
from resources.errors import RagAssetsError
from resources.store.lance_store import LanceStore
from resources.store.tables import DOCUMENTS

NAMES = sorted(topics)[:15]
DOWN = (503, {"Content-Type": "application/xml"}, b"<Error><Code>InternalError</Code></Error>")


class SameProcess(Project):
    """Runs commands in this process: there are many, and starting one costs more than most of them do."""

    def run(self, *arguments):
        done = CliRunner().invoke(app, arguments)
        if done.exception is not None and not isinstance(done.exception, SystemExit | RagAssetsError):
            raise done.exception
        code = done.exception.exit_code if isinstance(done.exception, RagAssetsError) else done.exit_code
        said = f"error: {done.exception}" if isinstance(done.exception, RagAssetsError) else ""
        return Result(code, done.stdout, done.stderr + said)


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    return SameProcess(tmp_path)


@pytest.fixture
def bucket():
    with moto_server() as address, FaultyProxy(address) as proxy:
        bucket = Bucket(address, proxy, "journey")
        for name in NAMES[10:15]:
            bucket.put_as(f"pages/{name}.txt", topics[name].encode())
        yield bucket


@pytest.fixture
def three_sources(project, bucket):
    (project.folder / "docs").mkdir()
    for name in NAMES[:5]:
        (project.folder / "docs" / f"{name}.txt").write_text(topics[name], "utf-8")
    with zipfile.ZipFile(project.folder / "pack.zip", "w") as pack:
        for name in NAMES[5:10]:
            pack.writestr(f"{name}.txt", topics[name])
    options = bucket.options
    (project.folder / "rag.yaml").write_text(
        f"""
corpora:
  default:
    sources:
      - {{type: folder, path: docs}}
      - {{type: archive, path: pack.zip}}
      - type: s3
        url: {options["url"]}
        endpoint_url: {options["endpoint_url"]}
        key: ${{TEST_S3_KEY:key}}
        secret: ${{TEST_S3_SECRET:s3cr3t-value}}
        region: us-east-1
"""
    )
    return project


def rows(project):
    store = LanceStore(project.home / "corpora" / "default", "default")
    columns = ("document_id", "version", "text_hash", "fingerprint")
    return {row["document_id"]: row for row in store.rows(DOCUMENTS, columns).to_pylist()}


def cites(project, question):
    found = project.run("query", question, "--json")
    assert found.code == 0, found.err
    return [hit["document_id"] for hit in found.json["hits"]]


@pytest.mark.slow
def test_three_sources_are_followed_through_edits_removals_renames_and_failures(three_sources, bucket):
    project, docs = three_sources, three_sources.folder / "docs"
    looked = project.run("sources", "preview", "--docs", "1", "--json")
    assert looked.code == 0 and looked.json["estimate"]["documents"] == 15, looked.err
    assert looked.json["estimate"]["chunks"] > 15 and not project.home.joinpath("corpora").exists()

    first = project.run("sources", "sync", "--json")
    assert first.code == 0, first.err
    assert {row["source"]: row["readable"] for row in first.json["sources"]} == {"folder": 5, "archive": 5, "s3": 5}
    assert first.json["snapshot"] == 1 and first.json["run"]
    asked = bucket.proxy.count("GET")
    again = project.run("sources", "sync", "--json")
    assert (again.code, again.json["run"], again.json["snapshot"]) == (0, None, 1)
    assert bucket.proxy.count("GET") == asked + 1, "one listing call, no object looked at"

    before = rows(project)
    edited, deleted, renamed = (docs / f"{name}.txt" for name in NAMES[:3])
    edited.write_text(edited.read_text("utf-8") + "\nThe zyxomma is a dragonfly.\n", "utf-8")
    deleted.unlink()
    renamed.rename(docs / "renamed.txt")
    changed = project.run("sources", "sync", "--json")
    assert changed.code == 0 and changed.json["snapshot"] >= 2, changed.err
    after = rows(project)
    same = {one for one in before.keys() & after.keys() if before[one] == after[one]}
    assert before.keys() - same == {f"folder:{name}.txt" for name in NAMES[:3]}
    assert after.keys() - same == {f"folder:{NAMES[0]}.txt", "folder:renamed.txt"}
    assert after["folder:renamed.txt"]["text_hash"] == before[f"folder:{NAMES[2]}.txt"]["text_hash"]
    assert cites(project, "zyxomma dragonfly")[0] == f"folder:{NAMES[0]}.txt"

    bucket.proxy.fail(10_000, DOWN)
    bucket.put(**{"pages/new.txt": b"The quokka is a small wallaby."})
    (docs / "new.txt").write_text("The axolotl is a salamander.")
    partly = project.run("sources", "sync", "--json")
    assert partly.code == 1 and partly.json["problem"] == "", partly.err
    failing = {row["source"]: row["failure"] for row in partly.json["sources"]}
    assert failing == {"folder": None, "archive": None, "s3": "network"}
    assert cites(project, "axolotl salamander")[0] == "folder:new.txt", "the others' changes are published"
    assert sum(one.startswith("s3:") for one in rows(project)) == 5, "nothing of the failing source is removed"
    seen = project.run("ensure", "search-ready", "--json")
    assert seen.code == 1 and [one["type"] for one in seen.json["issues"]] == ["source_unreachable"]

    bucket.proxy.faults.clear()
    assert project.run("sources", "sync").code == 0 and cites(project, "quokka wallaby")[0] == "s3:pages/new.txt"
    everything = rows(project)
    for key in [*(f"pages/{name}.txt" for name in NAMES[10:15]), "pages/new.txt"]:
        bucket.delete(key)
    emptied = project.run("sources", "sync", "--json")
    assert emptied.code == 1 and rows(project) == everything, "a listing that comes back empty removes nothing"
    assert "lists nothing" in next(row["problem"] for row in emptied.json["sources"] if row["source"] == "s3")
    for done in (looked, first, partly, emptied, project.run("sources", "list", "--json")):
        assert "s3cr3t-value" not in done.out + done.err


@pytest.mark.slow
def test_failed_documents_are_listed_retried_and_forgotten(project, documents):
    (documents / "broken.txt").write_bytes(b"\0" * 1000)
    (project.folder / "rag.yaml").write_text("corpora: {default: {sources: [{type: folder, path: docs}]}}")
    synced = project.run("sources", "sync", "--documents-only", "--json")
    assert synced.code == 0 and synced.json["changes"]["fetched"] == 13, synced.err
    seen = project.run("sources", "status", "--json")
    [one] = seen.json["quarantine"]
    assert seen.code == 0 and one["document_id"] == "folder:broken.txt" and one["status"] == "failed"
    assert one["failure"] and one["reason"] and one["attempts"] == 1
    again = project.run("sources", "retry", "folder:broken.txt", "--later", "--json")
    assert again.json["retried"] == ["folder:broken.txt"]
    assert project.run("sources", "sync", "--documents-only", "--json").json["changes"]["fetched"] == 1
    assert project.run("sources", "status", "--json").json["quarantine"][0]["attempts"] == 2
    assert project.run("sources", "forget", "folder:broken.txt").code == 0
    assert project.run("sources", "status", "--json").json["quarantine"][0]["status"] == "forgotten"
    refused = project.run("sources", "forget", "folder:assert.txt")
    assert refused.code == 2 and "can be read" in refused.err
    unknown = project.run("sources", "retry", "folder:nope.txt", "--later")
    assert unknown.code == 2 and "has no document folder:nope.txt" in unknown.err
    audited = project.run("sources", "audit", "--json")
    assert audited.code == 0, audited.out + audited.err
    outcomes = sum((Counter(row["outcomes"]) for row in audited.json["outcomes"]), Counter())
    assert outcomes == {"ok": 12, "forgotten": 1}
    assert 0.9 < audited.json["readiness"] <= 1
