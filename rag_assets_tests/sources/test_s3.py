"""S3 against a real server of its protocol (moto, on loopback), with the failures that a network has in store."""

import builtins

import pytest

from rag_assets_tests.sources.reading import failures, fetch, fetch_listed
from resources.errors import SettingsError, SourceError
from resources.sources.base import RawDocument
from resources.sources.fetching import list_source
from resources.sources.registry import open_source

SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
BROKEN = b"<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>"
DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
WRONG_KEY = b"<Error><Code>InvalidAccessKeyId</Code><Message>No such key.</Message></Error>"
XML = {"Content-Type": "application/xml"}


def s3(bucket, **options):
    return open_source("s3", "bucket", {**bucket.options, **options})


def texts(outcomes):
    return {key: one.data for key, one in outcomes.items() if isinstance(one, RawDocument)}


def test_objects_below_a_prefix_are_listed_and_read(bucket):
    for key in ("docs/a.txt", "docs/deep/b.md", "docs/c.bin", "docs/", "elsewhere/d.txt", "docsnot/e.txt"):
        bucket.put_as(key, key.encode())
    source = s3(bucket, url=f"s3://{bucket.name}/docs/")
    items = list(source.discover())
    assert [item.key for item in items] == ["a.txt", "deep/b.md"]
    assert all(item.size and item.modified and item.checksum and item.url for item in items)
    outcomes = fetch_listed(source)
    assert texts(outcomes) == {"a.txt": b"docs/a.txt", "deep/b.md": b"docs/deep/b.md"}
    assert {item.key: item.version for item in items} == {key: one.version for key, one in outcomes.items()}
    [one] = s3(bucket, url=f"s3://{bucket.name}", include=["docs/*"], exclude=["*.bin", "*.md"]).discover()
    assert one.key == "docs/a.txt"


def test_listing_costs_one_call_a_page_and_looks_at_no_object(bucket):
    bucket.put_many({f"{number:04}.txt": b"x" for number in range(1001)})
    assert len(list(s3(bucket).discover())) == 1001
    assert [method for method, _ in bucket.proxy.requests] == ["GET", "GET"], bucket.proxy.requests


def test_a_large_object_is_read_in_blocks(bucket):
    bucket.put_as("large.txt", b"0123456789abcdef" * (20 << 16))
    [outcome] = fetch(s3(bucket), ["large.txt"])
    assert isinstance(outcome, RawDocument) and len(outcome.data) == 20 << 20
    assert bucket.proxy.count("GET", "large.txt") == 3
    outcomes = fetch_listed(s3(bucket, max_mb=19))
    assert failures(outcomes)["large.txt"][0] == "exhaustion" and bucket.proxy.count("GET", "large.txt") == 3


@pytest.mark.parametrize("fault", [(503, {**XML, "Retry-After": "0"}, SLOW_DOWN), (500, XML, BROKEN), 5])
def test_throttling_server_errors_and_resets_are_waited_out(bucket, fault):
    bucket.put(**{f"{name}.txt": f"{name} of a certain length".encode() for name in "abcdefgh"})
    bucket.proxy.fail(3, fault, matching=".txt")
    outcomes = fetch_listed(s3(bucket))
    assert len(texts(outcomes)) == 8
    bucket.proxy.fail(2, fault, matching="list-type")
    assert len(list_source(s3(bucket), pause=0.001)) == 8


def test_what_does_not_end_is_recorded_for_later_and_the_circuit_opens(bucket):
    bucket.put(**{f"{number:02}.txt": b"text" for number in range(40)})
    bucket.proxy.fail(10_000, (500, XML, BROKEN), matching=".txt")
    outcomes = fetch_listed(s3(bucket, concurrency=2))
    found = failures(outcomes)
    assert len(found) == 40 and {kind for kind, _ in found.values()} == {"network"}
    assert sum("not tried" in reason for _, reason in found.values()) >= 30
    assert bucket.proxy.count("GET", ".txt") <= 8 * 5


def test_a_forbidden_object_fails_alone_and_wrong_credentials_are_asked_about_once(bucket):
    bucket.put(**{f"{name}.txt": b"text" for name in "abcdefgh"})
    bucket.proxy.fail(9, (403, XML, DENIED), matching="/c.txt")
    outcomes = fetch_listed(s3(bucket))
    assert {key: kind for key, (kind, _) in failures(outcomes).items()} == {"c.txt": "permission"}
    before = bucket.proxy.count("GET", ".txt")
    bucket.proxy.fail(99, (403, XML, WRONG_KEY), matching=".txt")
    outcomes = fetch_listed(s3(bucket, concurrency=1))
    assert {kind for kind, _ in failures(outcomes).values()} == {"authentication"} and len(failures(outcomes)) == 8
    assert bucket.proxy.count("GET", ".txt") == before + 1


def test_an_object_that_changes_between_list_and_read_is_read_as_it_is_now(bucket):
    bucket.put(**{"a.txt": b"before"})
    source = s3(bucket)
    [item] = source.discover()
    bucket.put(**{"a.txt": b"after, and longer"})
    with source.open(item) as opened:
        assert opened.stream.read() == b"after, and longer" and opened.version != item.version
    [now] = source.discover()
    assert opened.version == now.version


def test_an_object_that_changes_while_it_is_read_is_never_a_mixture(bucket):
    bucket.put_as("a.txt", b"1" * (20 << 20))
    once = iter([True])

    def change(method, path):
        if method == "GET" and "a.txt" in path and next(once, None):
            threading_write()

    def threading_write():
        bucket.put_as("a.txt", b"2" * (20 << 20))

    bucket.proxy.faults.append(change)
    [outcome] = fetch(s3(bucket), ["a.txt"])
    assert isinstance(outcome, RawDocument) and set(outcome.data) == {ord("2")}
    [item] = s3(bucket).discover()
    assert outcome.version == item.version


def test_an_object_that_is_gone_is_a_failure_and_a_bucket_that_is_gone_no_empty_listing(bucket):
    bucket.put(**{"a.txt": b"x", "b.txt": b"y"})
    source = s3(bucket)
    items = list(source.discover())
    bucket.delete("a.txt")
    with pytest.raises(FileNotFoundError), source.open(items[0]):
        pass
    assert failures(dict(zip(["a.txt", "b.txt"], fetch(source, ["a.txt", "b.txt"]), strict=True)))["a.txt"][0] == "gone"
    with pytest.raises(SourceError):
        list_source(s3(bucket, url="s3://no-such-bucket-here/"), pause=0.001)


def test_secrets_are_never_shown_and_a_missing_package_names_its_extra(bucket, monkeypatch):
    source = s3(bucket, secret="s3cr3t-value")
    assert "s3cr3t" not in repr(source._options)
    with pytest.raises(SettingsError, match="rate: ") as raised:
        s3(bucket, secret=998877, rate="no")
    assert "998877" not in str(raised.value)
    real = builtins.__import__

    def absent(name, *rest):
        if name.split(".")[0] == "s3fs":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr("resources.sources.registry.import_module", lambda name: absent(name))
    with pytest.raises(SettingsError, match=r"source type s3 needs the package s3fs: pip install 'rag-assets\[s3\]'"):
        list(s3(bucket).discover())
