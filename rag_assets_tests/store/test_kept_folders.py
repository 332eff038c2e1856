"""Folders kept among a corpus's files: what is kept is believed, not the copy that is read here."""

import shutil

import pytest

from resources.errors import StoreError
from resources.store.files import LocalFiles
from resources.store.kept_folders import KeptFolders


@pytest.fixture
def folders(tmp_path):
    made = KeptFolders(LocalFiles(tmp_path / "corpus"), "indexes", tmp_path / "local")
    (made.local / "dense-1" / "parts").mkdir(parents=True)
    (made.local / "dense-1" / "manifest.json").write_text("{}")
    (made.local / "dense-1" / "parts" / "a.faiss").write_bytes(b"\0" * 1000)
    made.keep("dense-1")
    return made


def test_what_is_kept_comes_back_when_the_copy_is_gone(folders):
    assert folders.names() == ["dense-1"] and folders.lacks("dense-1") == []
    shutil.rmtree(folders.local)
    assert (folders.fetch("dense-1") / "parts" / "a.faiss").read_bytes() == b"\0" * 1000
    folders.delete("dense-1")
    assert folders.names() == [] and not folders.fetch("dense-1").exists() and folders.files.list() == {}


def test_what_is_lost_of_what_is_kept_is_named_although_the_copy_is_whole(folders):
    folders.files.delete("indexes/dense-1/files/parts/a.faiss")
    [lost] = folders.lacks("dense-1")
    assert lost.endswith("dense-1/files/parts/a.faiss is missing")
    assert (folders.fetch("dense-1") / "parts" / "a.faiss").exists()
    folders.files.delete("indexes/dense-1/contents.json")
    assert [one.endswith("contents.json is missing") for one in folders.lacks("dense-1")] == [True]
    folders.keep("dense-1")
    assert folders.lacks("dense-1") == []


def test_a_damaged_file_is_never_fetched(folders):
    shutil.rmtree(folders.local)
    folders.files.write("indexes/dense-1/files/parts/a.faiss", b"\1" * 1000)
    with pytest.raises(StoreError, match=r"a\.faiss is damaged"):
        folders.fetch("dense-1")
    assert not (folders.local / "dense-1").exists()
