"""Looks at every corpus, reports drift red, and requests the run that repairs it. A healthy corpus costs neither.

A look is no run: a run audits after it repaired, so its checks would never be red. Whether a repair may run, and how
often it is tried, is decided by `resources.reconciliation.decision`; that a corpus has one run at a time, here. Not
here: what drift is, and how long a corpus may go without being known to agree (`freshness`).
"""

import time
from collections.abc import Collection
from datetime import UTC, datetime

import dagster as dg
from pydantic import BaseModel

from resources.corpus import Corpus, corpus_names, open_corpus
from resources.errors import RagAssetsError
from resources.identity import digest
from resources.reconciliation.alerts import report_look
from resources.reconciliation.decision import Decision, decide
from resources.reconciliation.freshness import record_agreement
from resources.reconciliation.listing import listing_by
from resources.reconciliation.observe import SystemState
from resources.reconciliation.record import end_repair, plan_repair, verify_repair
from resources.settings import Settings
from sensors.check_records import evaluation, newest_records
from sensors.corpora import register_corpora
from sensors.freshness import confirmations, is_due
from sensors.graph import (
    ASSETS,
    JOB,
    PLAN_TAG,
    REASON_TAG,
    REPAIR_TAG,
    Corpora,
    asset_key,
    busy_run,
    newest_run,
    status,
)
from sensors.listings import Listings, StillListingError, TickListings
from sensors.repairs import ended_repairs
from sensors.reports import Red, red_for_age, red_for_drift, red_for_error
from sensors.watch import Watch

BUDGET_SECONDS = 40.0
"""A tick stops looking then, and the next goes on: the daemon gives a tick 60 seconds."""


class Incident(BaseModel):
    """What was reported of a corpus that is not healthy: a digest of it, and the checks that were made red."""

    reported: str = ""
    red: tuple[str, ...] = ()


class Cursor(BaseModel):
    """What a tick hands to the next. `behind`: the corpus to begin with; `confirmed`: see `confirmations`."""

    incidents: dict[str, Incident] = {}
    behind: str = ""
    confirmed: datetime | None = None


class Tick:
    """One tick: what it reports and requests, corpus by corpus."""

    def __init__(
        self, context: dg.SensorEvaluationContext, settings: Settings, watch: Watch, listings: TickListings
    ) -> None:
        self.instance = context.instance
        self.log = context.log
        self.settings = settings
        self.cursor = Cursor.model_validate_json(context.cursor) if context.cursor else Cursor()
        self.watch = watch
        self.list = listings
        self.events: list[dg.AssetCheckEvaluation | dg.AssetMaterialization] = []
        self.requests: list[dg.RunRequest] = []
        self.said: dict[str, str] = {}
        self.looks = 0

    def look_at(self, name: str) -> None:
        """Look at one corpus. What is raised is reported of this corpus; the others are looked at all the same."""
        corpus = None
        self.looks += 1
        try:
            corpus = open_corpus(self.settings, name)
            with listing_by(self.list):
                self._look_at(corpus)
        except StillListingError as error:
            self.said[name] = str(error)
        except Exception as error:  # a defect that one corpus brings to light must not stop the others
            self.watch.forget(name)
            if not isinstance(error, RagAssetsError | OSError):
                self.log.exception(f"looking at corpus {name} failed")
            self._report(name, red_for_error(self.settings, error), corpus, f"error {error}")

    def _look_at(self, corpus: Corpus) -> None:
        if self.watch.is_unchanged(self.settings, corpus):
            self._agrees(corpus)
        elif (run := busy_run(self.instance, self.settings, corpus.name)) is not None:
            self.said[corpus.name] = f"run {run} is at work"
        else:
            seen = self.watch.before_a_look(self.settings, corpus)
            ends = ended_repairs(self.instance, corpus)
            for repair, end in ends.items():
                end_repair(corpus, repair, end)
            state = SystemState(corpus)
            decision = decide(corpus, corpus.settings.target_state, state=state)
            for repair, end in ends.items():
                verify_repair(corpus, repair, end, state, decision)
            report_look(corpus, state, decision, next((end.run for end in ends.values()), None))
            if decision.verdict == "healthy":
                self.watch.remember(corpus, seen)
                self._agrees(corpus)
            else:
                self.watch.forget(corpus.name)
                self._drifted(corpus, decision)

    def _agrees(self, corpus: Corpus) -> None:
        record_agreement(corpus)
        if (incident := self.cursor.incidents.pop(corpus.name, None)) is not None:
            self._settle(corpus.name, incident.red)

    def _drifted(self, corpus: Corpus, decision: Decision) -> None:
        newest, _ = newest_run(self.instance, corpus.name)
        found = [f"{issue.key} {issue.affected}" for issue in decision.active]
        self._report(
            corpus.name, red_for_drift(self.settings, decision), corpus, f"{decision.verdict} {newest} {found}"
        )
        self.said[corpus.name] = f"{decision.verdict}: {decision.reason}"
        assets = [asset_key(self.settings, one) for one in decision.plan.assets if one in ASSETS]
        if decision.verdict == "repair" and assets:
            repair = plan_repair(corpus, decision, by="drift")
            self.requests.append(
                dg.RunRequest(
                    run_key=f"drift:{corpus.name}:{decision.plan.id}:{newest}",
                    partition_key=corpus.name,
                    asset_selection=assets,
                    tags={REASON_TAG: decision.reason, PLAN_TAG: decision.plan.id, REPAIR_TAG: repair},
                )
            )

    def _report(self, name: str, red: Red, corpus: Corpus | None, what: str) -> None:
        """Make checks red, unless just that was reported already, and those green again that are so no more."""
        red |= red_for_age(self.settings, corpus) if corpus is not None else {}
        self.said[name] = what
        before = self.cursor.incidents.get(name, Incident())
        reported = digest(what, *sorted(f"{key.to_user_string()} {one.severity}" for key, one in red.items()))
        if before.reported == reported:
            return
        for key, one in red.items():
            self.events.append(
                evaluation(self.instance, key, name, passed=False, metadata=one.metadata, severity=one.severity)
            )
        checks = tuple(sorted(key.to_user_string() for key in red))
        self._settle(name, set(before.red).difference(checks))
        self.cursor.incidents[name] = before.model_copy(update={"reported": reported, "red": checks})

    def _settle(self, name: str, checks: Collection[str]) -> None:
        """Turn checks green that were reported red, unless a run has done so."""
        keys = [dg.AssetCheckKey.from_user_string(one) for one in checks]
        for record in newest_records(self.instance, keys, {name}):
            if not record.passed:
                metadata = {"reason": "a look finds nothing that differs any more"}
                self.events.append(evaluation(self.instance, record.key, name, passed=True, metadata=metadata))

    def confirm(self, now: datetime) -> None:
        """Say of every asset that it is as it should be, once in a while, when all corpora were found to agree."""
        if not self.said and is_due(self.settings, self.cursor.confirmed, now):
            self.events += confirmations(self.instance, self.settings, now)
            self.cursor.confirmed = now


def drift_sensor(settings: Settings) -> dg.SensorDefinition:
    """Return the sensor that looks for drift and requests repairs."""
    watch, listings = Watch(), Listings()

    @dg.sensor(
        name="drift",
        job_name=JOB,
        minimum_interval_seconds=settings.automation.drift.seconds,
        default_status=status(settings.automation.drift.enabled),
        description="Looks at every corpus. Drift turns its checks red and requests one run that repairs it; a healthy "
        "corpus costs no run and no event.",
    )
    def drift(context: dg.SensorEvaluationContext, corpora: dg.ResourceParam[Corpora]) -> dg.SensorResult:
        now = corpora.settings()
        names = corpus_names(now)
        tick = Tick(context, now, watch, listings.tick())
        deadline = time.monotonic() + BUDGET_SECONDS
        first = tick.cursor.behind if tick.cursor.behind in names else ""
        tick.cursor.behind = ""
        for name in sorted(names, key=lambda one: (one < first, one)):
            if tick.looks and time.monotonic() > deadline:
                tick.cursor.behind = name
                break
            tick.look_at(name)
        else:
            tick.confirm(datetime.now(UTC))
        tick.cursor.incidents = {name: one for name, one in tick.cursor.incidents.items() if name in names}
        return _result(context, tick, len(names))

    return drift


def _result(context: dg.SensorEvaluationContext, tick: Tick, corpora: int) -> dg.SensorResult:
    register_corpora(context.instance, [str(request.partition_key) for request in tick.requests])
    said = "; ".join(f"{name}: {what}" for name, what in tick.said.items()) or f"{corpora} corpora, all healthy"
    return dg.SensorResult(
        run_requests=tick.requests,
        skip_reason=None if tick.requests else dg.SkipReason(said),
        cursor=tick.cursor.model_dump_json(),
        asset_events=tick.events,
    )
