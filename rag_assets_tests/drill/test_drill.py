"""The drill on a corpus of its own: everything is found at its depth and repaired, and the original stays as it was."""

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from pydoc_data.topics import topics

import dagster as dg
import pytest

from rag_assets.drill.damage import DAMAGES
from rag_assets.drill.rehearse import rehearsal
from rag_assets.instance import register_corpora
from rag_assets.runs import materialise
from resources.corpus import open_corpus
from resources.errors import StoreError
from resources.settings import load_settings

BY_DEPTH = {"two vectors swapped": "reembed"}
BY_CHECKSUM = {"a vector zeroed", "mock vectors in 10 rows", "a bit flipped", "another model's name on 5 rows"}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drill")
    (folder / "docs").mkdir()
    for name in sorted(topics)[:12]:
        (folder / "docs" / f"{name}.txt").write_text(topics[name], "utf-8")
    (folder / "rag.yaml").write_text(
        "corpora: {default: {sources: [{type: folder, path: docs}], chunking: {tokens: 64, overlap: 0}}}"
    )
    settings = load_settings(folder / "rag.yaml")
    with dg.instance_for_test() as instance:
        register_corpora(instance, ["default"])
        outcome = materialise(settings, open_corpus(settings, "default"), None, instance, "test")
    assert outcome.success, outcome.problem
    return folder


def contents(folder):
    """Return every file below a folder with its inode and the hash of its bytes."""
    files = (path for path in folder.rglob("*") if path.is_file() and "lease" not in path.parts)
    return {str(path): (path.stat().st_ino, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files}


def test_the_copy_shares_no_file_with_the_original(built):
    settings = load_settings(built / "rag.yaml")
    before = contents(built / ".rag" / "corpora")
    with rehearsal(settings, "default") as copy:
        copied = contents(copy.settings.home / "corpora")
        assert len(copied) == len(before) and built not in copy.settings.home.parents
        assert {hashed for _, hashed in copied.values()} == {hashed for _, hashed in before.values()}
        assert not {inode for inode, _ in copied.values()} & {inode for inode, _ in before.values()}
        for damage in DAMAGES:
            damage.do(copy.corpus, random.Random(1))
    assert contents(built / ".rag" / "corpora") == before


def test_only_a_sound_corpus_is_drilled(built, tmp_path):
    settings = load_settings(built / "rag.yaml")
    empty = settings.model_copy(update={"home": tmp_path / "nothing"})
    with pytest.raises(StoreError, match="not built yet"), rehearsal(empty, "default"):
        pass
    apart = {"default": settings.corpus("default").model_copy(update={"store": str(tmp_path / "shared")})}
    elsewhere = settings.model_copy(update={"corpora": apart})
    with pytest.raises(StoreError, match="is kept at"), rehearsal(elsewhere, "default"):
        pass
    broken = settings.model_copy(update={"home": tmp_path / "broken"})
    shutil.copytree(built / ".rag", broken.home)
    corpus = open_corpus(broken, "default")
    corpus.store.delete(corpus.embeddings, corpus.store.rows(corpus.embeddings, ("chunk_id",))["chunk_id"].to_pylist())
    with pytest.raises(StoreError, match="repair it first"), rehearsal(broken, "default"):
        pass


@pytest.mark.slow
def test_every_damage_is_found_at_its_depth_and_repaired(built):
    before = contents(built / ".rag" / "corpora")
    ours = {key: value for key, value in os.environ.items() if key not in ("RAG_HOME", "RAG_CONFIG", "DAGSTER_HOME")}
    done = subprocess.run(
        [sys.executable, "-m", "rag_assets", "drill", "--json"], cwd=built, env=ours, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["holds"] and len(report["damages"]) == len(DAMAGES) >= 10
    depths = {one["damage"]: one["depth"] for one in report["damages"]}
    expected = {damage.name: "checksum" if damage.name in BY_CHECKSUM else "scan" for damage in DAMAGES} | BY_DEPTH
    assert depths == expected
    assert contents(built / ".rag" / "corpora") == before
