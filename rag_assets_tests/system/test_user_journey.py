"""What a user does in a day, by the command line: build, ask, edit, rename, delete, damage, repair."""

import lance
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from resources.store.files import LocalFiles
from resources.store.snapshots import Snapshots


@pytest.fixture
def corpus(project, documents):
    built = project.run("ensure", "search-ready", "--source", "folder:docs", "--auto-fix", "--json")
    assert built.code == 0, built.err
    assert built.json["holds"] and built.json["snapshot"] == 1 and built.json["counts"]["documents"] == 12
    return project.home / "corpora" / "default"


def versions(corpus):
    [table] = (corpus / "token_embeddings").glob("*.lance")
    return table, lance.dataset(table).version


def ensure(project, *options):
    return project.run("ensure", "search-ready", "--json", *options)


def rows(table):
    return {
        row["chunk_id"]: row
        for row in lance.dataset(table).to_table(columns=["chunk_id", "text_hash", "checksum"]).to_pylist()
    }


def test_a_day(project, documents, corpus):
    again = ensure(project, "--auto-fix")
    assert (again.code, again.json["actions"], again.json["run"]) == (0, [], None), "a second run does nothing"

    asked = project.run("query", "What does the assert statement do?", "--json")
    assert asked.code == 0 and asked.json["citations"][0]["document_id"] == "folder:assert.txt"
    cited = (documents / "assert.txt").read_text("utf-8")
    for sentence in asked.json["sentences"]:
        source = asked.json["citations"][sentence["citation"] - 1]
        text = (documents / source["key"]).read_text("utf-8")
        assert text[sentence["start"] : sentence["end"]] == sentence["text"], "sentences are verbatim"
    assert "assert" in cited

    table, _ = versions(corpus)
    before = rows(table)
    edited = documents / "assert.txt"
    edited.write_text(edited.read_text("utf-8") + "\n\nThe zyxomma dragonfly is not mentioned elsewhere.\n", "utf-8")
    (documents / "assignment.txt").rename(documents / "renamed.txt")
    seen = ensure(project, "--validate-only")
    assert seen.code == 1
    assert {issue["type"] for issue in seen.json["issues"]} >= {"source_changed", "missing_documents", "source_deleted"}
    assert Snapshots(LocalFiles(corpus), "default").numbers() == [1], "looking changes nothing"
    fixed = ensure(project, "--auto-fix")
    assert fixed.code == 0, fixed.err
    after = rows(table)
    known = {row["text_hash"] for row in before.values()}
    fresh = [row for row in after.values() if row["text_hash"] not in known]
    assert 1 <= len(fresh) <= 3, "an edit embeds only the chunks it changed, a rename none"
    checksums = {row["text_hash"]: row["checksum"] for row in before.values()}
    assert all(checksums[row["text_hash"]] == row["checksum"] for row in after.values() if row["text_hash"] in known)
    assert (
        project.run("query", "zyxomma dragonfly", "--json").json["citations"][0]["document_id"] == "folder:assert.txt"
    )

    edited.unlink()
    removed = project.run("ensure", "token-embeddings", "--auto-fix", "--json")
    assert removed.code == 0, removed.err
    hidden = project.run("query", "zyxomma dragonfly", "--pipeline", "bm25", "--json")
    assert all(hit["document_id"] != "folder:assert.txt" for hit in hidden.json["hits"]), (
        "hidden before anything is rebuilt"
    )
    live = Snapshots(LocalFiles(corpus), "default").live()
    assert live is not None and live.kind == "removal" and live.removed_documents == ("folder:assert.txt",)
    assert ensure(project, "--auto-fix").code == 0
    live = Snapshots(LocalFiles(corpus), "default").live()
    assert live is not None and live.removed_documents == () and live.counts["documents"] == 11


def test_rows_deleted_behind_its_back_are_named_and_just_those_repaired(project, documents, corpus):
    table, _ = versions(corpus)
    before = rows(table)
    lost = sorted(before)[:10]
    lance.dataset(table).delete(f"chunk_id IN ({', '.join(repr(one) for one in lost)})")
    seen = ensure(project, "--validate-only")
    assert seen.code == 1
    [issue] = [one for one in seen.json["issues"] if one["type"] == "missing_token_embeddings"]
    assert (issue["affected"], sorted(issue["ids"]), issue["where"]) == (10, lost, "candidate")
    assert [one["type"] for one in seen.json["issues"]] == ["missing_token_embeddings"], "one cause, one issue"
    fixed = ensure(project, "--auto-fix")
    assert fixed.code == 0, fixed.err
    assert rows(table) == before, "copied back from live, so not a byte differs"
    assert '"copied": 10, "embedded": 0' in fixed.err


def test_rows_lost_everywhere_are_embedded_again(project, documents, corpus):
    table, _ = versions(corpus)
    before = rows(table)
    lost = sorted(before)[:10]
    whole = lance.dataset(table).to_table()
    kept = whole.filter(pc.invert(pc.is_in(whole["chunk_id"], pa.array(lost))))
    lance.write_dataset(kept, table, mode="overwrite")
    manifest = corpus / "snapshots" / "00000001.json"
    live = Snapshots(LocalFiles(corpus), "default").live()
    assert live is not None
    damaged = live.model_copy(update={"embeddings_version": lance.dataset(table).version})
    manifest.write_text(damaged.model_dump_json())
    seen = ensure(project, "--validate-only")
    [issue] = [one for one in seen.json["issues"] if one["type"] == "missing_token_embeddings"]
    assert (seen.code, issue["affected"], issue["where"]) == (1, 10, "both")
    fixed = ensure(project, "--auto-fix")
    assert fixed.code == 0, fixed.err
    assert '"copied": 0, "embedded": 10' in fixed.err
    assert rows(table).keys() == before.keys()
