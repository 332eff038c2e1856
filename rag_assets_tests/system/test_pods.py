"""`execution: k8s`: a build whose steps are pods, on the instance that `deploy/` describes and a strict API server."""

import base64
import json
import zlib
from importlib import import_module
from pathlib import Path
from pydoc_data.topics import topics

import dagster as dg
import pytest
import yaml
from dagster._config import process_config, resolve_to_config_type
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.instance.ref import InstanceRef
from dagster._core.launcher import LaunchRunContext
from dagster._core.storage.tags import PARTITION_NAME_TAG
from dagster._serdes import serialize_value

from rag_assets.executors import pod_config
from rag_assets.jobs import search_ready
from rag_assets_tests.system.cluster import Cluster, problem
from resources.execution import PodsSettings
from resources.store.lance_store import LanceStore
from resources.store.tables import CHUNKS
from sensors.corpora import register_corpora

DEPLOY = Path(__file__).parents[2] / "deploy" / "dagster.yaml"
SECRETS = {"DAGSTER_PG_PASSWORD": "never-in-a-specification", "AWS_SECRET_ACCESS_KEY": "nor-this-one"}
PLAIN = {"DAGSTER_PG_HOST": "db", "DAGSTER_PG_DB": "dagster", "DAGSTER_PG_USERNAME": "dagster"}
IMAGE = "registry.example/rag-assets:1"
PODS = {
    "default": {"cpu": "500m", "memory": "2Gi"},
    "documents": {"memory": "4Gi"},
    "token_embeddings": {
        "cpu": "4",
        "gpu": 1,
        "node_selector": {"pool": "gpu"},
        "tolerations": [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}],
    },
}


@pytest.fixture
def environment(monkeypatch):
    for name, value in {**SECRETS, **PLAIN, "RAG_ASSETS_IMAGE": IMAGE}.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_the_instance_of_deploy_is_one_that_dagster_takes(environment):
    reference = InstanceRef.from_dir(str(DEPLOY.parent))
    stores = [reference.run_storage_data, reference.event_storage_data, reference.schedule_storage_data]
    parts = [*stores, reference.run_launcher_data, reference.compute_logs_data]
    for part in parts:
        kind = getattr(import_module(part.module_name), part.class_name)
        result = process_config(resolve_to_config_type(kind.config_type()), yaml.safe_load(part.config_yaml))
        assert result.success, result.errors
    assert all(part.class_name.startswith("Postgres") for part in stores)
    assert reference.run_launcher_data.class_name == "K8sRunLauncher"
    assert not any(secret in serialize_value(reference) for secret in SECRETS.values()), "it is handed to every pod"


def test_what_a_pod_asks_for():
    pods = PodsSettings.model_validate(PODS)
    assert pod_config(PodsSettings().of("token_embeddings")) == {}
    assert pod_config(pods.of(None)) == pod_config(pods.of("snapshot"))
    assert pod_config(pods.of("documents"))["container_config"]["resources"] == {
        "requests": {"cpu": "500m", "memory": "4Gi"},
        "limits": {"memory": "4Gi"},
    }
    embedding = pod_config(pods.of("token_embeddings"))
    assert embedding["container_config"]["resources"] == {
        "requests": {"cpu": "4", "memory": "2Gi"},
        "limits": {"memory": "2Gi", "nvidia.com/gpu": "1"},
    }
    assert embedding["pod_spec_config"]["node_selector"] == {"pool": "gpu"}


def test_the_api_server_refuses_what_a_real_one_refuses():
    container = {"name": "one", "image": "i", "args": [], "resources": {"limits": {"memory": "2Gi"}}}
    pod = {"restartPolicy": "Never", "containers": [container]}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "a", "labels": {}}}
    job["spec"] = {"template": {"metadata": {"labels": {}}, "spec": pod}}
    assert problem(job) is None
    for place, key, value in (
        (container, "resourcess", {}),
        (container, "image", 7),
        (container["resources"]["limits"], "memory", "2 GB"),
        (container, "volumeMounts", [{"name": "nowhere", "mountPath": "/x"}]),
        (pod, "tolerations", [{"operators": "Exists"}]),
        (job["metadata"], "name", "Not_a_name"),
        (job["metadata"], "labels", {"dagster/op": "do[0]"}),
    ):
        before = dict(place)
        place[key] = value
        assert problem(job) is not None, (key, value)
        place.clear()
        place.update(before)


def everything_said(job):
    """Return the text of a Job, with what dagster packs into a pod's environment unpacked."""
    packed = [
        one["value"]
        for container in job["spec"]["template"]["spec"]["containers"]
        for one in container.get("env", [])
        if one["name"] == "DAGSTER_COMPRESSED_EXECUTE_STEP_ARGS"
    ]
    return json.dumps(job) + "".join(zlib.decompress(base64.b64decode(one)).decode() for one in packed)


@pytest.mark.slow
def test_a_build_whose_steps_are_pods(tmp_path, environment):
    (tmp_path / "docs").mkdir()
    for name in sorted(topics)[:8]:
        (tmp_path / "docs" / f"{name}.txt").write_text(topics[name], "utf-8")
    execution = {"mode": "k8s", "max_concurrent": 3, "per_step": 25, "pods": PODS}
    corpora = {"default": {"sources": [{"type": "folder", "path": "docs"}]}}
    (tmp_path / "rag.yaml").write_text(yaml.safe_dump({"corpora": corpora, "execution": execution}), "utf-8")
    home = tmp_path / "dagster"
    home.mkdir()
    ours = {"RAG_CONFIG": str(tmp_path / "rag.yaml"), "RAG_HOME": str(tmp_path / "rag"), "DAGSTER_HOME": str(home)}
    for name, value in ours.items():
        environment.setenv(name, value)

    with Cluster({"rag-assets": PLAIN | ours}, {"rag-assets": SECRETS}) as cluster:
        content = yaml.safe_load(DEPLOY.read_text("utf-8"))
        del content["storage"]  # records in SQLite; all else as deployed, but for where the API server is
        reached = {"load_incluster_config": False, "kubeconfig_file": str(cluster.kubeconfig(tmp_path / "kubeconfig"))}
        content["run_launcher"]["config"] |= reached | {"dagster_home": str(home)}
        (home / "dagster.yaml").write_text(yaml.safe_dump(content), "utf-8")
        with dg.DagsterInstance.get() as instance:
            register_corpora(instance, ["default"])
            code = ReconstructableRepository.for_module("rag_assets.definitions", "defs")
            job = code.get_reconstructable_job(search_ready.name)
            result = dg.execute_job(job, instance, tags={PARTITION_NAME_TAG: "default"})
            assert result.success, [str(one.event_specific_data) for one in result.all_events if one.is_failure]
            steps = list(cluster.jobs.values())
            instance.run_launcher.launch_run(LaunchRunContext(instance.get_run_by_id(result.run_id), workspace=None))
    assert not cluster.refused

    store = LanceStore(tmp_path / "rag" / "corpora" / "default", "default")
    assert store.snapshots.live().counts["chunks"] == len(store.rows(CHUNKS, ("chunk_id",)))
    assert store.lease.holder().number == 1 and store.lease.holder().released, "one number for all pods of the run"
    left = [path for path in (home / "storage").rglob("*") if path.is_file()] if (home / "storage").is_dir() else []
    assert not left, "no step hands data to another over its disk"

    at_work = {}
    for one in steps:
        labels, [container] = one["metadata"]["labels"], one["spec"]["template"]["spec"]["containers"]
        at_work[labels["dagster/op"]] = container["resources"]
        assert container["image"] == IMAGE
    mapped = [name for name in at_work if "do_token_embeddings" in name]
    assert len(mapped) > 1 and any("plan_chunks" in name for name in at_work), sorted(at_work)
    assert {name for name, asked in at_work.items() if "nvidia.com/gpu" in asked["limits"]} == set(mapped)
    assert all(asked["limits"]["memory"] in ("2Gi", "4Gi") for asked in at_work.values())
    assert len(cluster.jobs) == len(steps) + 1, "and the run's own"
    for one in cluster.jobs.values():
        said = everything_said(one)
        assert not any(secret in said for secret in SECRETS.values())
        assert {"secretRef": {"name": "rag-assets"}} in one["spec"]["template"]["spec"]["containers"][0]["envFrom"]
