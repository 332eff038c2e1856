"""A bucket on a real S3 server of this machine, behind a proxy that counts requests and injects faults."""

import logging

import boto3
import pytest

from rag_assets_tests.sources.servers import FaultyProxy, moto_server
from rag_assets_tests.store.contract.stores import BUCKET


@pytest.fixture(scope="session")
def s3_server():
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with moto_server() as address:
        keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
        boto3.client("s3", endpoint_url="http://{}:{}".format(*address), **keys).create_bucket(Bucket=BUCKET)
        yield address


@pytest.fixture
def s3(s3_server, monkeypatch):
    """The proxy; the environment says how to reach it, as a user's would."""
    with FaultyProxy(s3_server) as proxy:
        for name, value in environment(proxy).items():
            monkeypatch.setenv(name, value)
        yield proxy


@pytest.fixture
def bucket_url(s3, tmp_path):
    return f"s3://{BUCKET}/{tmp_path.parent.name}/{tmp_path.name}"


def environment(proxy):
    return {
        "AWS_ENDPOINT_URL": proxy.address,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
    }
