"""The documents stage over real sources and a real store: what becomes of each document, run after run."""

import os
from dataclasses import replace

import lance
import pytest
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from rag_assets_tests.sources.test_archive import zipped
from resources.corpus import open_corpus
from resources.errors import SourceError
from resources.materialisation import documents
from resources.observability.logging import correlated
from resources.observability.progress import reporting_to
from resources.reconciliation.analyse import analyse, holds
from resources.reconciliation.listing import listing_once
from resources.reconciliation.observe import SystemState
from resources.settings import load_settings
from resources.sources.folder import FolderSource
from resources.store.lance_store import LanceStore
from resources.store.tables import DOCUMENTS, SCHEMA_VERSION
from resources.store.writer import writing

TEXTS = {name: f"This is the text about {name}, and it is about nothing else than {name}.\n" * 5 for name in "abcdef"}


class Desk:
    """A corpus whose documents asset is made as a run does it, step by step, without Dagster."""

    def __init__(self, folder):
        self.folder, self.docs = folder, folder / "docs"
        self.docs.mkdir()
        self.configure("[{type: folder, path: docs}]")

    def configure(self, sources, more=""):
        (self.folder / "rag.yaml").write_text(f"corpora: {{default: {{sources: {sources}{more}}}}}")

    def write(self, **texts):
        for name, text in texts.items():
            (self.docs / f"{name}.txt").write_text(text)

    @property
    def corpus(self):
        return open_corpus(load_settings(self.folder / "rag.yaml"), "default")

    def sync(self):
        """Do one run's worth; return its figures and how many documents were fetched."""
        corpus = self.corpus
        with writing(corpus.store, "run", wait=0) as writer:
            shards = documents.plan(corpus, writer)
            planned = len(SystemState(corpus).documents.fetch) if shards else 0
            for shard in range(shards):
                documents.do(self.corpus, writer, shard, shards)
            return documents.seal(self.corpus, writer).metrics | {"fetched": planned}

    def rows(self, *columns):
        names = ("document_id", *(columns or ("status",)))
        rows = self.corpus.store.rows(DOCUMENTS, names).to_pylist()
        return {row["document_id"]: row[names[1]] if len(names) == 2 else row for row in rows}

    def issues(self):
        found = analyse(SystemState(self.corpus), "token-embeddings")
        return {one.type: one for one in found if "chunks" not in one.type and "embedd" not in one.type}


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


def test_only_what_changed_is_fetched_and_a_rename_costs_nothing(desk):
    desk.write(**TEXTS)
    assert desk.sync()["fetched"] == 6 and desk.issues() == {}
    assert desk.sync()["fetched"] == 0
    before = desk.rows("text_hash", "content_hash")
    desk.write(a="Another text altogether.", g="A new one.")
    (desk.docs / "b.txt").rename(desk.docs / "renamed.txt")
    (desk.docs / "c.txt").unlink()
    assert desk.sync()["fetched"] == 2, "the edited one and the new one"
    after = desk.rows("text_hash", "content_hash")
    assert after.keys() == {f"folder:{name}.txt" for name in ("a", "renamed", "d", "e", "f", "g")}
    assert after["folder:renamed.txt"]["text_hash"] == before["folder:b.txt"]["text_hash"]
    assert desk.issues() == {} and desk.rows("key")["folder:renamed.txt"] == "renamed.txt"


def test_a_source_that_fails_keeps_what_it_had_and_the_others_go_on(desk):
    (desk.folder / "pack.zip").write_bytes(zipped({"x.txt": b"text of x", "y.txt": b"text of y"}))
    desk.configure("[{type: folder, path: docs}, {type: archive, path: pack.zip}]")
    desk.write(**TEXTS)
    assert desk.sync()["ok"] == 8
    (desk.folder / "pack.zip").rename(desk.folder / "aside.zip")
    desk.write(a="Another text.", g="New.")
    assert desk.issues().keys() == {"source_unreachable", "source_changed", "missing_documents"}
    made = desk.sync()
    assert made["ok"] == 9 and made["unreachable_sources"] == 1
    [issue] = desk.issues().values()
    assert (issue.type, issue.ids, issue.where) == ("source_unreachable", ("archive",), "source")
    assert "no such archive" in issue.description and not holds([issue])
    (desk.folder / "aside.zip").rename(desk.folder / "pack.zip")
    assert desk.issues() == {} and desk.sync()["fetched"] == 0


def test_when_nothing_can_be_listed_and_nothing_is_stored_it_is_an_error(desk):
    desk.configure("[{type: folder, path: nowhere}, {type: archive, path: none.zip}]")
    with pytest.raises(SourceError, match="no such folder"):
        desk.sync()


def test_a_target_counts_the_documents_of_a_source_that_fails(desk):
    (desk.folder / "pack.zip").write_bytes(zipped({"x.txt": b"text of x", "y.txt": b"text of y"}))
    desk.configure("[{type: folder, path: docs}, {type: archive, path: pack.zip}]")
    desk.write(**TEXTS)
    corpus = desk.corpus
    targeted = replace(corpus, target=corpus.target.model_copy(update={"documents": 3}))
    with writing(corpus.store, "run", wait=0) as writer:
        documents.do(targeted, writer, 0, 1)
    assert desk.rows().keys() == {"archive:x.txt", "archive:y.txt", "folder:a.txt"}
    (desk.folder / "pack.zip").unlink()
    assert SystemState(replace(targeted)).documents.missing == []


def test_failures_are_rows_that_say_when_they_are_tried_again(desk):
    desk.configure("[{type: folder, path: docs, include: ['*'], max_mb: 1}]")
    desk.write(a="Good.", big="x" * (2 << 20))
    (desk.docs / "picture.jpg").write_bytes(b"\xff\xd8\xff\xe0 no text in here")
    desk.sync()
    rows = desk.rows("status", "failure", "attempts", "next_try", "reason")
    big, picture = rows["folder:big.txt"], rows["folder:picture.jpg"]
    assert (big["status"], big["failure"], big["attempts"]) == ("unread", "exhaustion", 1) and big["next_try"]
    assert (picture["status"], picture["failure"], picture["next_try"]) == ("failed", "unsupported", None)
    assert desk.sync()["fetched"] == 0, "not before its time"
    desk.configure("[{type: folder, path: docs, include: ['*'], max_mb: 4}]")
    state = SystemState(desk.corpus)
    assert state.documents.waiting == ["folder:big.txt"]
    _set(desk, "folder:big.txt", next_try="2000-01-01T00:00:00+00:00")
    assert desk.sync()["fetched"] == 1
    row = desk.rows("status", "failure", "attempts", "next_try")["folder:big.txt"]
    assert (row["status"], row["failure"], row["attempts"], row["next_try"]) == ("ok", None, None, None)


@pytest.mark.parametrize("times", [1, 3])
def test_a_version_that_was_read_is_kept_when_the_next_cannot_be(desk, times):
    desk.configure("[{type: folder, path: docs, max_mb: 1}]")
    desk.write(a="The first version.")
    desk.sync()
    desk.write(a="x" * (2 << 20))
    for _ in range(times):
        desk.sync()
        _set(desk, "folder:a.txt", next_try="2000-01-01T00:00:00+00:00")
    row = desk.rows("status", "text", "attempts", "failure")["folder:a.txt"]
    assert (row["status"], row["text"], row["attempts"]) == ("ok", "The first version.", times)
    desk.write(a="The second version.")
    desk.sync()
    assert desk.rows("text")["folder:a.txt"] == "The second version." and desk.rows("failure")["folder:a.txt"] is None


def _set(desk, one, **values):
    store = desk.corpus.store
    table = store.rows(DOCUMENTS, DOCUMENTS.schema.names)
    rows = [row | values for row in table.to_pylist() if row["document_id"] == one]
    store.upsert(DOCUMENTS, type(table).from_pylist(rows, schema=DOCUMENTS.schema))


def test_equal_documents_are_found_once_for_each_circle_of_readers(desk):
    desk.configure(
        "[{type: folder, path: docs, name: all}, {type: folder, path: docs, name: staff, principals: [staff]},"
        " {type: folder, path: copy, name: zcopy}]"
    )
    (desk.folder / "copy").mkdir()
    (desk.folder / "copy" / "other.txt").write_text(TEXTS["a"])
    desk.write(a=TEXTS["a"], b=TEXTS["b"])
    made = desk.sync()
    assert made["ok"] == 5 and made["duplicates"] == 1
    state = SystemState(desk.corpus)
    assert sorted(state.searchable["document_id"].to_pylist()) == [
        "all:a.txt",
        "all:b.txt",
        "staff:a.txt",
        "staff:b.txt",
    ]
    assert state.stands_for["zcopy:other.txt"] == "all:a.txt" and state.stands_for["staff:a.txt"] == "staff:a.txt"
    assert desk.rows("principals")["staff:a.txt"] == ["staff"]
    (desk.docs / "a.txt").unlink()
    desk.sync()
    assert "zcopy:other.txt" in SystemState(desk.corpus).searchable["document_id"].to_pylist()


def test_originals_are_kept_when_settings_or_the_source_say_so_and_stay_for_older_snapshots(desk):
    (desk.folder / "upload.txt").write_text("An upload.")
    desk.configure("[{type: file, path: upload.txt}, {type: folder, path: docs}]")
    desk.write(a="Not kept.")
    desk.sync()
    kept = lambda: sorted(path.read_text() for path in (desk.corpus.store.folder / "originals").glob("*/*"))  # noqa: E731
    assert kept() == ["An upload."]
    desk.configure("[{type: file, path: upload.txt}, {type: folder, path: docs}]", ", keep_originals: true")
    desk.write(a="Kept now.")
    desk.sync()
    assert kept() == ["An upload.", "Kept now."]
    digests = {path.name for path in (desk.corpus.store.folder / "originals").glob("*/*")}
    assert digests == set(desk.rows("content_hash").values())
    desk.write(a="And another.")
    desk.sync()
    assert kept() == ["An upload.", "And another.", "Kept now."]


def test_a_store_of_the_last_schema_is_read_and_brought_up_to_date_by_the_next_run(desk):
    desk.write(**TEXTS)
    desk.sync()
    store = desk.corpus.store
    table = store.folder / "documents.lance"
    new = ["failure", "attempts", "next_try", "modified", "checksum", "content_hash", "url", "principals", "simhash"]
    lance.dataset(table).drop_columns(new)
    marker = store.folder / "corpus.json"
    marker.write_text(marker.read_text().replace(f'"schema_version": {SCHEMA_VERSION}', '"schema_version": 1'))
    old = LanceStore(store.folder, "default")
    assert old.rows(DOCUMENTS, ("document_id", "principals")).num_rows == 6
    assert SystemState(desk.corpus).documents.fetch == [], "an old store is looked at as it is"
    desk.write(g="New.")
    assert desk.sync()["fetched"] == 1
    assert set(new) <= set(lance.dataset(table).schema.names)
    assert f'"schema_version": {SCHEMA_VERSION}' in marker.read_text()
    assert desk.rows("text_hash")["folder:a.txt"] and desk.rows("content_hash")["folder:g.txt"]


def test_hard_links_and_files_of_equal_size_are_not_confused(desk):
    desk.write(a="1234", b="5678")
    os.link(desk.docs / "a.txt", desk.docs / "c.txt")
    desk.sync()
    assert desk.rows("text") == {"folder:a.txt": "1234", "folder:b.txt": "5678", "folder:c.txt": "1234"}


def test_what_threads_say_carries_the_runs_correlation_id_and_progress_is_told_by_source(desk):
    desk.configure("[{type: folder, path: docs, max_mb: 1}, {type: archive, path: pack.zip}]")
    (desk.folder / "pack.zip").write_bytes(zipped({"x.txt": b"text of x", "y.txt": b"text of y"}))
    desk.write(a="The first version.")
    desk.sync()
    desk.write(a="x" * (2 << 20), b="New.")
    (desk.folder / "pack.zip").write_bytes(zipped({"x.txt": b"text of x", "y.txt": b"another text"}))
    told = []

    class Teller:
        def update(self, progress):
            told.append((progress.task, progress.as_json()))

    with capture_logs(processors=[merge_contextvars]) as lines, correlated("run-1"), reporting_to(Teller()):
        desk.sync()
    kept = [line for line in lines if "its last version is kept" in line["event"]]
    assert [line["correlation_id"] for line in kept] == ["run-1"]
    last = {task: event for task, event in told if event["done"] == event["total"]}
    assert last["ingest archive"]["bytes"] == 12 and last["ingest archive"]["phase"] == "ingest"
    assert last["ingest folder"]["total"] == 2 and last["ingest folder"]["eta_seconds"] == 0


def test_a_run_lists_its_sources_once_and_the_next_one_anew(desk, monkeypatch):
    desk.write(**TEXTS)
    walks = []
    walk = FolderSource.discover
    monkeypatch.setattr(FolderSource, "discover", lambda self: walks.append(self.name) or walk(self))
    for run in ("run-1", "run-2"):
        walks.clear()
        with listing_once(run):
            desk.sync()
        assert walks == ["folder"]
    desk.write(g="New.")
    with listing_once("run-2"):
        assert desk.issues() == {}, "within a run the sources are what they were when it began"
    assert desk.issues().keys() == {"missing_documents"}
