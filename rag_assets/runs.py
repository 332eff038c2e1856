"""A Dagster run of a command: start it, wait for it, and say in one line how it ended.

Its steps work in this process, or in processes of their own under `execution: multiprocess`. The UI and the daemon
start runs their own way, with the same assets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from uuid import uuid4

import dagster as dg
from dagster._core.definitions.reconstruct import build_reconstructable_job
from dagster._core.storage.tags import PARTITION_NAME_TAG

from rag_assets.corpora import CorporaResource
from rag_assets.definitions import build_defs
from rag_assets.instance import storage_kept_open
from rag_assets.jobs import search_ready
from resources.corpus import Corpus
from resources.observability.logging import configure_logging
from resources.settings import Settings
from sensors.dead_runs import process_tags

INTERRUPTED = "DagsterExecutionInterruptedError"
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
    """Materialise these assets (all of them without a choice) of one corpus, checks included.

    With `resource_overrides`, which cannot be handed to another process, steps work in this one.
    """
    job = build_defs(settings, resource_overrides=resource_overrides).resolve_implicit_global_asset_job_def()
    everything = [key.path[-1] for key in job.asset_layer.executable_asset_keys]
    selection = [dg.AssetKey([*settings.asset_key_prefix, name]) for name in assets or everything]
    common: dict[str, Any] = {
        "instance": instance,
        "asset_selection": selection,
        "run_config": {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        "raise_on_error": False,
    }
    tags = {"rag/reason": reason, **tags, **process_tags()}
    if settings.execution.mode == "multiprocess" and not resource_overrides:
        where = {"config": str(settings.path or ""), "home": str(settings.home)}
        there = build_reconstructable_job(__name__, job_as_configured.__name__, reconstructable_kwargs=where)
        return _outcome(dg.execute_job(there, tags={PARTITION_NAME_TAG: corpus.name, **tags}, **common))
    run_id = str(uuid4())
    with storage_kept_open(instance, run_id), corpus.store.lease.kept_to_the_end(run_id):
        return _outcome(job.execute_in_process(partition_key=corpus.name, tags=tags, run_id=run_id, **common))


def job_as_configured(config: str, home: str) -> dg.JobDefinition:
    """Return the job of all assets, made anew in the process of a step. `config`, `home`: see `CorporaResource`."""
    configure_logging()
    settings = CorporaResource(config=config, home=home).settings()
    return build_defs(settings).resolve_job_def(search_ready.name)  # the implicit job's name cannot be given again


def _outcome(result: dg.ExecuteInProcessResult | dg.JobExecutionResult) -> RunOutcome:
    if result.success:
        return RunOutcome(result.run_id, True)
    failures = [event for event in result.all_events if event.is_step_failure]
    failed_checks = tuple(
        f"{one.asset_key.to_user_string()}.{one.check_name}"
        for one in result.get_asset_check_evaluations()
        if not one.passed and one.severity == dg.AssetCheckSeverity.ERROR
    )
    if any(INTERRUPTED in _said(event.step_failure_data) for event in failures):
        what = f"run {result.run_id} was interrupted; what it committed is kept, so run it again to go on"
        return RunOutcome(result.run_id, False, what, 2, failed_checks)
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
    return RunOutcome(result.run_id, False, f"unexpected error in run {result.run_id}: {message}", 2, failed_checks)


def _said(failure: Any) -> str:
    """Return all that a failed step says. An interruption may come out of the middle of a library, as its error."""
    error, user = failure.error, failure.user_failure_data
    return " ".join(
        [
            user.description or "" if user is not None else "",
            error.message if error is not None else "",
            error.cause.message if error is not None and error.cause is not None else "",
        ]
    )
