"""A Dagster run in this process: start it, wait for it, and say in one line how it ended.

The commands use this; the UI, the daemon and Kubernetes start runs their own way, with the same assets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from uuid import uuid4

import dagster as dg

from rag_assets.definitions import build_defs
from rag_assets.instance import storage_kept_open
from resources.corpus import Corpus
from resources.settings import Settings
from sensors.dead_runs import process_tags

NO_TAGS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended.

    `problem` is the line to show, `exit_code` the one to leave with; `failed_checks` are names of blocking checks,
    `error` is the name of the error that ended it.
    """

    run_id: str
    success: bool
    problem: str = ""
    exit_code: int = 0
    failed_checks: tuple[str, ...] = ()
    error: str = ""


def materialise(
    settings: Settings,
    corpus: Corpus,
    assets: Sequence[str] | None,
    instance: dg.DagsterInstance,
    reason: str,
    *,
    resource_overrides: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] = NO_TAGS,
) -> RunOutcome:
    """Materialise these assets (all of them without a choice) of one corpus, checks included."""
    job = build_defs(settings, resource_overrides=resource_overrides).resolve_implicit_global_asset_job_def()
    everything = [key.path[-1] for key in job.asset_layer.executable_asset_keys]
    selection = [dg.AssetKey([*settings.asset_key_prefix, name]) for name in assets or everything]
    run_id = str(uuid4())
    with storage_kept_open(instance, run_id):
        result = job.execute_in_process(
            instance=instance,
            partition_key=corpus.name,
            asset_selection=selection,
            tags={"rag/reason": reason, **tags, **process_tags()},
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            run_id=run_id,
            raise_on_error=False,
        )
    corpus.store.lease.release(result.run_id)
    return _outcome(result)


def _outcome(result: dg.ExecuteInProcessResult) -> RunOutcome:
    if result.success:
        return RunOutcome(result.run_id, True)
    failures = [event for event in result.all_events if event.is_step_failure]
    failed_checks = tuple(
        f"{one.asset_key.to_user_string()}.{one.check_name}"
        for one in result.get_asset_check_evaluations()
        if not one.passed and one.severity == dg.AssetCheckSeverity.ERROR
    )
    for event in failures:
        data = event.step_failure_data
        if data.user_failure_data is not None:
            code = data.user_failure_data.metadata.get("exit_code")
            return RunOutcome(
                result.run_id,
                False,
                data.user_failure_data.description or "",
                int(str(code.value)) if code else 2,
                failed_checks,
                str(name.value) if (name := data.user_failure_data.metadata.get("error")) else "",
            )
    if failed_checks:
        return RunOutcome(
            result.run_id,
            False,
            f"blocking checks failed: {', '.join(failed_checks)}; nothing was published",
            1,
            failed_checks,
        )
    error = next((event.step_failure_data.error for event in failures if event.step_failure_data.error), None)
    cause = error.cause if error is not None and error.cause is not None else error
    message = cause.message.strip() if cause is not None else "the run failed"
    if "DagsterExecutionInterruptedError" in message:
        what = f"run {result.run_id} was interrupted; what it committed is kept, so run it again to go on"
        return RunOutcome(result.run_id, False, what, 2, failed_checks)
    return RunOutcome(result.run_id, False, f"unexpected error in run {result.run_id}: {message}", 2, failed_checks)
