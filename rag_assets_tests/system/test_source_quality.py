"""`sources audit` and `sources canary`, as a user runs them on real files, two of which have a known fault."""

import shutil
import zipfile

import pytest

SETTINGS = """
corpora:
  default:
    sources:
      - {type: folder, path: docs}
      - {type: archive, path: pack.zip}
"""
LEAVE = "# Leave Policy\n\nEvery employee has {days} days of leave in a year, to be taken by the end of March.\n"


@pytest.fixture
def files(project, shared_data):
    """A page, an article whose formulas are pictures, a damaged file, and one title over two texts."""
    docs = project.folder / "docs"
    docs.mkdir()
    for name in ("html/mid__test_blog.html", "xml/ppub__pone.0000217.nxml"):
        shutil.copy(shared_data / "files" / name, docs)
    (docs / "broken.txt").write_bytes(b"\0" * 1000)
    (docs / "leave.md").write_text(LEAVE.format(days=25))
    with zipfile.ZipFile(project.folder / "pack.zip", "w") as pack:
        pack.writestr("leave.md", LEAVE.format(days=30))
    (project.folder / "rag.yaml").write_text(SETTINGS)
    return docs


@pytest.mark.slow
def test_the_audit_names_what_is_wrong_and_the_check_says_the_same(project, files):
    import dagster as dg

    from rag_assets.instance import open_instance
    from resources.settings import load_settings

    synced = project.run("sources", "sync", "--documents-only", "--json")
    assert synced.code == 0, synced.err
    done = project.run("sources", "audit", "--topic", "leave=vacation", "--topic", "zyxomma", "--json")
    assert done.code == 0, done.err
    report = done.json
    outcomes = {(one["source"], one["media_type"]): one["outcomes"] for one in report["outcomes"]}
    assert outcomes["folder", "text/html"] == {"ok": 1} and outcomes["archive", "text/markdown"] == {"ok": 1}
    assert [(one["source"], one["documents"]) for one in report["failures"]] == [("folder", 1)]
    assert report["content"]["judged"] == 2 and report["content"]["lost"] == {}
    assert report["formulas"]["lost"] == {"folder:ppub__pone.0000217.nxml": 0.0}
    assert {one["topic"]: one["gap"] for one in report["topics"]} == {"leave": False, "zyxomma": True}
    [contradiction] = report["contradictions"]
    assert contradiction["document_ids"] == ["archive:leave.md", "folder:leave.md"]
    assert report["foreign"] == {} and report["unreachable"] == {}
    parts = report["parts"]
    assert (parts["readable"], parts["covered"], parts["consistent"], parts["formulas"]) == (0.8, 0.5, 0.5, 0.75)
    assert report["readiness"] == pytest.approx(0.15)

    shown = project.run("sources", "audit")
    assert shown.code == 0 and "Readiness 0.3:" in shown.out and "folder:ppub__pone.0000217.nxml kept 0.0" in shown.out
    wrong = project.run("sources", "audit", "--topic", "=x")
    assert wrong.code == 2 and "a topic has a name" in wrong.err

    settings = load_settings(project.folder / "rag.yaml")
    with open_instance(settings) as instance:
        logs = instance.all_logs(synced.json["run"], of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
        found = {one.asset_check_evaluation.check_name: one.asset_check_evaluation for one in logs}
    assert found["content_preserved"].passed and found["content_preserved"].metadata["judged"].value == 2
    assert not found["readiness"].passed and not found["readiness"].blocking
    assert found["readiness"].metadata["readiness"].value == pytest.approx(0.3)


def test_a_canary_is_recommended_without_writing_anything(project, shared_data):
    (project.folder / "docs").mkdir()
    for path in sorted((shared_data / "files" / "pdf").glob("*.pdf"))[:20]:
        shutil.copy(path, project.folder / "docs")
    (project.folder / "rag.yaml").write_text("corpora: {default: {sources: [{type: folder, path: docs}]}}")
    done = project.run("sources", "canary", "plain", "--share", "1", "--json")
    assert done.code == 0, done.err
    [pdf] = done.json["types"]
    assert (pdf["media_type"], pdf["current"], pdf["canary"]) == ("application/pdf", "built-in", "plain")
    assert pdf["recommendation"] == "promote" and len(pdf["documents"]) == 20 and pdf["unread"] == {}
    assert not project.home.joinpath("corpora").exists()

    few = project.run("sources", "canary", "plain", "--share", "0.1")
    assert few.code == 1 and "inconclusive" in few.out and "rag.yaml" not in few.out
    unknown = project.run("sources", "canary", "nope")
    assert unknown.code == 2 and "application/pdf: built-in, plain" in unknown.err

    setting = done.json["rag.yaml"].removeprefix("corpora: {default: {").removesuffix("}}")
    sources = "sources: [{type: folder, path: docs}]"
    (project.folder / "rag.yaml").write_text(f"corpora: {{default: {{{sources}, {setting}}}}}")
    promoted = project.run("sources", "canary", "built-in", "--share", "1", "--json")
    assert [one["current"] for one in promoted.json["types"]] == ["plain"], promoted.err
