"""The schedules request what they say, for every corpus, and what they request can be run."""

from datetime import UTC, datetime

import dagster as dg


def evaluate(desk, name):
    schedule = next(one for one in desk.definitions.schedules if one.name == name)
    context = dg.build_schedule_context(
        instance=desk.instance,
        scheduled_execution_time=datetime(2026, 1, 4, 2, tzinfo=UTC),
        repository_def=desk.definitions.get_repository_def(),
        resources=desk.definitions.resources,
    )
    return schedule.evaluate_tick(context).run_requests


def test_an_audit_asks_for_checks_alone_and_finds_a_flipped_bit(desk):
    desk.write(3)
    assert desk.run()
    (request,) = evaluate(desk, "checksum_audit")
    assert request.partition_key == "default" and request.asset_selection == []
    assert request.tags["rag/reason"] == "checksum_audit"
    before = desk.instance.get_latest_materialization_event(dg.AssetKey("dense_index")).run_id
    assert desk.carry_out(request)

    live = desk.corpus().store.snapshots.live()
    shard = next((desk.corpus().store.indexes.fetch(live.dense)).glob("*.faiss"))
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    assert not desk.carry_out(request), "a blocking check failed"
    assert not desk.verdicts()["dense_index.files_whole"] and desk.verdicts()["bm25_index.files_whole"]
    assert desk.instance.get_latest_materialization_event(dg.AssetKey("dense_index")).run_id == before


def test_each_corpus_gets_a_run_of_its_own_that_is_requested_once(desk):
    desk.configure("{one: {}, two: {}}", "asset_key_prefix: [team, kb]")
    first, second = evaluate(desk, "evaluation"), evaluate(desk, "evaluation")
    assert [one.partition_key for one in first] == ["one", "two"]
    assert [one.run_key for one in first] == [one.run_key for one in second]
    assert [key.path for key in first[0].asset_selection] == [
        ["team", "kb", "ragas_report"],
        ["team", "kb", "snapshot"],
    ]
    assert set(desk.instance.get_dynamic_partitions("corpus")) == {"one", "two"}


def test_settings_switch_and_time_them(desk):
    desk.configure("{default: {}}", "automation: {checksum_audit: {enabled: false, cron: '30 1 * * 6'}}")
    by_name = {one.name: one for one in desk.definitions.schedules}
    assert by_name["checksum_audit"].cron_schedule == "30 1 * * 6"
    assert by_name["checksum_audit"].default_status == dg.DefaultScheduleStatus.STOPPED
    assert by_name["evaluation"].default_status == dg.DefaultScheduleStatus.RUNNING
