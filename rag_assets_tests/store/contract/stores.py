"""The kinds of stores that the contract is tested on. Another kind is one more line in `STORES`."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from resources.store.base import CorpusStore
from resources.store.lance_store import LanceStore

CORPUS = "handbook"
BUCKET = "corpora"


def on_lance(folder: Path) -> CorpusStore:
    """A folder."""
    return LanceStore(folder / "corpus", CORPUS)


def on_bucket(folder: Path) -> CorpusStore:
    """A prefix of a bucket; the environment says how to reach the server."""
    from resources.store.object_store import ObjectStore

    place = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    return ObjectStore(f"s3://{BUCKET}/{place}", CORPUS, folder / "local", cache_bytes=10**9)


def on_iris_double(folder: Path) -> CorpusStore:
    """The strict double: its file in the folder."""
    from rag_assets_tests.iris_double import dbapi
    from resources.store.iris.store import IrisStore

    os.environ["IRIS_DOUBLE"] = str(folder)
    return IrisStore("iris://double:double@nowhere:1972/USER?schema=RAG", CORPUS, folder / "local", dbapi)


def on_live_iris(folder: Path) -> CorpusStore:
    """A live server: IRIS_HOST, IRIS_PORT, IRIS_NAMESPACE, IRIS_USERNAME, IRIS_PASSWORD; a schema for each test."""
    from resources.store.iris.store import IrisStore

    port, namespace = os.environ.get("IRIS_PORT", "1972"), os.environ.get("IRIS_NAMESPACE", "USER")
    schema = "RagTest" + "".join(one for one in str(folder) if one.isalnum())[-40:]
    return IrisStore(f"iris://{os.environ['IRIS_HOST']}:{port}/{namespace}?schema={schema}", CORPUS, folder / "local")


STORES: dict[str, Callable[[Path], CorpusStore]] = {
    "lance": on_lance,
    "bucket": on_bucket,
    "iris-double": on_iris_double,
}
if os.environ.get("IRIS_HOST"):
    STORES["iris"] = on_live_iris
"""A kind's name, and how it is opened on what lies in (or is named for) a folder, also from another process."""
