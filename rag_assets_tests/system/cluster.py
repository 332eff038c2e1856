"""A Kubernetes API server on loopback, as strict as a real one about Jobs, with one node that runs their commands.

It answers the three calls that dagster-k8s makes, refuses (and remembers) every other, holds each Job to the schema of
`VERSION` without unknown fields, and names, labels and quantities to their rules. Its node gives a pod the environment
that the Job's specification names (config maps and secrets are looked up by name) and nothing of ours.
"""

import json
import multiprocessing
import os
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import kubernetes_validate
import yaml

VERSION = "1.34"
JOBS = re.compile(r"/apis/batch/v1/namespaces/([^/]+)/jobs(?:/([^/]+)(/status)?)?")
NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
LABEL = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9])?")
QUANTITY = re.compile(r"\d+(\.\d+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?")
KEPT = ("PATH", "HOME", "OMP_NUM_THREADS", "PYTHONPATH", "VIRTUAL_ENV")


def problem(job: dict[str, Any]) -> str | None:
    """Return why an API server would refuse the Job, None when it would not."""
    try:
        kubernetes_validate.validate(job, VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{'.'.join(str(part) for part in error.path)}: {error.message}"
    template = job["spec"]["template"]
    for place in (job["metadata"], template["metadata"]):
        if "name" in place and not NAME.fullmatch(place["name"]):
            return f"{place['name']!r} is no name"
        for key, value in place.get("labels", {}).items():
            if not LABEL.fullmatch(value):
                return f"label {key}: {value!r} is no label's value"
    mounted = {mount["name"] for one in template["spec"]["containers"] for mount in one.get("volumeMounts", [])}
    if unknown := mounted - {volume["name"] for volume in template["spec"].get("volumes", [])}:
        return f"volume {unknown} is mounted and not there"
    for container in template["spec"]["containers"]:
        for kind in ("requests", "limits"):
            for name, value in container.get("resources", {}).get(kind, {}).items():
                if not QUANTITY.fullmatch(value):
                    return f"{kind}.{name}: {value!r} is no quantity"
    return None


class Cluster:
    """The API server and its node. `jobs`: what was accepted, by name; `refused`: what was not, with the reason."""

    def __init__(self, config_maps: dict[str, dict[str, str]], secrets: dict[str, dict[str, str]]) -> None:
        self.config_maps, self.secrets = config_maps, secrets
        self.jobs: dict[str, dict[str, Any]] = {}
        self.refused: list[str] = []
        self._pods: dict[str, Any] = {}
        self._lock = Lock()
        self._node = multiprocessing.get_context("forkserver")
        self._node.set_forkserver_preload(["rag_assets.definitions", "dagster._cli"])
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))

    def __enter__(self) -> "Cluster":
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        for pod in self._pods.values():
            pod.kill()

    def kubeconfig(self, path: Path) -> Path:
        """Write how to reach it."""
        where = f"http://127.0.0.1:{self._server.server_address[1]}"
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": where}}],
            "users": [{"name": "test", "user": {}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        }
        path.write_text(yaml.safe_dump(content), "utf-8")
        return path

    def create(self, job: dict[str, Any], namespace: str) -> tuple[int, dict[str, Any]]:
        """Accept a Job and run its pod, unless it is a run's own: tests are the run worker themselves."""
        name = job["metadata"]["name"]
        with self._lock:
            if name in self.jobs:
                return 409, _status(409, f"job {name} exists")
            if (why := problem(job)) is not None:
                self.refused.append(f"{name}: {why}")
                return 422, _status(422, why)
            self.jobs[name] = job | {"metadata": job["metadata"] | {"namespace": namespace}}
            if job["metadata"]["labels"]["app.kubernetes.io/component"] == "step_worker":
                container = job["spec"]["template"]["spec"]["containers"][0]
                Thread(target=self._start, args=(name, container), daemon=True).start()
        return 201, self.jobs[name]

    def read(self, name: str) -> tuple[int, dict[str, Any]]:
        """Return a Job with its status."""
        if name not in self.jobs:
            return 404, _status(404, f"no job {name}")
        pod = self._pods.get(name)
        ended = pod is not None and not pod.is_alive()
        outcome = {"succeeded" if pod.exitcode == 0 else "failed": 1} if ended else {"active": 1}
        return 200, self.jobs[name] | {"status": outcome}

    def _start(self, name: str, container: dict[str, Any]) -> None:
        environment = {name: os.environ[name] for name in KEPT if name in os.environ}
        for one in container.get("envFrom", []):
            if "configMapRef" in one:
                environment |= self.config_maps[one["configMapRef"]["name"]]
            if "secretRef" in one:
                environment |= self.secrets[one["secretRef"]["name"]]
        environment |= {one["name"]: one["value"] for one in container.get("env", [])}
        pod = self._node.Process(target=_work, args=([*container.get("command", []), *container["args"]], environment))
        pod.start()
        self._pods[name] = pod


def _work(command: list[str], environment: dict[str, str]) -> None:
    """Be the container: the command with this environment, in a process that has imported what it will need."""
    os.environ.clear()
    os.environ.update(environment)
    assert command[0] == "dagster", command
    sys.argv = command
    from dagster.__main__ import main

    main()


def _status(code: int, message: str) -> dict[str, Any]:
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message}


def _handler(cluster: Cluster) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            match = JOBS.fullmatch(self.path)
            if match is None or match[2]:
                self._refuse()
            else:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self._answer(*cluster.create(body, match[1]))

        def do_GET(self) -> None:
            match = JOBS.fullmatch(self.path)
            if match is None or not match[2]:
                self._refuse()
            else:
                self._answer(*cluster.read(match[2]))

        def do_DELETE(self) -> None:
            self._refuse()

        def _refuse(self) -> None:
            cluster.refused.append(f"{self.command} {self.path}")
            self._answer(404, _status(404, "not served here"))

        def _answer(self, code: int, content: dict[str, Any]) -> None:
            body = json.dumps(content).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
