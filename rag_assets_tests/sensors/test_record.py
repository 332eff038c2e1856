"""Repairs that sensors request: each leaves a line in the history, and an event when the drift appears and is over."""

from datetime import timedelta
from uuid import uuid4

import dagster as dg
import structlog
from dagster._core.storage.tags import PARTITION_NAME_TAG

import sensors.repairs
from rag_assets.reconcile import Options, reconcile
from resources.reconciliation.decision import decide
from resources.reconciliation.history import read_backwards, verify
from resources.reconciliation.memory import read_memory
from resources.reconciliation.record import plan_repair
from sensors.graph import REPAIR_TAG


def lines(built):
    return list(read_backwards(built.corpus().store))


def test_a_repair_is_noted_when_requested_and_written_down_when_a_tick_has_verified_it(built):
    built.lose_embeddings(2)
    with structlog.testing.capture_logs() as logged:
        (request,) = built.tick("drift").run_requests
        assert lines(built) == [] and set(read_memory(built.corpus().store).repairs) == {request.tags[REPAIR_TAG]}
        assert built.carry_out(request)
        built.tick("drift")
        built.tick("drift")
    (line,) = lines(built)
    assert (line["by"], line["success"], line["converged"], line["left"]) == ("drift", True, True, {})
    assert {(one["type"], one["affected"]) for one in line["found"]} == {("missing_token_embeddings", 2)}
    assert line["repair"] == request.tags[REPAIR_TAG] and line["plan"]["id"] == request.tags["rag/plan"]
    assert built.instance.get_run_by_id(line["run"]).is_success and line["seconds"] > 0
    assert read_memory(built.corpus().store).repairs == {} and verify(built.corpus().store).broken_line is None
    said = [one for one in logged if one["event"] in ("drift", "drift is over")]
    assert [one["event"] for one in said] == ["drift", "drift is over"], "one event a change, none a tick"
    assert said[0]["drift"] == "missing_token_embeddings" and said[0]["affected"] == 2
    assert said[0]["command"] == "rag-assets reconcile run --corpus default" and said[1]["run"] == line["run"]


def test_a_run_that_failed_is_written_down_with_its_cause(built):
    (built.folder / "docs" / "new.txt").write_text("The zyxomma is a dragonfly.")
    (request,) = built.tick("drift").run_requests
    sound = (built.folder / "rag.yaml").read_text()
    (built.folder / "rag.yaml").write_text("corpora: []")
    assert not built.carry_out(request)
    (built.folder / "rag.yaml").write_text(sound)
    built.tick("drift")
    (line,) = lines(built)
    assert not line["success"] and not line["converged"] and line["left"] == {"missing_documents@candidate": 1}
    assert "rag.yaml" in line["problem"] and "corpora" in line["problem"]


def test_a_command_that_was_killed_is_written_down_by_whoever_looks_next(built):
    built.lose_embeddings(1)
    repair = plan_repair(built.corpus(), decide(built.corpus(), "search-ready"), by="command")
    tags = {PARTITION_NAME_TAG: "default", REPAIR_TAG: repair}
    run = dg.DagsterRun(job_name="search_ready", run_id=str(uuid4()), status=dg.DagsterRunStatus.STARTED, tags=tags)
    built.instance.add_run(run)
    built.tick("drift")
    assert lines(built) == [], "it may still be at work"
    built.instance.report_run_failed(run, "The process of this run is gone")
    built.tick("drift")
    (line,) = lines(built)
    assert (line["by"], line["run"], line["success"]) == ("command", run.run_id, False)
    assert "process of this run is gone" in line["problem"]


def test_a_repair_that_never_got_a_run_is_written_down_by_a_command(built, monkeypatch):
    built.lose_embeddings(1)
    built.tick("drift")
    monkeypatch.setattr(sensors.repairs, "UNSEEN", timedelta(0))
    monkeypatch.setenv("DAGSTER_HOME", "")
    done = reconcile(built.settings, "default", Options("search-ready", force=True))
    assert done.converged
    by_command, by_sensor = lines(built)
    assert (by_command["by"], by_command["converged"]) == ("command", True)
    assert (by_sensor["by"], by_sensor["run"]) == ("drift", None) and "no run was started" in by_sensor["problem"]
