"""Backup and restore: the same answers and nothing to do; erased documents stay away; damage is found first."""

import os
import shutil
import signal
import subprocess
import sys
import zipfile

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from rag_assets.cli.app import app
from rag_assets_tests.keeping.conftest import answers, drift
from rag_assets_tests.keeping.test_copying import table_digests
from rag_assets_tests.system.test_damage import run
from resources.errors import StoreError
from resources.keeping.archive import ArchiveContent, verify, write_archive
from resources.keeping.copying import live_content
from resources.keeping.restoring import restore
from resources.materialisation.erasure import erase
from resources.reconciliation import history
from resources.reconciliation.suppression import read_suppressed
from resources.retrieval.pipelines import retrieve
from resources.retrieval.snapshot import open_live
from resources.store.migrations import MIGRATIONS, read_marker
from resources.store.tables import CHUNKS, DOCUMENTS
from resources.targets import Target


@pytest.fixture
def archive(project, tmp_path):
    file = tmp_path / "backup.zip"
    write_archive(live_content(project.corpus.store), Target(), file)
    return file


def content(file, tmp_path):
    return ArchiveContent(file, verify(file), tmp_path / "scratch")


def test_everything_deleted_and_restored_answers_the_same(project, archive, tmp_path):
    store = project.corpus.store
    before, rows, live = answers(store), table_digests(store), store.snapshots.live()
    originals = store.files.list("originals")
    shutil.rmtree(store.folder)
    done = restore(project.corpus, content(archive, tmp_path))
    store = project.corpus.store
    assert (done.manifest.number, done.manifest.content, done.erased) == (live.number, live.content, 0)
    assert (answers(store), table_digests(store), store.files.list("originals")) == (before, rows, originals)
    assert drift(project.corpus) == [] and history.verify(store).broken_line is None
    run(project.folder)
    assert store.snapshots.numbers() == [live.number], "there is nothing to publish"


def test_an_existing_corpus_is_only_replaced_when_told_to(project, archive, tmp_path):
    store = project.corpus.store
    before, kept = answers(store), store.snapshots.live().number
    (project.folder / "docs" / "del.txt").unlink()
    run(project.folder)
    assert answers(store) != before
    with pytest.raises(StoreError, match="--replace"):
        restore(project.corpus, content(archive, tmp_path))
    done = restore(project.corpus, content(archive, tmp_path), replace=True)
    assert answers(store) == before and done.manifest.number > kept
    assert kept in store.snapshots.numbers(), "the older snapshots stay as long as any"


def test_documents_that_were_erased_since_do_not_come_back(project, archive, tmp_path):
    corpus = project.corpus
    erase(corpus, ["folder:keeper.txt"], "asked by the author")
    done = restore(project.corpus, content(archive, tmp_path), replace=True)
    assert done.erased == 1
    found = {hit.document_id for hit in retrieve(open_live(corpus.store), ["lighthouse keepers"], k=9)[0]}
    assert found and "folder:keeper.txt" not in found
    files = [one for one in corpus.store.folder.rglob("*") if one.is_file()]
    assert not [one for one in files if b"ighthouse" in one.read_bytes() or b"keeper.txt" in one.read_bytes()]
    assert read_suppressed(corpus.store) and drift(project.corpus) == []


KILLED = """
import os, signal
from pathlib import Path
from resources.corpus import open_corpus
from resources.keeping import restoring
from resources.keeping.archive import ArchiveContent, verify
from resources.settings import load_settings
restoring.take_folders = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
file = Path("../backup.zip")
archive = ArchiveContent(file, verify(file), Path("../scratch"))
restoring.restore(open_corpus(load_settings(Path("rag.yaml")), "default"), archive)
"""


def test_a_restore_that_was_killed_goes_on(project, archive, tmp_path):
    before = answers(project.corpus.store)
    shutil.rmtree(project.corpus.store.folder)
    died = subprocess.run([sys.executable, "-c", KILLED], cwd=project.folder, check=False, env=dict(os.environ))
    assert died.returncode == -signal.SIGKILL
    store = project.corpus.store
    assert store.snapshots.live() is None and store.version(CHUNKS)
    version = store.version(CHUNKS)
    restore(project.corpus, content(archive, tmp_path), replace=True)
    assert answers(store) == before and drift(project.corpus) == []
    assert store.version(CHUNKS) == version, "rows that are there are not written again"


def test_the_archive_is_what_it_says_in_formats_that_others_read(archive):
    contents = verify(archive)
    with zipfile.ZipFile(archive) as opened:
        assert opened.testzip() is None
        with opened.open("tables/documents.arrow") as stream, pa.ipc.open_stream(stream) as reader:
            rows = reader.read_all()
    assert rows.num_rows == contents.rows["documents"] == 5 and contents.format == 1
    assert set(contents.rows) == {"documents", "chunks", "token_embeddings", "quarantine"}


def test_a_file_that_exists_is_left_alone_and_an_interrupted_backup_leaves_none(
    project, archive, tmp_path, monkeypatch
):
    before = archive.read_bytes()
    with pytest.raises(StoreError, match="exists already"):
        write_archive(live_content(project.corpus.store), Target(), archive)
    assert archive.read_bytes() == before

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("resources.keeping.archive._write_folder", full)
    with pytest.raises(OSError, match="No space"):
        write_archive(live_content(project.corpus.store), Target(), tmp_path / "other.zip")
    assert not list(tmp_path.glob("*other*"))


@pytest.mark.parametrize("at", [0.1, 0.5, 0.9])
def test_damage_is_found_before_anything_is_written(project, archive, tmp_path, at):
    damaged = bytearray(archive.read_bytes())
    damaged[int(len(damaged) * at)] ^= 0xFF
    archive.write_bytes(damaged)
    with pytest.raises(StoreError, match=r"damaged|no archive"):
        verify(archive)
    archive.write_bytes(damaged[: int(len(damaged) * at)])
    with pytest.raises(StoreError, match="no archive"):
        verify(archive)


def test_what_newer_software_made_is_refused(archive, tmp_path):
    import json

    newer = tmp_path / "newer.zip"
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(newer, "w") as new:
        body = json.loads(old.read("manifest.json"))
        body["snapshot"]["readable_by"] = 99
        new.writestr("manifest.json", json.dumps(body))
    with pytest.raises(StoreError, match="newer software"):
        verify(newer)


def test_the_commands(project, tmp_path, monkeypatch):
    monkeypatch.chdir(project.folder)
    runner = CliRunner()
    made = runner.invoke(app, ["backup", "default", "--to", "corpus.zip", "--json"])
    assert made.exit_code == 0, made.output
    refused = runner.invoke(app, ["restore", "corpus.zip"])
    assert isinstance(refused.exception, StoreError) and "exists already" in str(refused.exception)
    before = answers(project.corpus.store)
    shutil.rmtree(project.corpus.store.folder)
    back = runner.invoke(app, ["restore", "corpus.zip"])
    assert back.exit_code == 0 and "is live" in back.output, back.output
    assert answers(project.corpus.store) == before
    copied = runner.invoke(app, ["corpora", "copy", "default", "--to", "elsewhere", "--as", "other"])
    assert copied.exit_code == 0 and (project.folder / "elsewhere" / "other" / "corpus.json").is_file(), copied.output
    cleaned = runner.invoke(app, ["corpora", "clean", "default", "--keep", "1", "--dry-run", "--json"])
    assert cleaned.exit_code == 0 and '"dry_run": true' in cleaned.output


def test_doctor_says_beforehand_what_an_upgrade_changes_and_the_way_back_is_taken(project, monkeypatch):
    monkeypatch.chdir(project.folder)
    store = project.corpus.store
    store.files.write("corpus.json", b'{"corpus": "default", "schema_version": 1}')
    store.drop_columns(DOCUMENTS, MIGRATIONS[0].columns)
    project.configure("chunking: {tokens: 64}, auto_repair: {cost_per_hour: 3},")
    said = CliRunner().invoke(app, ["doctor", "--upgrade"])
    assert said.exit_code == 0, said.output
    assert "schema 1 → 2: documents gets failure" in said.output
    assert "0 documents to be parsed, about" in said.output and "cost about" in said.output
    assert read_marker(store.files, "default").schema_version == 1, "nothing is written"
    refused = CliRunner().invoke(app, ["corpora", "downgrade", "default", "--schema", "1"])
    assert isinstance(refused.exception, StoreError) and "no way back to 1" in str(refused.exception)
