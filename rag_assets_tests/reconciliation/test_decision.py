"""What may be repaired, and when: every verdict, on a corpus that was never built."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from resources.errors import RagAssetsError, SettingsError
from resources.reconciliation.attempts import Changes, backoff, record_attempt, record_failure, record_look
from resources.reconciliation.consent import acknowledge, approve, confirm_removals, pause, resume
from resources.reconciliation.decision import decide
from resources.reconciliation.memory import PATH, now, read_memory, remember
from resources.reconciliation.observe import SystemState
from resources.store.tables import DOCUMENTS

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
STATE = "token-embeddings"


def store_documents(unbuilt):
    """Fetch and parse, without Dagster; the next look finds the documents stored and their chunks missing."""
    from resources.materialisation import documents
    from resources.store.writer import writing

    corpus = unbuilt.corpus
    with writing(corpus.store, "test", wait=0) as writer:
        for shard in range(shards := documents.plan(corpus, writer)):
            documents.do(corpus, writer, shard, shards)
    corpus.store.lease.release("test")


def test_drift_is_repaired_and_the_decision_only_looks(unbuilt):
    decision = decide(unbuilt.corpus, STATE)
    assert (decision.verdict, decision.exit_code) == ("repair", 1)
    assert [issue.type for issue in decision.repairing] == ["missing_documents"]
    assert decision.plan.documents == tuple(f"folder:{number:02}.txt" for number in range(20))
    assert decision.plan.assets == ("documents", "chunks", "token_embeddings")
    assert not unbuilt.corpus.store.folder.exists(), "nothing was written"


def test_a_repair_that_does_not_help_is_put_off_and_then_left_alone(unbuilt):
    unbuilt.configure(", retries: {attempts: 2, backoff: 10s}")
    for attempt in (1, 2):
        decision = decide(unbuilt.corpus, STATE, at=NOON)
        assert decision.verdict == "repair"
        record_attempt(unbuilt.corpus, decision.repairing, NOON)
        record_failure(unbuilt.corpus, [one.key for one in decision.repairing], NOON)
        put_off = decide(unbuilt.corpus, STATE, at=NOON)
        assert put_off.verdict == ("backoff" if attempt == 1 else "stuck")
        assert put_off.exit_code == (1 if attempt == 1 else 3)
        assert "reconcile run --force --corpus default" in put_off.reason and put_off.plan.steps
        later = NOON + timedelta(seconds=10 * 1.5 * attempt)
        assert decide(unbuilt.corpus, STATE, at=later).verdict == ("repair" if attempt == 1 else "stuck")
        assert decide(unbuilt.corpus, STATE, at=NOON, force=True).verdict == "repair", "a person may always try"
        if attempt == 1:
            _forget_the_wait(unbuilt)


def _forget_the_wait(unbuilt):
    from resources.reconciliation.memory import remember

    def change(memory):
        for one in memory.attempts.values():
            one.next = NOON

    remember(unbuilt.corpus.store, change)


def test_a_repair_whose_process_was_killed_before_it_did_anything_is_no_reason_to_wait(unbuilt):
    code = """
import os, sys
from pathlib import Path
from resources.corpus import open_corpus
from resources.reconciliation.decision import decide
from resources.reconciliation.record import plan_repair
from resources.settings import load_settings
corpus = open_corpus(load_settings(Path(sys.argv[1])), "default")
plan_repair(corpus, decide(corpus, "token-embeddings"), by="command", here=True)
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", code, str(unbuilt.folder / "rag.yaml")], check=False)
    assert decide(unbuilt.corpus, STATE).verdict == "repair"
    assert read_memory(unbuilt.corpus.store).attempts["missing_documents@candidate"].attempts == 1, "it counts"
    remember(unbuilt.corpus.store, lambda memory: memory.repairs.clear())
    assert decide(unbuilt.corpus, STATE).verdict == "backoff", "what was requested and not killed is waited for"


def test_progress_starts_the_count_anew(unbuilt):
    unbuilt.configure(", retries: {attempts: 1}")
    record_attempt(unbuilt.corpus, decide(unbuilt.corpus, STATE).repairing, NOON)
    assert decide(unbuilt.corpus, STATE, at=NOON).verdict == "stuck"
    (unbuilt.docs / "00.txt").unlink()
    assert decide(unbuilt.corpus, STATE, at=NOON).verdict == "repair", "19 are missing, not 20"
    (unbuilt.docs / "00.txt").write_text("back")
    unbuilt.write("20")
    assert decide(unbuilt.corpus, STATE, at=NOON).verdict == "stuck", "more of the same is no progress"


def test_what_is_over_is_forgotten(unbuilt):
    corpus = unbuilt.corpus
    state = SystemState(corpus)
    decision = decide(corpus, STATE, state=state)
    record_attempt(corpus, decision.repairing)
    approve(corpus, decision.plan)
    assert [issue.type for issue, _ in record_look(corpus, state, decision.active).appeared] == ["missing_documents"]
    assert record_look(corpus, state, decision.active) == Changes(), "an incident is new once"
    assert record_look(corpus, state, decision.active, waits=True).appeared, "that it is stuck is new"
    assert record_look(corpus, state, decision.active, waits=True) == Changes()
    since = read_memory(corpus.store).incidents["missing_documents@candidate"].since
    assert record_look(corpus, state, decision.active, now() + timedelta(hours=1)) == Changes()
    assert read_memory(corpus.store).incidents["missing_documents@candidate"].since == since
    assert [key for key, _ in record_look(corpus, state, ()).over] == ["missing_documents@candidate"]
    memory = read_memory(corpus.store)
    assert (memory.attempts, memory.approval, memory.incidents) == ({}, None, {})


def test_backoff_grows_to_its_bound_and_differs_between_corpora(unbuilt):
    retries = unbuilt.corpus.settings.retries
    waits = [backoff("a", "k", attempt, retries).total_seconds() for attempt in range(1, 12)]
    assert all(30 * 2**n <= wait <= 45 * 2**n for n, wait in enumerate(waits[:7]))
    assert all(3600 <= wait <= 5400 for wait in waits[7:])
    assert len({backoff(f"corpus-{number}", "k", 1, retries) for number in range(20)}) > 10


def test_an_expensive_repair_waits_for_approval_of_just_that_plan(unbuilt):
    unbuilt.configure(", auto_repair: {max_chunks: 50}")
    asked = decide(unbuilt.corpus, STATE)
    assert (asked.verdict, asked.exit_code) == ("pending_approval", 3)
    assert f"rag-assets reconcile approve {asked.plan.id} --corpus default" in asked.reason
    assert decide(unbuilt.corpus, STATE, force=True).verdict == "pending_approval", "force is not approval"
    approve(unbuilt.corpus, asked.plan)
    assert decide(unbuilt.corpus, STATE).verdict == "repair"
    unbuilt.write("20", "21")
    assert decide(unbuilt.corpus, STATE).verdict == "repair", "grown by less than needs no approval"
    unbuilt.write(*(f"more-{number}" for number in range(60)))
    assert decide(unbuilt.corpus, STATE).verdict == "pending_approval"
    for file in unbuilt.docs.glob("more-*"):
        file.unlink()
    unbuilt.configure(", auto_repair: {max_chunks: 50}, chunking: {tokens: 100}")
    assert decide(unbuilt.corpus, STATE).verdict == "pending_approval", "approved was another desired state"


def test_cost_is_bounded_too(unbuilt):
    unbuilt.configure(", auto_repair: {max_cost: 0.001, cost_per_hour: 2.5}")
    asked = decide(unbuilt.corpus, STATE)
    assert asked.verdict == "pending_approval" and "in cost" in asked.reason and "max_cost is 0.001" in asked.reason
    unbuilt.configure(", auto_repair: {max_cost: 1}")
    with pytest.raises(SettingsError, match="max_cost needs cost_per_hour"):
        decide(unbuilt.corpus, STATE)


def test_a_paused_corpus_is_left_alone_until_it_is_resumed(unbuilt):
    pause(unbuilt.corpus, "moving the share")
    pause(unbuilt.corpus, "again")
    decision = decide(unbuilt.corpus, STATE, force=True)
    assert (decision.verdict, decision.exit_code) == ("paused", 1)
    assert "moving the share" in decision.reason and "reconcile resume --corpus default" in decision.reason
    resume(unbuilt.corpus)
    assert decide(unbuilt.corpus, STATE).verdict == "repair"


def test_an_acknowledged_drift_is_left_alone_until_the_day_is_over(unbuilt):
    today = now().date()
    acknowledge(unbuilt.corpus, "missing_documents", today)
    decision = decide(unbuilt.corpus, STATE)
    assert decision.verdict == "healthy" and decision.issues and not decision.active
    tomorrow = now() + timedelta(days=1)
    assert decide(unbuilt.corpus, STATE, at=tomorrow).verdict == "repair"


def test_what_only_a_person_can_repair_starts_no_run(unbuilt):
    for file in unbuilt.docs.iterdir():
        file.unlink()
    decision = decide(unbuilt.corpus, STATE)
    assert (decision.verdict, decision.exit_code, decision.plan.steps) == ("stuck", 1, ())
    assert "check the source" in decision.reason


def test_mass_removals_are_held_and_additions_proceed(unbuilt):
    unbuilt.write(*(f"more-{number:02}" for number in range(80)))
    store_documents(unbuilt)
    removed = [unbuilt.docs / f"{number:02}.txt" for number in range(11)]
    for file in removed[:10]:
        file.unlink()
    diff = SystemState(unbuilt.corpus).documents
    assert len(diff.gone) == 10 and not diff.held, "10 documents are not more than 10"
    removed[10].unlink()
    unbuilt.write("new")
    diff = SystemState(unbuilt.corpus).documents
    assert diff.gone == [] and len(diff.held["folder"]) == 11 and diff.missing == ["folder:new.txt"]
    decision = decide(unbuilt.corpus, STATE)
    held = next(issue for issue in decision.issues if issue.type == "removals_held")
    assert decision.verdict == "repair" and held.affected == 11 and held.action == "sources confirm folder"
    steps = {step.action: step.documents for step in decision.plan.steps if step.asset == "documents"}
    assert steps == {"fetch": ("folder:new.txt",)}
    with pytest.raises(RagAssetsError, match="no removals of source 'other' are held; held: folder"):
        confirm_removals(unbuilt.corpus, "other")
    assert len(confirm_removals(unbuilt.corpus, "folder")) == 11
    (unbuilt.docs / "more-00.txt").unlink()
    diff = SystemState(unbuilt.corpus).documents
    assert len(diff.gone) == 12 and not diff.held, "those confirmed, and one more that the brake does not mind"
    store_documents(unbuilt)
    state = SystemState(unbuilt.corpus)
    record_look(unbuilt.corpus, state, decide(unbuilt.corpus, STATE, state=state).active)
    assert read_memory(unbuilt.corpus.store).confirmed == {}, "a confirmation is good for one removal"


def test_a_tenth_of_a_large_source_is_not_held(unbuilt):
    unbuilt.write(*(f"more-{number:03}" for number in range(130)))
    store_documents(unbuilt)
    for number in range(15):
        (unbuilt.docs / f"more-{number:03}.txt").unlink()
    assert len(SystemState(unbuilt.corpus).documents.gone) == 15
    unbuilt.configure(", brake: {documents: 5, share: 0.05}")
    assert len(SystemState(unbuilt.corpus).documents.held["folder"]) == 15


@pytest.mark.parametrize("obstacle", ["pause", "approval", "stuck"])
def test_removals_wait_for_nothing_but_the_brake(unbuilt, obstacle):
    unbuilt.configure(", auto_repair: {max_chunks: 0}" if obstacle == "approval" else ", retries: {attempts: 1}")
    store_documents(unbuilt)
    if obstacle == "pause":
        pause(unbuilt.corpus)
    if obstacle == "stuck":
        record_attempt(unbuilt.corpus, decide(unbuilt.corpus, STATE).repairing)
    (unbuilt.docs / "00.txt").unlink()
    decision = decide(unbuilt.corpus, STATE)
    assert decision.verdict == "repair" and decision.plan.assets == ("documents",)
    assert decision.plan.documents == ("folder:00.txt",)
    store_documents(unbuilt)
    stored = unbuilt.corpus.store.rows(DOCUMENTS, ("document_id",))["document_id"].to_pylist()
    assert "folder:00.txt" not in stored
    verdict = decide(unbuilt.corpus, STATE).verdict
    assert verdict == {"pause": "paused", "approval": "pending_approval", "stuck": "repair"}[obstacle], (
        "19 documents without chunks are fewer than 20, so one more attempt is worth it"
    )


def test_a_memory_that_is_lost_or_broken_costs_a_question_and_nothing_else(unbuilt, capsys):
    pause(unbuilt.corpus)
    path = unbuilt.corpus.store.folder / PATH
    path.write_text("{broken")
    assert decide(unbuilt.corpus, STATE).verdict == "repair"
    path.unlink()
    assert decide(unbuilt.corpus, STATE).verdict == "repair"


@pytest.mark.parametrize(
    ("percent", "missing", "holds"),
    [(None, None, False), (0, None, True), (10, None, False), (0, 5, False), (None, 30, True), (10, 30, False)],
)
def test_completeness_within_its_tolerance_is_no_reason_to_repair(unbuilt, percent, missing, holds):
    store_documents(unbuilt)
    unbuilt.write(*(f"more-{number}" for number in range(10)))
    chosen = {"min_percent": percent, "max_missing": missing}
    bounds = [f"{name}: {value}" for name, value in chosen.items() if value is not None]
    unbuilt.configure(f", completeness: {{{', '.join(bounds)}}}")
    decision = decide(unbuilt.corpus, STATE)
    assert {issue.type for issue in decision.issues} >= {"missing_documents"}
    assert (decision.verdict == "healthy") == holds
