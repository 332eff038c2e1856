"""The schedules: audits too deep for every tick, and the evaluation.

An audit requests checks alone, so it materialises nothing; what it finds, the sensors repair. Not here: what a check
reads.
"""

from collections.abc import Callable

import dagster as dg

from resources.automation import ScheduleSettings
from resources.corpus import corpus_names
from resources.reconciliation.vectors import CHECKSUM_CHECKS, REEMBED_CHECK
from resources.settings import Settings
from sensors.corpora import register_corpora
from sensors.graph import JOB, REASON_TAG, Corpora, asset_key, check_key

INDEX_AUDIT = ("equals_table", "files_whole", "self_query")
VECTOR_AUDIT = tuple(f"no_{drift}" for drift, _ in CHECKSUM_CHECKS)
AUDITS = {
    "checksum": {"token_embeddings": VECTOR_AUDIT, "dense_index": INDEX_AUDIT, "bm25_index": INDEX_AUDIT},
    "reembed": {"token_embeddings": (*VECTOR_AUDIT, REEMBED_CHECK)},
}
"""The checks of each deep audit, by asset: all those that are judged in one step."""
EVALUATED = ("ragas_report", "snapshot")

Selected = tuple[list[dg.AssetKey], list[dg.AssetCheckKey] | None]
"""The assets to materialise, and the checks to run: None for those of the assets."""
Select = Callable[[Settings], Selected]


def build_schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    """Return the schedules, switched on or off and timed as the settings say."""
    automation = settings.automation
    return [
        _schedule(
            "checksum_audit",
            automation.checksum_audit,
            "Reads every byte of each corpus's vectors and indexes, and compares checksums.",
            _audit("checksum"),
        ),
        _schedule(
            "reembed_audit",
            automation.reembed_audit,
            "Embeds a sample of each corpus's chunks again: mostly those whose vectors fit their texts least.",
            _audit("reembed"),
        ),
        _schedule(
            "evaluation",
            automation.evaluation,
            "Asks each corpus its judged queries again where questions, settings or the candidate changed.",
            _evaluation,
        ),
    ]


def _audit(depth: str) -> Select:
    def select(settings: Settings) -> Selected:
        return [], [check_key(settings, asset, name) for asset, names in AUDITS[depth].items() for name in names]

    return select


def _evaluation(settings: Settings) -> Selected:
    return [asset_key(settings, name) for name in EVALUATED], None


def _schedule(name: str, when: ScheduleSettings, description: str, select: Select) -> dg.ScheduleDefinition:
    """Return a schedule that requests one run a corpus."""
    running, stopped = dg.DefaultScheduleStatus.RUNNING, dg.DefaultScheduleStatus.STOPPED

    @dg.schedule(
        name=name,
        cron_schedule=when.cron,
        job_name=JOB,
        default_status=running if when.enabled else stopped,
        description=description,
    )
    def schedule(
        context: dg.ScheduleEvaluationContext, corpora: dg.ResourceParam[Corpora]
    ) -> list[dg.RunRequest] | dg.SkipReason:
        now = corpora.settings()
        names = corpus_names(now)
        register_corpora(context.instance, names)
        assets, checks = select(now)
        requests = [
            dg.RunRequest(
                run_key=f"{name}:{corpus}:{context.scheduled_execution_time.isoformat()}",
                partition_key=corpus,
                tags={REASON_TAG: name},
                asset_selection=assets,
                asset_check_keys=checks,
            )
            for corpus in names
        ]
        return requests or dg.SkipReason("there is no corpus")

    return schedule
