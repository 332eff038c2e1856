"""Repairs what only a check can see: a blocking check failed in a run, and a look finds nothing that differs.

So it is when a deep audit comes upon a flipped bit. What a look does find is left to `drift`. Tries a few times for
each check and corpus, no oftener than `retries.attempts`, and anew once the check has passed. Not here: the audits.
"""

import json

import dagster as dg

from resources.corpus import Corpus, corpus_names, open_corpus
from resources.errors import RagAssetsError
from resources.reconciliation.decision import Decision, decide
from resources.reconciliation.record import plan_repair
from resources.settings import Settings
from sensors.check_records import CheckRecord, is_error, newest_records
from sensors.graph import ASSETS, JOB, REASON_TAG, REPAIR_TAG, Corpora, asset_key, busy_run, status


def failed_checks_sensor(settings: Settings) -> dg.SensorDefinition:
    """Return the sensor that materialises again what failed a blocking check."""

    @dg.sensor(
        name="failed_checks",
        job_name=JOB,
        minimum_interval_seconds=settings.automation.failed_checks.seconds,
        default_status=status(settings.automation.failed_checks.enabled),
        description="Where a blocking check failed in a run and no drift explains it, makes its asset and what follows "
        "again, a few times.",
    )
    def failed_checks(context: dg.SensorEvaluationContext, corpora: dg.ResourceParam[Corpora]) -> dg.SensorResult:
        now = corpora.settings()
        tried: dict[str, list[int]] = json.loads(context.cursor or "{}")
        failed = _failed(context, now)
        kept = {_name(record): tried[_name(record)] for record in failed if _name(record) in tried}
        requests = [
            request
            for corpus in sorted({record.corpus for record in failed})
            if (request := _repair(context, now, [one for one in failed if one.corpus == corpus], kept)) is not None
        ]
        said = f"{len(failed)} failed blocking checks, none of them to be repaired now" if failed else "none failed"
        return dg.SensorResult(
            run_requests=requests, skip_reason=None if requests else dg.SkipReason(said), cursor=json.dumps(kept)
        )

    return failed_checks


def _failed(context: dg.SensorEvaluationContext, settings: Settings) -> list[CheckRecord]:
    """Return the blocking checks that failed when a run evaluated them last."""
    assert context.repository_def is not None
    ours = {asset_key(settings, name) for name in ASSETS}
    graph = context.repository_def.asset_graph
    keys = [key for key in graph.asset_check_keys if key.asset_key in ours and graph.get(key).blocking]
    records = newest_records(context.instance, keys, set(corpus_names(settings)))
    return [one for one in records if not one.passed and not one.by_sensor and is_error(context.instance, one)]


def _repair(
    context: dg.SensorEvaluationContext, settings: Settings, failed: list[CheckRecord], tried: dict[str, list[int]]
) -> dg.RunRequest | None:
    """Return the run for the checks of one corpus that may be tried; `tried`: attempts and the evaluation they were
    for, by check.
    """
    corpus = failed[0].corpus
    limit = settings.corpora.get(corpus, settings.defaults).retries.attempts
    due = []
    for one in failed:
        attempts, evaluation = tried.get(_name(one), [0, -1])
        if one.storage_id > evaluation and attempts < limit:
            due.append((one, attempts))
    if not due or busy_run(context.instance, settings, corpus) is not None:
        return None
    opened = _unexplained(settings, corpus)
    if opened is None:
        return None
    for one, attempts in due:
        tried[_name(one)] = [attempts + 1, one.storage_id]
    first = min(ASSETS.index(one.key.asset_key.path[-1]) for one, _ in due)
    newest = max(one.storage_id for one, _ in due)
    reason = ", ".join(sorted(f"{one.key.asset_key.path[-1]}.{one.key.name}" for one, _ in due))
    repair = plan_repair(*opened, by="failed_checks", reason=reason)
    return dg.RunRequest(
        run_key=f"failed_checks:{corpus}:{newest}",
        partition_key=corpus,
        asset_selection=[asset_key(settings, name) for name in ASSETS[first:]],
        tags={REASON_TAG: reason, REPAIR_TAG: repair},
    )


def _unexplained(settings: Settings, name: str) -> tuple[Corpus, Decision] | None:
    """Return the corpus when a look finds nothing wrong. Drift, and a look that fails, are the drift sensor's."""
    try:
        corpus = open_corpus(settings, name)
        decision = decide(corpus, corpus.settings.target_state)
    except (RagAssetsError, OSError):
        return None
    return (corpus, decision) if decision.verdict == "healthy" else None


def _name(record: CheckRecord) -> str:
    return f"{record.corpus}:{record.key.to_user_string()}"
