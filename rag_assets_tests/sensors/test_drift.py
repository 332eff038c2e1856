"""The drift sensor: a healthy corpus costs nothing; drift is red, repaired by one run at a time, and green again."""

import shutil
import subprocess
import sys
import threading
import time
from uuid import uuid4

import dagster as dg
from dagster._core.storage.tags import PARTITION_NAME_TAG

import sensors.drift
import sensors.listings
from resources.reconciliation.consent import pause, resume

FOLDER = "{sources: [{type: folder, path: docs}]%s}"


def evaluations(result):
    return [one for one in result.asset_events if isinstance(one, dg.AssetCheckEvaluation)]


def check_of(event):
    return f"{event.asset_key.path[-1]}.{event.check_name}"


def red(result):
    return {check_of(one) for one in evaluations(result) if not one.passed}


def green(result):
    return {check_of(one) for one in evaluations(result) if one.passed}


def metadata(result, check):
    event = next(one for one in evaluations(result) if check_of(one) == check)
    return {name: one.value for name, one in event.metadata.items()}


def count_looks(monkeypatch):
    """Count how often a corpus is really looked at."""
    looks = []
    decide = sensors.drift.decide
    monkeypatch.setattr(
        sensors.drift,
        "decide",
        lambda corpus, *rest, **more: looks.append(corpus.name) or decide(corpus, *rest, **more),
    )
    return looks


def test_from_nothing_to_green_and_then_silence(desk):
    desk.write(3)
    first = desk.tick("drift")
    assert red(first) == {"documents.agrees_with_sources", "snapshot.is_current", "snapshot.is_fresh"}
    (request,) = first.run_requests
    assert request.partition_key == "default" and "missing_documents" in request.tags["rag/reason"]
    assert desk.instance.get_dynamic_partitions("corpus") == ["default"], "a new corpus becomes a partition with it"
    assert desk.carry_out(request)
    assert all(desk.verdicts().values())
    for _ in range(2):
        after = desk.tick("drift")
        assert after.run_requests == [] and list(after.asset_events) == []
        assert "all healthy" in after.skip_message


def test_rows_lost_behind_its_back_turn_red_with_their_ids_and_a_run_turns_them_green(built):
    assert built.tick("drift").run_requests == []
    lost = built.lose_embeddings(2)
    found = built.tick("drift")
    assert red(found) == {"token_embeddings.covers_chunks", "snapshot.is_current"}
    shown = metadata(found, "token_embeddings.covers_chunks")
    assert sorted(shown["ids"]) == lost and shown["affected"] == 2 and shown["verdict"] == "repair"
    assert all(one.partition == "default" and one.severity == dg.AssetCheckSeverity.ERROR for one in found.asset_events)
    (request,) = found.run_requests
    assert {dg.AssetKey("token_embeddings"), dg.AssetKey("snapshot")} <= set(request.asset_selection)
    assert request.tags["rag/reason"] == "missing_token_embeddings"
    assert built.carry_out(request)
    assert all(built.verdicts().values())
    assert list(built.tick("drift").asset_events) == []


def test_an_edited_and_a_removed_document_are_drift_of_the_sources(built):
    built.tick("drift")
    first, second = sorted((built.folder / "docs").iterdir())[:2]
    first.write_text(first.read_text() + "\nThe zyxomma is a dragonfly.")
    second.unlink()
    found = built.tick("drift")
    assert red(found) == {"documents.agrees_with_sources", "snapshot.is_current"}
    assert set(metadata(found, "documents.agrees_with_sources")["ids"]) == {
        f"folder:{first.name}",
        f"folder:{second.name}",
    }
    assert built.carry_out(found.run_requests[0]) and all(built.verdicts().values())


def test_what_heals_by_itself_is_green_without_a_run(built):
    built.tick("drift")
    file = next((built.folder / "docs").iterdir())
    aside = file.rename(built.folder / "aside.txt")
    assert red(built.tick("drift"))
    aside.rename(file)
    after = built.tick("drift")
    assert green(after) == {"documents.agrees_with_sources", "snapshot.is_current"} and after.run_requests == []
    assert list(built.tick("drift").asset_events) == []


def test_one_run_a_corpus_and_none_while_one_is_under_way(built):
    built.lose_embeddings(1)
    (request,) = built.tick("drift").run_requests
    run = dg.DagsterRun(
        job_name="search_ready",
        run_id=str(uuid4()),
        status=dg.DagsterRunStatus.STARTED,
        tags={PARTITION_NAME_TAG: "default", **request.tags},
        asset_selection=frozenset(request.asset_selection),
    )
    built.instance.add_run(run)
    meanwhile = built.tick("drift")
    assert meanwhile.run_requests == [] and list(meanwhile.asset_events) == []
    assert f"run {run.run_id} is at work" in meanwhile.skip_message


def test_attempts_are_bounded_then_it_is_stuck_and_said_once(built):
    built.configure(f"{{default: {FOLDER % ', retries: {attempts: 2, backoff: 1s, max_backoff: 1s}'}}}")
    built.lose_embeddings(1)
    requests, verdicts = [], []
    for _ in range(6):
        result = built.tick("drift")  # what it requests never runs, as where no machine can be had
        requests += result.run_requests
        verdicts += [metadata(result, "snapshot.is_current")["verdict"]] if red(result) else []
        time.sleep(0.8)
    assert len(requests) == 2 and verdicts[0] == "repair" and verdicts[-1] == "stuck"
    assert verdicts.count("stuck") == 1
    assert "reconcile run --force --corpus default" in result.skip_message

    built.run()
    assert list(built.tick("drift").asset_events) == [] and built.tick("drift").run_requests == []
    built.lose_embeddings(1)
    assert len(built.tick("drift").run_requests) == 1, "success starts the count anew"


def test_after_a_failed_run_the_waiting_begins_anew(built):
    built.configure(f"{{default: {FOLDER % ', retries: {backoff: 2s}'}}}")
    (built.folder / "docs" / "new.txt").write_text("The zyxomma is a dragonfly.")
    (request,) = built.tick("drift").run_requests
    time.sleep(3.1)  # backoff, and half of it as jitter
    sound = (built.folder / "rag.yaml").read_text()
    (built.folder / "rag.yaml").write_text("corpora: []")
    assert not built.carry_out(request), "its settings cannot be read"
    (built.folder / "rag.yaml").write_text(sound)
    waiting = built.tick("drift")
    assert waiting.run_requests == [] and "backoff" in waiting.skip_message
    time.sleep(3.1)
    assert len(built.tick("drift").run_requests) == 1


def test_a_paused_corpus_is_red_and_left_alone(built):
    built.lose_embeddings(1)
    pause(built.corpus(), "moving house")
    found = built.tick("drift")
    assert red(found) and found.run_requests == [] and "moving house" in found.skip_message
    assert list(built.tick("drift").asset_events) == [], "said once"
    resume(built.corpus())
    assert len(built.tick("drift").run_requests) == 1


def test_a_corpus_that_raises_is_reported_and_does_not_stop_the_others(built):
    shutil.copytree(built.folder / "docs", built.folder / "other")
    broken = "{sources: [{type: folder, path: other}]}"
    built.configure(f"{{another: {broken}, default: {FOLDER % ''}}}")
    built.lose_embeddings(1)
    shutil.move(built.folder / "other", built.folder / "away")
    found = built.tick("drift")
    assert [one.partition_key for one in found.run_requests] == ["default"]
    errors = [one for one in found.asset_events if one.partition == "another"]
    assert {one.check_name for one in errors} == {"agrees_with_sources", "is_current", "is_fresh"}
    assert str(built.folder / "other") in errors[0].metadata["reason"].value
    assert not [one for one in built.tick("drift").asset_events if one.partition == "another"], "said once"


def test_a_target_that_cannot_be_read_is_an_error_of_its_corpus_alone(built):
    built.lose_embeddings(1)
    torn = built.settings.home / "corpora" / "torn"
    torn.mkdir()
    (torn / "target.json").write_text('{"sources": [{"type"')
    found = built.tick("drift")
    assert [one.partition_key for one in found.run_requests] == ["default"]
    (error,) = [one for one in found.asset_events if one.partition == "torn"]
    assert error.check_name == "is_current" and str(torn / "target.json") in error.metadata["reason"].value
    assert not [one for one in built.tick("drift").asset_events if one.partition == "torn"], "said once"
    built.tick("corpora")
    assert "torn" in built.instance.get_dynamic_partitions("corpus")


def test_a_source_that_hangs_is_waited_for_a_few_seconds_and_the_other_corpora_go_on(built, monkeypatch):
    built.configure(f"{{another: {FOLDER % ''}, default: {FOLDER % ''}}}")
    hanging, list_sources = threading.Event(), sensors.listings.list_sources
    begun = []

    def slowly(corpus):
        if corpus.name == "another":
            begun.append(corpus.name)
            hanging.wait(60)
        return list_sources(corpus)

    monkeypatch.setattr(sensors.listings, "list_sources", slowly)
    monkeypatch.setattr(sensors.listings, "PATIENCE", 0.5)
    built.lose_embeddings(1)
    started = time.monotonic()
    found = built.tick("drift")
    assert [one.partition_key for one in found.run_requests] == ["default"] and time.monotonic() - started < 20
    assert not [one for one in found.asset_events if one.partition == "another"], "slow is not wrong"
    still = built.tick("drift")
    assert begun == ["another"], "the listing that was begun goes on"
    assert "its sources are still being listed" in still.skip_message
    monkeypatch.setattr(sensors.listings, "OVERDUE", 0.0)
    overdue = built.tick("drift")
    assert "agrees_with_sources" in {one.check_name for one in overdue.asset_events if one.partition == "another"}
    hanging.set()
    seen = built.tick("drift")
    assert "missing_documents" in str([one.metadata for one in seen.asset_events if one.partition == "another"])


def test_a_defect_of_our_own_is_reported_and_does_not_stop_the_others(built, monkeypatch):
    built.configure(f"{{another: {FOLDER % ''}, default: {FOLDER % ''}}}")
    built.lose_embeddings(1)
    real = sensors.drift.decide

    def decide(corpus, *rest, **more):
        if corpus.name == "another":
            raise KeyError("zyxomma")
        return real(corpus, *rest, **more)

    monkeypatch.setattr(sensors.drift, "decide", decide)
    found = built.tick("drift")
    assert [one.partition_key for one in found.run_requests] == ["default"]
    assert "zyxomma" in next(one for one in found.asset_events if one.partition == "another").metadata["reason"].value


def test_a_store_that_cannot_be_read_is_an_error_not_an_empty_corpus(built):
    built.tick("drift")
    (built.corpus().store.folder / "corpus.json").write_bytes(b"")
    found = built.tick("drift")
    assert metadata(found, "snapshot.is_current")["verdict"] == "error" and found.run_requests == []


def test_a_healthy_corpus_is_looked_at_again_only_when_something_changed(built, monkeypatch):
    looks = count_looks(monkeypatch)
    for _ in range(3):
        built.tick("drift")
    assert looks == ["default"]
    built.lose_embeddings(1)
    built.tick("drift")
    assert looks == ["default"] * 2


def test_sources_are_listed_as_often_as_the_corpus_says(built, monkeypatch):
    built.configure(f"{{default: {FOLDER % ', list_every: 1h'}}}")
    built.tick("drift")
    (built.folder / "docs" / "new.txt").write_text("The zyxomma is a dragonfly.")
    assert built.tick("drift").run_requests == []
    built.configure(f"{{default: {FOLDER % ', list_every: 0s'}}}")
    assert len(built.tick("drift").run_requests) == 1


def test_a_tick_that_takes_long_goes_on_where_it_stopped(built, monkeypatch):
    looks = count_looks(monkeypatch)
    built.configure(f"{{a: {FOLDER % ''}, b: {FOLDER % ''}, c: {FOLDER % ''}}}")
    monkeypatch.setattr(sensors.drift, "BUDGET_SECONDS", 0.0)
    for _ in range(4):
        built.tick("drift")
    assert looks == ["a", "b", "c", "a"]


def test_keys_carry_the_prefix(built):
    built.configure(f"{{default: {FOLDER % ''}}}", "asset_key_prefix: [team, kb]")
    built.lose_embeddings(1)
    found = built.tick("drift")
    keys = [*found.run_requests[0].asset_selection, *(one.asset_key for one in found.asset_events)]
    assert {tuple(key.path[:2]) for key in keys} == {("team", "kb")}


def test_a_tick_loads_neither_torch_nor_faiss(built):
    code = f"""
import sys, dagster as dg
from pathlib import Path
from rag_assets.definitions import build_defs
from resources.settings import load_settings
definitions = build_defs(load_settings(Path({str(built.folder / "rag.yaml")!r})))
sensor = next(one for one in definitions.sensors if one.name == "drift")
with dg.DagsterInstance.ephemeral() as instance:
    context = dg.build_sensor_context(
        instance=instance, definitions=definitions, sensor_name="drift", resources=definitions.resources
    )
    result = sensor.evaluate_tick(context)
print(result.skip_message, [name for name in ("torch", "faiss", "transformers") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1 corpora, all healthy []"
