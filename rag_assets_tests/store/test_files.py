"""What any place for files promises, whatever it is: other stores join by a line in `PLACES`."""

import multiprocessing
from concurrent.futures import ThreadPoolExecutor

import pytest

from rag_assets_tests.store.contract.stores import on_iris_double
from resources.errors import StoreError
from resources.store.files import LocalFiles
from resources.store.objects import Bucket

PLACES = {
    "folder": lambda request: LocalFiles(request.getfixturevalue("tmp_path") / "corpus"),
    "bucket": lambda request: Bucket(request.getfixturevalue("bucket_url")),
    "iris-double": lambda request: on_iris_double(request.getfixturevalue("tmp_path")).files,
}


@pytest.fixture(params=PLACES)
def files(request):
    return PLACES[request.param](request)


def test_what_was_written_is_read_listed_replaced_and_deleted(files):
    files.write("a/b.json", b"one")
    files.write("a/c/d ü.bin", b"\0" * 3_000_000)
    files.write("e", b"")
    assert files.read("a/b.json") == b"one" and files.read("e") == b""
    assert files.list("a") == {"a/b.json": 3, "a/c/d ü.bin": 3_000_000}
    assert set(files.list()) == {"a/b.json", "a/c/d ü.bin", "e"} and files.list("nowhere") == {}
    files.write("a/b.json", b"two, and longer")
    assert files.read("a/b.json") == b"two, and longer"
    files.delete("a/b.json")
    files.delete("a/b.json")
    assert files.list("a") == {"a/c/d ü.bin": 3_000_000}
    with pytest.raises(FileNotFoundError):
        files.read("a/b.json")


def test_folders_whose_names_begin_alike_are_told_apart(files):
    files.write("lease/1", b"")
    files.write("leases/2", b"")
    assert set(files.list("lease")) == {"lease/1"}


def test_a_file_is_created_once(files):
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda one: files.create("lease/1", str(one).encode()), range(8)))
    assert sum(made) == 1
    assert files.read("lease/1") == str(made.index(True)).encode()


def test_no_update_is_lost(files):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: files.update("count", lambda old: str(int(old or b"0") + 1).encode()), range(20)))
    assert files.read("count") == b"20"


def test_an_update_that_has_nothing_to_say_or_fails_writes_nothing(files):
    files.update("new", lambda old: None)
    assert files.list() == {}
    files.write("old", b"kept")
    with pytest.raises(ZeroDivisionError):
        files.update("old", lambda old: str(1 // 0).encode())
    assert files.read("old") == b"kept"
    files.update("old", lambda old: old + b" and more")
    assert files.read("old") == b"kept and more"


def _increment(folder, times):
    for _ in range(times):
        LocalFiles(folder).update("count", lambda old: str(int(old or b"0") + 1).encode())


def test_no_update_of_another_process_is_lost(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_increment, args=(tmp_path, 20)) for _ in range(2)]
    for one in processes:
        one.start()
    for one in processes:
        one.join()
    assert LocalFiles(tmp_path).read("count") == b"40"


def test_a_folder_that_cannot_be_made_is_an_error_that_names_the_file(tmp_path):
    (tmp_path / "corpus").write_text("a file where the folder should be")
    with pytest.raises(StoreError, match="corpus/a cannot be written"):
        LocalFiles(tmp_path / "corpus").write("a", b"")
