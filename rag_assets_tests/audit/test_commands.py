"""`reconcile … --depth`: what a look at small columns cannot see is named, repaired and gone."""

import json
import os
import subprocess
import sys

import pytest

from rag_assets_tests.audit.test_detection import neighbours


def rag_assets(shelf, *arguments):
    ours = {key: value for key, value in os.environ.items() if key not in ("RAG_HOME", "RAG_CONFIG", "DAGSTER_HOME")}
    command = [sys.executable, "-m", "rag_assets", *arguments]
    return subprocess.run(command, cwd=shelf.folder, env=ours, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_swapped_vectors_are_named_repaired_and_gone(shelf, instance):
    victims = neighbours(shelf)
    shelf.plant("shuffled", victims)
    shelf.publish_as_it_is(instance)
    assert "dense_index_mismatch" in rag_assets(shelf, "reconcile", "status").stdout
    seen = rag_assets(shelf, "reconcile", "status", "--depth", "reembed")
    assert seen.returncode == 1 and "shuffled_vectors" in seen.stdout and "--depth reembed" in seen.stdout
    assert "shuffled_vectors" not in rag_assets(shelf, "reconcile", "status", "--json").stdout, "a look writes nothing"

    done = rag_assets(shelf, "reconcile", "run", "--depth", "reembed", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["holds"] and len(report["runs"]) == 1
    assert rag_assets(shelf, "reconcile", "status", "--depth", "reembed").returncode == 0
