"""Azure Blob Storage and Google Cloud Storage against emulators on loopback (azurite; gcp-storage-emulator)."""

import shutil
import socket
import subprocess
import time
from contextlib import closing

import pytest
import requests

from rag_assets_tests.sources.reading import failures, fetch, fetch_listed
from rag_assets_tests.sources.servers import FaultyProxy
from resources.errors import SourceError
from resources.sources.base import RawDocument
from resources.sources.fetching import fetch_all, list_source
from resources.sources.registry import open_source

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="  # azurite's own


@pytest.fixture(scope="module")
def azurite(tmp_path_factory):
    program = shutil.which("azurite-blob")
    if program is None:
        pytest.skip("needs azurite on the PATH: npm install --global azurite")
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("azurite")
    options = ["--blobPort", str(port), "--location", str(folder), "--silent", "--skipApiVersionCheck"]
    server = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with closing(socket.socket()) as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield ("127.0.0.1", port)
    finally:
        server.terminate()
        server.wait()


class Azure:
    def __init__(self, address, proxy):
        from azure.storage.blob import BlobServiceClient

        self.proxy = proxy
        self._container = BlobServiceClient.from_connection_string(self._connection(address)).create_container("docs")

    def _connection(self, address):
        endpoint = "http://{}:{}/{}".format(*address, ACCOUNT)
        return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={endpoint};"

    def put(self, key, data):
        self._container.upload_blob(key, data, overwrite=True)

    def delete(self, key):
        self._container.delete_blob(key)

    def close(self):
        self._container.delete_container()

    def source(self, bucket="docs", prefix="", **options):
        host, port = self.proxy.address.removeprefix("http://").split(":")
        place = {"url": f"az://{bucket}/{prefix}", "connection_string": self._connection((host, port))}
        return open_source("azure", "azure", {**place, **options})


@pytest.fixture(scope="module")
def gcs_emulator():
    from gcp_storage_emulator.server import create_server

    server = create_server("127.0.0.1", 0, in_memory=True)
    server.start()
    try:
        yield server._api._httpd.server_address
    finally:
        server.stop()


class Gcs:
    def __init__(self, address, proxy):
        self.proxy, self._address = proxy, "http://{}:{}".format(*address)
        requests.post(f"{self._address}/storage/v1/b", params={"project": "p"}, json={"name": "docs"}, timeout=5)

    def put(self, key, data):
        where = f"{self._address}/upload/storage/v1/b/docs/o"
        params = {"uploadType": "media", "name": key}
        requests.post(
            where, params=params, data=data, headers={"Content-Type": "text/plain"}, timeout=5
        ).raise_for_status()

    def delete(self, key):
        where = f"{self._address}/storage/v1/b/docs/o/{requests.utils.quote(key, safe='')}"
        requests.delete(where, timeout=5).raise_for_status()

    def close(self):
        requests.get(f"{self._address}/wipe", timeout=5)

    def source(self, bucket="docs", prefix="", **options):
        place = {"url": f"gs://{bucket}/{prefix}", "endpoint_url": self.proxy.address, "anonymous": True}
        return open_source("gcs", "gcs", {**place, **options})


@pytest.fixture(params=["azure", "gcs"])
def cloud(request):
    kind, server = {"azure": (Azure, "azurite"), "gcs": (Gcs, "gcs_emulator")}[request.param]
    address = request.getfixturevalue(server)
    with FaultyProxy(address) as proxy:
        made = kind(address, proxy)
        yield made
        made.close()


def test_objects_below_a_prefix_are_listed_and_read(cloud):
    for key in ("in/a.txt", "in/deep/b.md", "in/c.bin", "out/d.txt", "inside/e.txt"):
        cloud.put(key, key.encode())
    source = cloud.source(prefix="in/")
    items = list(source.discover())
    assert [item.key for item in items] == ["a.txt", "deep/b.md"]
    assert all(item.size and item.modified and item.url for item in items)
    outcomes = fetch_listed(source)
    assert {key: one.data for key, one in outcomes.items()} == {"a.txt": b"in/a.txt", "deep/b.md": b"in/deep/b.md"}
    assert {item.key: item.version for item in items} == {key: one.version for key, one in outcomes.items()}


def test_a_listing_looks_at_no_object(cloud):
    for number in range(20):
        cloud.put(f"{number}.txt", b"x")
    source = cloud.source()
    list(source.discover())
    before = len(cloud.proxy.requests)
    assert len(list(source.discover())) == 20
    assert len(cloud.proxy.requests) - before <= 3, cloud.proxy.requests[before:]


def test_versions_change_with_the_content_and_a_change_while_reading_is_noticed(cloud):
    cloud.put("a.txt", b"before")
    source = cloud.source()
    [item] = source.discover()
    cloud.put("a.txt", b"after, and longer")
    [now] = source.discover()
    assert now.version != item.version
    once = iter([True])

    def change(method, path):
        if method == "GET" and "a.txt" in path and next(once, None):
            cloud.put("a.txt", b"after all of this")

    cloud.proxy.faults.append(change)
    [outcome] = fetch(source, ["a.txt"])
    [last] = source.discover()
    assert isinstance(outcome, RawDocument)
    assert (outcome.data, outcome.version) == (b"after all of this", last.version)


@pytest.mark.slow  # Azure's own client waits 15 seconds before it asks again
def test_server_errors_are_waited_out(cloud):
    cloud.put("a.txt", b"alpha")
    cloud.proxy.fail(1, (503, {}, b""), matching="a.txt")
    [outcome] = fetch(cloud.source(), ["a.txt"])
    assert isinstance(outcome, RawDocument) and outcome.data == b"alpha"


def test_what_is_gone_is_a_failure_and_a_bucket_that_is_gone_no_empty_listing(cloud):
    cloud.put("a.txt", b"alpha")
    source = cloud.source()
    items = list(source.discover())
    cloud.delete("a.txt")
    [(_, _, outcome)] = fetch_all([(source, items)], pause=0.001)
    assert failures({"a.txt": outcome})["a.txt"][0] == "gone"
    with pytest.raises(SourceError):
        list_source(cloud.source(bucket="nosuchbucket"), pause=0.001)
