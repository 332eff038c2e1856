"""`corpora adopt`, `corpora list` and `reconcile status`, as they are typed."""

import json
import os
import subprocess
import sys

import psycopg
import pytest

from rag_assets_tests.adoption.made import with_bad_vectors
from rag_assets_tests.adoption.test_postgres import store


@pytest.fixture
def rag_assets(tmp_path):
    environment = {**os.environ, "RAG_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}

    def run(*arguments, **more):
        command = [sys.executable, "-m", "rag_assets", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=environment | more, capture_output=True, text=True, check=False
        )

    return run


def test_adopted_once_and_looked_at_ever_after(postgres, passages, rag_assets, tmp_path):
    planted = with_bad_vectors(passages[:120])
    store(postgres, planted.rows)
    url = postgres.replace("postgres@", "postgres:${SECRET}@")
    done = rag_assets("corpora", "adopt", url, "--table", "passages", "--corpus", "bought", "--json", SECRET="hush")
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    assert {one["type"]: set(one["ids"]) for one in report["issues"]} == planted.expected
    assert report["corpus"] == "bought" and report["model"] == "all-MiniLM-L6-v2" and not report["holds"]
    assert "hush" not in "".join(one.read_text() for one in (tmp_path / "home").rglob("*.json"))

    seen = rag_assets("reconcile", "status", "--corpus", "bought", SECRET="hush")
    assert seen.returncode == 1 and "3 rows have zero vectors (zero_vectors, live). Repair: embed." in seen.stdout
    assert rag_assets("reconcile", "status", "--corpus", "bought").returncode == 2, "the variable is not set"
    assert "bought" in rag_assets("corpora", "list").stdout
    assert "is a table of other software" in rag_assets("query", "why?", "--corpus", "bought").stderr

    with psycopg.connect(postgres) as connection:
        connection.execute(
            "DELETE FROM passages WHERE id = ANY (%s)", [sorted(set().union(*planted.expected.values()))]
        )
    healthy = rag_assets("reconcile", "status", "--corpus", "bought", "--json", SECRET="hush")
    assert healthy.returncode == 1, "documents lack the rows that were deleted"
    assert {one["type"] for one in json.loads(healthy.stdout)["issues"]} == {"incomplete_documents"}


def test_bad_input_is_one_line_and_leaves_nothing(postgres, passages, rag_assets, tmp_path):
    store(postgres, passages[:3])
    for arguments, said in [
        ((postgres, "--table", "passages", "--map", "text"), "ROLE=COLUMN is expected"),
        ((postgres, "--table", "passages", "--map", "txt=content"), "there is no role 'txt'"),
        ((postgres, "--table", "passages", "--corpus", "default"), "is a corpus of our own"),
        (("mysql://localhost/x",), "a URL begins with postgresql://"),
    ]:
        refused = rag_assets("corpora", "adopt", *arguments)
        assert refused.returncode == 2 and said in refused.stderr and refused.stderr.count("\n") == 1, refused.stderr
    assert not (tmp_path / "home" / "adopted").exists()
