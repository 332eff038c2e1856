"""Damage of a corpus's files, planted as bytes: found by a look, healed by a run, and what was sound is left alone."""

import json
import shutil

import lance
import pytest

from resources.corpus import open_corpus
from resources.errors import LostDocumentsError, ManifestDamagedError, StoreError, TableDamagedError
from resources.materialisation import chunks, documents, token_embeddings
from resources.materialisation.base import writing_by_hand
from resources.materialisation.indexes import make_bm25, make_dense
from resources.materialisation.report import make_report
from resources.materialisation.snapshot import make_snapshot
from resources.reconciliation import history
from resources.reconciliation.analyse import Severity, analyse
from resources.reconciliation.observe import CHUNK_COLUMNS, SystemState
from resources.retrieval.pipelines import retrieve
from resources.retrieval.snapshot import open_live
from resources.settings import load_settings
from resources.store.tables import CHUNKS, DOCUMENTS


def make_tables(corpus):
    with writing_by_hand(corpus) as writer:
        for stage in (documents, chunks, token_embeddings):
            shards = stage.plan(corpus, writer)
            for shard in range(shards):
                stage.do(corpus, writer, shard, shards)
            stage.seal(corpus, writer)


def run(folder):
    """Do what a run does, stage by stage in this process, and return the corpus."""
    corpus = open_corpus(load_settings(folder / "rag.yaml"), "default")
    make_tables(corpus)
    with writing_by_hand(corpus) as writer:
        for make in (make_dense, make_bm25, make_report, make_snapshot):
            make(corpus, writer)
    return corpus


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A published corpus whose tables have two fragments each, to be copied before it is damaged."""
    from pydoc_data.topics import topics

    folder = tmp_path_factory.mktemp("built")
    (folder / "docs").mkdir()
    (folder / "rag.yaml").write_text("corpora: {default: {sources: [{type: folder, path: docs}]}}")
    for names in (("assert", "bltin-null-object"), ("del", "pass")):
        for name in names:
            (folder / "docs" / f"{name}.txt").write_text(topics[name], "utf-8")
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("RAG_HOME", raising=False)
            run(folder)
    return folder


class Copy:
    """A copy of the built project, whose files may be damaged."""

    def __init__(self, folder, monkeypatch):
        self.path = folder
        monkeypatch.delenv("RAG_HOME", raising=False)

    @property
    def corpus(self):
        return open_corpus(load_settings(self.path / "rag.yaml"), "default")

    def table(self, name):
        return {"documents": DOCUMENTS, "chunks": CHUNKS, "token_embeddings": self.corpus.embeddings}[name]

    def folder(self, name):
        return self.corpus.store.folder / f"{self.table(name).name}.lance"

    def rows(self, name):
        """Each row's key with the file it lies in, and its content."""
        dataset = lance.dataset(self.folder(name))
        return {
            row[self.table(name).key]: (fragment.data_files()[0].path, json.dumps(row, default=str))
            for fragment in dataset.get_fragments()
            for row in fragment.to_table().to_pylist()
        }

    def data_file(self, name):
        fragment = lance.dataset(self.folder(name)).get_fragments()[0]
        return self.folder(name) / "data" / fragment.data_files()[0].path

    def newest_manifest(self, name):
        return min((self.folder(name) / "_versions").glob("*.manifest"))

    def look(self):
        """Return what a look finds, by type."""
        return {one.type: one for one in analyse(SystemState(self.corpus), "search-ready")}

    def heal(self):
        run(self.path)
        assert self.look() == {}


@pytest.fixture
def copy(built, tmp_path, monkeypatch):
    shutil.copytree(built, tmp_path / "copy", copy_function=shutil.copy2)
    return Copy(tmp_path / "copy", monkeypatch)


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_the_end(path):
    content = bytearray(path.read_bytes())
    for at in range(len(content) - 200, len(content) - 40):
        content[at] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("table", "damage"),
    [("documents", truncate), ("chunks", lambda path: path.unlink()), ("token_embeddings", truncate)],
    ids=["documents truncated", "chunks deleted", "token_embeddings truncated"],
)
def test_a_damaged_data_file_is_healed_and_sound_rows_stay(copy, table, damage):
    before = {name: copy.rows(name) for name in ("documents", "chunks", "token_embeddings")}
    path = copy.data_file(table)
    damage(path)
    issues = copy.look()
    found = issues["table_damaged"]
    assert (found.severity, found.where) == (Severity.CRITICAL, "both") and path.name in found.ids[0]
    assert issues["snapshot_damaged"]
    copy.heal()
    for name, rows in before.items():
        after = copy.rows(name)
        assert after.keys() == rows.keys()
        sound = {key for key, (file, _) in rows.items() if file != path.name}
        assert {key: after[key] for key in sound} == {key: rows[key] for key in sound}, "sound rows are untouched"
    assert retrieve(open_live(copy.corpus.store), ["What does the assert statement do?"], k=3)[0]


def test_flipped_bytes_in_one_table_and_a_file_lost_in_another(copy):
    flip_the_end(copy.data_file("chunks"))
    copy.data_file("token_embeddings").unlink()
    found = [one for one in analyse(SystemState(copy.corpus), "search-ready") if one.type == "table_damaged"]
    assert {one.asset for one in found} == {"chunks", "token_embeddings"}
    copy.heal()


def test_bytes_that_no_look_reads_are_suspected_once_they_fail(copy):
    """A text that cannot be decoded is found by whoever reads it; from then on a look finds it, and a run heals it."""
    path, store = copy.data_file("chunks"), copy.corpus.store
    content = path.read_bytes()
    for at in range(0, len(content), 40):
        path.write_bytes(content[:at] + bytes(255 - one for one in content[at : at + 8]) + content[at + 8 :])
        dataset = lance.dataset(copy.folder("chunks"))
        try:
            dataset.to_table(columns=list(CHUNK_COLUMNS))
        except ValueError:
            continue
        try:
            dataset.to_table()
        except ValueError:
            break
    else:
        pytest.fail("no byte of the file spoils the texts alone")
    assert copy.look() == {}
    with pytest.raises(TableDamagedError, match=path.name):
        store.rows(CHUNKS, CHUNKS.schema.names)
    assert path.name in copy.look()["table_damaged"].ids[0]
    copy.heal()


def test_the_newest_snapshot_manifest_is_damaged(copy):
    snapshots = copy.corpus.store.snapshots
    newest = snapshots.numbers()[-1]
    truncate(copy.corpus.store.folder / "snapshots" / f"{newest:08d}.json")
    with pytest.raises(ManifestDamagedError):
        open_live(copy.corpus.store)
    assert copy.look().keys() == {"snapshot_damaged"}
    copy.heal()
    assert open_live(copy.corpus.store).manifest.number == newest + 1


@pytest.mark.parametrize("kind", ["dense", "bm25"])
@pytest.mark.parametrize("which", ["manifest", "biggest file"])
def test_a_damaged_index_file(copy, kind, which):
    folder = copy.corpus.store.indexes.fetch(getattr(copy.corpus.store.snapshots.live(), kind))
    files = [one for one in folder.rglob("*") if one.is_file()]
    path = folder / "manifest.json" if which == "manifest" else max(files, key=lambda one: one.stat().st_size)
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[: len(content) // 2])
    assert {f"{kind}_index_damaged", "snapshot_damaged"} <= copy.look().keys()
    copy.heal()


@pytest.mark.parametrize("lose", [truncate, lambda path: path.unlink()], ids=["broken", "deleted"])
def test_the_newest_version_is_lost(copy, lose):
    named = lance.dataset(copy.folder("chunks")).version
    lose(copy.newest_manifest("chunks"))
    assert f"_versions/{named}" in copy.look()["table_damaged"].ids[0]
    copy.heal()
    assert lance.dataset(copy.folder("chunks")).version > named
    with pytest.raises(ValueError, match="not found"):
        lance.dataset(copy.folder("chunks"), version=named)


def test_no_version_can_be_opened(copy):
    for path in (copy.folder("documents") / "_versions").glob("*.manifest"):
        path.write_bytes(b"\0" * 100)
    assert "table_damaged" in copy.look()
    copy.heal()


def test_what_no_source_lists_is_lost_by_name(copy):
    path = copy.data_file("documents")
    lost = sorted(key for key, (file, _) in copy.rows("documents").items() if file == path.name)[0]
    (copy.path / "docs" / lost.partition(":")[2]).unlink()
    path.unlink()
    with pytest.raises(LostDocumentsError, match=lost):
        run(copy.path)
    assert lost in next(history.read_backwards(copy.corpus.store))["documents"]
    copy.heal()


def test_nothing_is_dropped_while_a_source_cannot_be_listed(copy):
    copy.data_file("documents").unlink()
    docs = copy.path / "docs"
    docs.rename(docs.with_name("away"))
    with pytest.raises(StoreError, match="documents table is damaged"):
        run(copy.path)
    docs.with_name("away").rename(docs)
    copy.heal()


def test_an_unreachable_store_is_no_damage(copy):
    corpus = copy.corpus
    shutil.rmtree(copy.folder("chunks") / "data")
    (corpus.store.folder / "corpus.json").unlink()
    with pytest.raises(StoreError, match=r"corpus\.json"):
        _ = SystemState(corpus).candidate
