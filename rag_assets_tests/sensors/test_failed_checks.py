"""A blocking check that failed where a look sees nothing: repaired a bounded number of times, then left."""

from rag_assets_tests.sensors.test_schedules import evaluate


def flip_a_bit(desk):
    live = desk.corpus().store.snapshots.live()
    shard = next((desk.corpus().store.indexes.fetch(live.dense)).glob("*.faiss"))
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)


def audit(desk):
    (request,) = evaluate(desk, "checksum_audit")
    return desk.carry_out(request)


def test_a_flipped_bit_that_an_audit_finds_is_repaired(built):
    assert audit(built) and built.tick("failed_checks").run_requests == []
    flip_a_bit(built)
    assert built.tick("drift").run_requests == [], "the scan does not see it"
    assert not audit(built)
    (request,) = built.tick("failed_checks").run_requests
    assert request.tags["rag/reason"] == "dense_index.files_whole"
    assert request.asset_selection[0].path == ["dense_index"]
    assert built.carry_out(request) and built.verdicts()["dense_index.files_whole"]
    assert "none failed" in built.tick("failed_checks").skip_message
    assert built.tick("drift").run_requests == []


def test_attempts_are_bounded_and_start_anew_after_success(built):
    built.configure("{default: {sources: [{type: folder, path: docs}], retries: {attempts: 2}}}")
    requests = []
    for _ in range(4):
        flip_a_bit(built) if not requests else None
        assert not audit(built)
        requests += built.tick("failed_checks").run_requests  # what it requests never runs
        assert built.tick("failed_checks").run_requests == [], "once for each evaluation"
    assert len(requests) == 2 and len({one.run_key for one in requests}) == 2
    assert built.run() and built.tick("failed_checks").run_requests == []
    flip_a_bit(built)
    assert not audit(built) and len(built.tick("failed_checks").run_requests) == 1


def test_drift_and_what_sensors_reported_are_left_to_the_drift_sensor(built):
    built.lose_embeddings(1)
    assert built.tick("drift").run_requests
    assert "none failed" in built.tick("failed_checks").skip_message, "red without a run is the drift sensor's"
    flip_a_bit(built)
    assert not audit(built)
    assert built.tick("failed_checks").run_requests == [], "the corpus has drift"
