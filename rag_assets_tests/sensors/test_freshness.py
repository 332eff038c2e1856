"""Freshness in Dagster's UI: a corpus that agrees is fresh without runs, one that cannot be looked at becomes late."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from rag_assets_tests.sensors.test_drift import check_of, evaluations, green, red
from rag_assets_tests.sensors.test_propagation import Ticks
from resources.reconciliation.freshness import record_agreement
from sensors.freshness import confirmations
from sensors.graph import ASSETS


def aged(desk, hours):
    (desk.corpus().store.folder / "reconciliation/agreed.json").unlink(missing_ok=True)
    record_agreement(desk.corpus(), datetime.now(UTC) - timedelta(hours=hours))


def test_a_corpus_that_cannot_be_looked_at_turns_late_then_overdue_and_fresh_again(built):
    built.tick("drift")
    away = (built.folder / "docs").rename(built.folder / "away")
    assert "snapshot.is_fresh" not in red(built.tick("drift")), "it was known to agree a moment ago"
    for hours, severity in ((13, dg.AssetCheckSeverity.WARN), (25, dg.AssetCheckSeverity.ERROR)):
        aged(built, hours)
        (event,) = [one for one in evaluations(built.tick("drift")) if check_of(one) == "snapshot.is_fresh"]
        assert not event.passed and event.severity == severity and "known to agree" in event.metadata["reason"].value
        assert list(built.tick("drift").asset_events) == [], "said once"
    away.rename(built.folder / "docs")
    assert "snapshot.is_fresh" in green(built.tick("drift"))


def test_assets_that_agree_are_confirmed_before_dagster_calls_them_late(desk):
    desk.write(3)
    assert desk.run()
    assert list(desk.tick("drift").asset_events) == [], "materialised a moment ago"
    before = {name: desk.instance.get_latest_materialization_event(dg.AssetKey(name)) for name in ASSETS}
    desk.configure("{default: {sources: [{type: folder, path: docs}], freshness: {warn: 60s}}}")
    ticks = Ticks(desk)
    ticks.requested()
    said = confirmations(desk.instance, desk.settings, datetime.now(UTC) + timedelta(seconds=40))
    assert [one.asset_key.path[-1] for one in said] == list(ASSETS)
    for one in said:
        desk.instance.report_runless_asset_event(one)
    for name, old in before.items():
        new = desk.instance.get_latest_materialization_event(dg.AssetKey(name))
        assert new.timestamp > old.timestamp and new.asset_materialization.partition == "default"
        assert new.asset_materialization.tags == old.asset_materialization.tags
        assert new.asset_materialization.metadata == old.asset_materialization.metadata
    assert ticks.requested() == set(), "nothing changed, so nothing follows"
    assert confirmations(desk.instance, desk.settings, datetime.now(UTC)) == []


def test_confirmations_wait_for_every_corpus(built):
    assert built.tick("drift").cursor and '"confirmed":null' not in built.cursors["drift"]
    built.cursors.clear()
    built.lose_embeddings(1)
    built.tick("drift")
    assert '"confirmed":null' in built.cursors["drift"]
