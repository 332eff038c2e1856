"""A corpus in a bucket: tables, conditional writes whose answers get lost, folders with a cache, and clear errors."""

from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest

from rag_assets_tests.sources.servers import LOST
from resources.errors import StoreError, TableDamagedError
from resources.store.object_store import ObjectStore
from resources.store.objects import Bucket
from resources.store.tables import QUARANTINE

GB = 10**9
SLOW_DOWN = (503, {}, b"<Error><Code>SlowDown</Code></Error>")


def rows(pairs: dict[str, str]) -> pa.Table:
    return pa.table(
        {"row_id": list(pairs), "table": ["t"] * len(pairs), "id": list(pairs), "reason": list(pairs.values())},
        schema=QUARANTINE.schema,
    )


def held(store, version=None):
    found = store.rows(QUARANTINE, ("row_id", "reason"), version=version)
    return dict(zip(found["row_id"].to_pylist(), found["reason"].to_pylist(), strict=True))


@pytest.fixture
def elsewhere(bucket_url, tmp_path):
    """The same corpus as another machine opens it, which has its own cache."""
    return lambda name: ObjectStore(bucket_url, "corpus", tmp_path / name, cache_bytes=GB)


@pytest.fixture
def store(elsewhere):
    made = elsewhere("here")
    made.create()
    return made


def test_tables_are_written_read_at_versions_and_dropped(store, elsewhere):
    assert held(store) == {} and store.version(QUARANTINE) == 0 and store.tables() == []
    store.upsert(QUARANTINE, rows({"a": "1", "b": "1"}))
    before = store.version(QUARANTINE)
    store.upsert(QUARANTINE, rows({"b": "2", "c'ü": "2"}))
    store.delete(QUARANTINE, ["a"])
    other = elsewhere("there")
    assert held(store) == held(other) == {"b": "2", "c'ü": "2"}
    assert held(store, before) == held(other, before) == {"a": "1", "b": "1"}
    found = other.take(QUARANTINE, ("row_id", "reason"), ["c'ü", "not there"], version=other.version(QUARANTINE))
    assert found.to_pylist() == [{"row_id": "c'ü", "reason": "2"}]
    assert other.tables() == ["quarantine"] and before in other.versions(QUARANTINE)
    assert other.size() > 1000
    store.drop("quarantine")
    assert held(other) == {} and store.tables() == []


def test_a_version_is_read_once_and_then_without_a_request(store, s3):
    store.upsert(QUARANTINE, rows({"a": "1", "b": "1"}))
    version = store.version(QUARANTINE)
    take = lambda key: store.take(QUARANTINE, ("row_id", "reason"), [key], version=version)["reason"].to_pylist()  # noqa: E731
    assert take("a") == ["1"]
    s3.requests.clear()
    assert take("b") == ["1"] and held(store, version) == {"a": "1", "b": "1"}
    assert [path for _, path in s3.requests if "/data/" in path] == []
    s3.requests.clear()
    assert take("a") == ["1"] and s3.requests == []


def test_two_writers_lose_nothing(elsewhere):
    def write(name):
        store = elsewhere(name)
        for number in range(6):
            store.upsert(QUARANTINE, rows({f"{name}-{number}": "x"}))

    elsewhere("a").create()
    elsewhere("a").upsert(QUARANTINE, rows({"first": "x"}))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, ("a", "b")))
    assert set(held(elsewhere("c"))) == {"first", *(f"{name}-{number}" for name in "ab" for number in range(6))}


def test_a_lost_data_file_is_damage_and_its_rows_are_dropped(store):
    store.upsert(QUARANTINE, rows({"a": "1"}))
    store.upsert(QUARANTINE, rows({"b": "1"}))
    assert store.damage(QUARANTINE) == []
    files = [path for path in store.bucket.list("quarantine.lance/data")]
    store.bucket.delete(files[0])
    found = store.damage(QUARANTINE)
    assert [one.problem for one in found] == ["is missing"]
    kept = store.sound_rows(QUARANTINE, ("row_id",))["row_id"].to_pylist()
    assert len(kept) == 1
    store.drop_damaged(QUARANTINE)
    assert store.damage(QUARANTINE) == [] and set(held(store)) == set(kept)


def test_a_file_that_cannot_be_decoded_is_named_and_a_bucket_that_fails_is_no_damage(store, elsewhere, s3):
    store.upsert(QUARANTINE, rows({"a": "1"}))
    (file,) = store.bucket.list("quarantine.lance/data")
    s3.fail(10**6, (403, {}, b"<Error><Code>AccessDenied</Code></Error>"), matching="/data/")
    with pytest.raises(StoreError) as refused:
        held(elsewhere("there"))
    assert not isinstance(refused.value, TableDamagedError)
    s3.faults.clear()
    store.bucket.write(file, bytes(len(store.bucket.read(file))))
    with pytest.raises(TableDamagedError, match="cannot be decoded"):
        held(elsewhere("there"))
    assert elsewhere("later").damage(QUARANTINE)


def test_the_mark_changes_with_every_write_and_not_with_a_beat(store):
    store.upsert(QUARANTINE, rows({"a": "1"}))
    before = store.mark(leave_out=("left/out",))
    store.bucket.write("lease/0000000001.json", b"beat")
    store.bucket.write("left/out", b"x")
    assert store.mark(leave_out=("left/out",)) == before
    store.delete(QUARANTINE, ["a"])
    assert store.mark(leave_out=("left/out",)) not in (before, None)


def test_a_place_that_holds_something_else_is_refused(bucket_url, store, tmp_path):
    store.bucket.delete("corpus.json")
    store.bucket.write("something", b"else")
    with pytest.raises(StoreError, match="holds files but no corpus"):
        ObjectStore(bucket_url, "corpus", tmp_path / "x", cache_bytes=GB).version(QUARANTINE)


@pytest.mark.parametrize("fault", [LOST, SLOW_DOWN, (500, {}, b"")])
def test_an_answer_that_gets_lost_or_is_a_failure_is_asked_for_again(bucket_url, s3, fault):
    bucket = Bucket(bucket_url)
    bucket.write("count", b"0")
    for method in ("PUT", "GET"):
        s3.fail(2, fault, method=method)
    assert bucket.create("new", b"mine") is True
    bucket.update("count", lambda old: str(int(old) + 1).encode())
    assert bucket.read("count") == b"1"
    assert bucket.create("new", b"mine") is False


def test_an_unknown_bucket_and_refused_credentials_are_one_clear_line(s3, tmp_path):
    store = ObjectStore("s3://nowhere-to-be-found/x", "corpus", tmp_path, cache_bytes=GB)
    for ask in (store.snapshots.live, store.create, lambda: store.rows(QUARANTINE, ("row_id",))):
        with pytest.raises(StoreError, match=r"^s3://nowhere.*there is no such bucket$"):
            ask()
    s3.fail(10**6, (403, {}, b"<Error><Code>InvalidAccessKeyId</Code></Error>"))
    with pytest.raises(StoreError, match="refuses these credentials"):
        store.snapshots.live()


def made(folders, name, **files):
    folder = folders.local / name
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    folders.keep(name)
    return folder


def read(folder):
    return {one.relative_to(folder).as_posix(): one.read_bytes() for one in folder.rglob("*") if one.is_file()}


def test_a_folder_is_kept_once_fetched_once_and_shared_with_its_sibling(store, elsewhere, s3):
    big = b"x" * 100_000
    made(store.indexes, "one", shard=big, manifest=b"1")
    s3.requests.clear()
    made(store.indexes, "two", shard=big, manifest=b"2")
    assert s3.count("PUT", "indexes/two/") == 2  # one of them a copy within the bucket
    other = elsewhere("there").indexes
    assert other.names() == ["one", "two"]
    assert read(other.fetch("one")) == {"shard": big, "manifest": b"1"}
    s3.requests.clear()
    two = other.fetch("two")
    assert read(two) == {"shard": big, "manifest": b"2"}
    assert s3.count("GET", "indexes/two/shard") == 0 and (two / "shard").samefile(other.local / "one" / "shard")
    s3.requests.clear()
    assert other.fetch("one") and other.fetch("two") and s3.requests == []
    assert elsewhere("there").indexes.fetch("two") and s3.requests == []
    assert not other.fetch("none").exists()
    other.delete("one")
    assert other.names() == ["two"] and not (other.local / "one").exists()


def test_what_the_bucket_lost_or_garbled_is_noticed_and_kept_again(store, elsewhere):
    made(store.indexes, "one", a=b"aaaa", b=b"bbbb")
    store.bucket.delete("indexes/one/a")
    store.bucket.write("indexes/one/b", b"BBBB")
    assert [line for line in store.indexes.lacks("one") if "indexes/one/a is missing" in line]
    other = elsewhere("there").indexes
    assert read(other.fetch("one")) == {}
    made(other, "one", a=b"aaaa", b=b"bbbb")
    assert other.lacks("one") == []
    assert read(elsewhere("third").indexes.fetch("one")) == {"a": b"aaaa", "b": b"bbbb"}


def test_a_copy_that_was_cut_short_is_fetched_again(store, elsewhere):
    made(store.indexes, "one", a=b"aaaa")
    folder = elsewhere("there").indexes.fetch("one")
    (folder / "a").write_bytes(b"a")
    assert read(elsewhere("there").indexes.fetch("one")) == {"a": b"aaaa"}


def test_the_cache_evicts_what_was_used_longest_ago_and_nothing_in_use(bucket_url, store, tmp_path):
    for number, name in enumerate(("one", "two", "three", "four")):
        made(store.indexes, name, a=name.encode() * 1000, **{name: bytes(number)})
    small = lambda: ObjectStore(bucket_url, "corpus", tmp_path / "small", cache_bytes=10_500).indexes  # noqa: E731
    there = lambda: sorted(one.name for one in (tmp_path / "small/cache/indexes").iterdir() if one.is_dir())  # noqa: E731
    first, second = small(), small()
    first.fetch("one")
    second.fetch("two")
    second.fetch("three")
    assert there() == ["one", "three", "two"], "too much, and all of it in use"
    del first, second
    third = small()
    third.fetch("four")
    assert there() == ["four", "three"]
    assert read(third.fetch("one"))["a"] == b"one" * 1000


def test_a_build_that_dies_before_its_list_is_written_is_not_there(store, s3):
    s3.fail(10**6, (403, {}, b""), method="PUT", matching="indexes/one.json")
    with pytest.raises(StoreError):
        made(store.indexes, "one", a=b"aaaa")
    assert store.indexes.names() == [] and store.indexes.lacks("one")
