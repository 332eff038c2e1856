"""An S3 server on this machine, with a proxy before it that injects faults."""

import pytest

from rag_assets_tests.sources.servers import Bucket, FaultyProxy, moto_server


@pytest.fixture(scope="session")
def s3_server():
    with moto_server() as address:
        yield address


@pytest.fixture
def bucket(s3_server, request):
    with FaultyProxy(s3_server) as proxy:
        yield Bucket(s3_server, proxy, request.node.name)
