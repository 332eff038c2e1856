"""A Qdrant collection with planted faults, in a folder of the client's local mode, audited without changing a byte."""

import hashlib
import json

import numpy as np
import pytest
from qdrant_client import QdrantClient
from qdrant_client.models import Distance, PointStruct, VectorParams

from rag_assets_tests.adoption.made import with_bad_rows, with_bad_vectors
from rag_assets_tests.adoption.test_postgres import found_in
from resources.adoption.adopting import adopt, look_again
from resources.adoption.registration import Registration
from resources.errors import AdoptionError


def langchain(one):
    """Return the payload that LangChain's store writes."""
    text = {} if one.text is None else {"page_content": one.text}
    return {**text, "metadata": {"source": one.document, "page": one.ordinal}}


def llama_index(one):
    """Return the payload that LlamaIndex's store writes."""
    return {"_node_content": json.dumps({"text": one.text, "id_": one.key}), "ref_doc_id": one.document}


def store(folder, rows, payload=langchain, distance=Distance.DOT, name="text-dense"):
    client = QdrantClient(path=str(folder))
    client.create_collection("articles", {name: VectorParams(size=384, distance=distance)})
    points = [
        PointStruct(id=int(one.key), payload=payload(one), vector={} if one.vector is None else {name: one.vector})
        for one in rows
    ]
    client.upsert("articles", points)
    client.close()


def digests(folder):
    """Return the digest of each file; the client locks a folder by a file of its own."""
    files = [one for one in sorted(folder.rglob("*")) if one.is_file() and one.name != ".lock"]
    return {one: hashlib.sha256(one.read_bytes()).hexdigest() for one in files}


def test_each_planted_fault_is_named_and_nothing_is_written(passages, tmp_path, settings):
    planted = with_bad_rows(with_bad_vectors(passages), orphans=False)
    at = planted.take(2)
    infinite = planted.rows[at[0]].vector.copy()
    infinite[7] = np.inf
    planted.change("non_finite_vectors", at, vector=[infinite, -infinite])
    folder = tmp_path / "qdrant"
    store(folder, planted.rows)
    before = digests(folder)
    registration, found = adopt(settings, "articles", Registration(url=f"qdrant:{folder}"), {}, seed=1)
    assert found_in(found) == planted.expected
    assert registration.model == "all-MiniLM-L6-v2" and registration.roles == {
        "key": "id",
        "document": "metadata.source",
        "text": "page_content",
        "vector": "text-dense",
    }
    assert found_in(look_again(settings, registration, "scan")) == planted.expected
    assert digests(folder) == before


def test_what_llama_index_stores_is_understood(passages, tmp_path, settings):
    """Cosine collections hold vectors of unit length whatever was given."""
    planted = with_bad_vectors(passages[:120], unit=True)
    folder = tmp_path / "qdrant"
    store(folder, planted.rows, llama_index, Distance.COSINE)
    registration, found = adopt(settings, "articles", Registration(url=f"qdrant:{folder}"), {}, seed=1)
    assert registration.roles["text"] == "_node_content.text" and registration.roles["document"] == "ref_doc_id"
    assert found_in(found) == planted.expected


def test_errors_say_what_to_type(passages, tmp_path, settings):
    folder = tmp_path / "qdrant"
    with pytest.raises(AdoptionError, match="no folder of Qdrant"):
        adopt(settings, "x", Registration(url=f"qdrant:{folder}"), {})
    assert not folder.exists(), "a folder that is not there is not made"
    store(folder, passages[:3], lambda one: {"prose": one.text})
    with pytest.raises(AdoptionError, match="there is no 'other'; there are: articles"):
        adopt(settings, "x", Registration(url=f"qdrant:{folder}", collection="other"), {})
    with pytest.raises(AdoptionError, match=r"cannot tell .* prose \(str\)\. Say so: --map text=COLUMN"):
        adopt(settings, "x", Registration(url=f"qdrant:{folder}"), {})
    with pytest.raises(AdoptionError, match="Qdrant"):
        adopt(settings, "x", Registration(url="qdrant+http://127.0.0.1:1"), {})
