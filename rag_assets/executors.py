"""Where the steps of a run work, as `execution` in `rag.yaml` says: in the run's own process, in others, or in pods.

Whichever it is, the run's own process (the one that starts the steps) is entered into the run's tags, and keeps the
corpus's lease with the run from the first step to the last, also while the next step's process or pod comes up. Not
here: what a step does, and how commands start a run (`runs`).
"""

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from typing import Any

import dagster as dg
from dagster._core.events import DagsterEvent
from dagster._core.execution.context.system import PlanOrchestrationContext
from dagster._core.execution.plan.plan import ExecutionPlan
from dagster._core.execution.retries import RetryMode
from dagster._core.execution.step_dependency_config import StepDependencyConfig
from dagster._core.storage.tags import PARTITION_NAME_TAG

from resources.corpus import open_corpus
from resources.errors import RagAssetsError, SettingsError
from resources.execution import EmbeddingPodSettings, PodSettings
from resources.settings import Settings
from resources.store.lease import Lease
from sensors.dead_runs import mark_run

PRELOADED = "rag_assets.definitions"


def executor_for(settings: Settings, workers: Mapping[str, str]) -> dg.ExecutorDefinition:
    """Return the executor. `workers`: which op does the work of which asset, so that its pods may ask for more.

    SettingsError when its package is not installed.
    """
    execution = settings.execution
    bound = {"max_concurrent": execution.max_concurrent} if execution.max_concurrent is not None else {}
    if execution.mode == "in_process":
        return _attended(dg.in_process_executor, settings, {})
    if execution.mode == "multiprocess":
        forked = {"start_method": {"forkserver": {"preload_modules": [PRELOADED]}}}
        return _attended(dg.multiprocess_executor, settings, forked | bound)
    try:
        from dagster_k8s import k8s_job_executor
    except ImportError as error:
        raise SettingsError("execution: k8s needs another package: pip install 'rag-assets[k8s]'") from error
    pods = {op: config for op, asset in workers.items() if (config := pod_config(execution.pods.of(asset)))}
    steps = {"step_k8s_config": pod_config(execution.pods.of(None)), "per_step_k8s_config": pods}
    return _attended(k8s_job_executor, settings, steps | bound)


def pod_config(pod: PodSettings) -> dict[str, Any]:
    """Return what a pod asks for as dagster-k8s takes it, empty parts left out."""
    requests = {"cpu": pod.cpu, "memory": pod.memory}
    limits: dict[str, Any] = {"memory": pod.memory}
    if isinstance(pod, EmbeddingPodSettings) and pod.gpu:
        limits[pod.gpu_resource] = str(pod.gpu)
    resources = _given({"requests": _given(requests), "limits": _given(limits)})
    tolerations = [_given(one.model_dump()) for one in pod.tolerations]
    return _given(
        {
            "container_config": _given({"resources": resources}),
            "pod_spec_config": _given({"node_selector": dict(pod.node_selector), "tolerations": tolerations}),
        }
    )


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}


def _attended(inner: dg.ExecutorDefinition, settings: Settings, config: dict[str, Any]) -> dg.ExecutorDefinition:
    def create(context: dg.InitExecutorContext) -> dg.Executor:
        assert inner.executor_creation_fn is not None
        return _Attended(inner.executor_creation_fn(context), settings)

    attended = dg.ExecutorDefinition(
        name=inner.name,
        config_schema=inner.config_schema,  # type: ignore[arg-type]  # as `configured` itself passes it on
        requirements=inner.get_requirements,
        executor_creation_fn=create,
        description=inner.description,
    )
    return attended.configured(config, name=inner.name) if config else attended


class _Attended(dg.Executor):
    """An executor whose process marks the run as its own and keeps the run's lease."""

    def __init__(self, inner: dg.Executor, settings: Settings) -> None:
        self._inner = inner
        self._settings = settings

    @property
    def retries(self) -> RetryMode:
        return self._inner.retries

    @property
    def step_dependency_config(self) -> StepDependencyConfig:
        return self._inner.step_dependency_config

    def execute(self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan) -> Iterator[DagsterEvent]:
        run = plan_context.dagster_run
        mark_run(plan_context.instance, run.run_id)
        lease = self._lease(run.tags.get(PARTITION_NAME_TAG))
        with lease.kept_to_the_end(run.run_id) if lease is not None else nullcontext():
            yield from self._inner.execute(plan_context, execution_plan)

    def _lease(self, corpus: str | None) -> Lease | None:
        """Return the lease of the run's corpus; None without a corpus that can be opened, which the steps will say."""
        try:
            return open_corpus(self._settings, corpus).store.lease if corpus else None
        except RagAssetsError:
            return None
