"""The loop on a real corpus: every transition between drift found and drift gone, and what a kill halfway leaves."""

import shutil
from pydoc_data.topics import topics

import lance
import pytest

from rag_assets.reconcile import Options, reconcile
from rag_assets_tests.models import save_second_model
from resources.corpus import open_corpus
from resources.materialisation.rollback import unpin
from resources.reconciliation.consent import acknowledge, approve, confirm_removals, pause
from resources.reconciliation.decision import decide
from resources.reconciliation.history import read_backwards, verify
from resources.reconciliation.memory import now
from resources.reconciliation.observe import SystemState
from resources.retrieval.pipelines import retrieve
from resources.retrieval.snapshot import open_live
from resources.settings import load_settings

NAMES = sorted(topics)[:24]


class Workbench:
    """A corpus `default` over the folder `docs`, reconciled in this process."""

    def __init__(self, folder):
        self.folder, self.docs = folder, folder / "docs"
        self.more = ""

    def configure(self, more=""):
        content = f"corpora: {{default: {{sources: [{{type: folder, path: docs}}]{more}}}}}"
        (self.folder / "rag.yaml").write_text(content)

    def write(self, *names, suffix=""):
        self.docs.mkdir(exist_ok=True)
        for name in names:
            (self.docs / f"{name}.txt").write_text(topics[name][:1500] + suffix, "utf-8")

    @property
    def settings(self):
        return load_settings(self.folder / "rag.yaml")

    @property
    def corpus(self):
        return open_corpus(self.settings, "default")

    @property
    def live(self):
        return self.corpus.store.snapshots.live()

    def reconcile(self, **options):
        return reconcile(self.settings, "default", Options("search-ready", **options))

    def ask(self, text):
        return [hit.document_id for hit in retrieve(open_live(self.corpus.store), [text], k=30)[0]]

    def rows(self):
        table = lance.dataset(self.corpus.store.folder / f"{self.corpus.embeddings.name}.lance")
        columns = ["chunk_id", "checksum", "_rowid"]
        return {row["chunk_id"]: row for row in table.to_table(columns=columns[:2], with_row_id=True).to_pylist()}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    bench = Workbench(tmp_path_factory.mktemp("reconcile") / "project")
    bench.folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        _own_home(patch)
        bench.write(*NAMES)
        bench.configure()
        first = bench.reconcile()
        assert (first.exit_code, first.converged, len(first.rounds)) == (0, True, 1), first.problem
    return bench


def _own_home(patch):
    for name in ("RAG_HOME", "RAG_CONFIG"):
        patch.delenv(name, raising=False)
    patch.setenv("DAGSTER_HOME", "")  # counts as unset; `prepare` sets it, the patch takes that back


@pytest.fixture
def bench(built, tmp_path, monkeypatch):
    _own_home(monkeypatch)
    shutil.copytree(built.folder, tmp_path / "project", copy_function=shutil.copy2)
    return Workbench(tmp_path / "project")


def types(issues):
    return {issue.type: issue.affected for issue in issues}


def test_a_healthy_corpus_is_looked_at_and_left_alone(bench):
    before = {path: path.stat().st_mtime_ns for path in bench.corpus.store.folder.rglob("*")}
    done = bench.reconcile()
    assert (done.first.verdict, done.exit_code, done.rounds) == ("healthy", 0, ())
    assert before == {path: path.stat().st_mtime_ns for path in bench.corpus.store.folder.rglob("*")}


def test_just_what_drifted_is_repaired_verified_and_recorded(bench):
    before = bench.rows()
    bench.write(NAMES[0], suffix=" The zyxomma is a dragonfly.")
    (bench.docs / f"{NAMES[1]}.txt").unlink()
    done = bench.reconcile()
    assert types(done.first.issues) == {"source_changed": 1, "source_deleted": 1}
    assert done.converged and done.exit_code == 0 and not done.last.issues
    planned = set(done.first.plan.documents)
    assert planned == {f"folder:{name}.txt" for name in NAMES[:2]}
    after, state = bench.rows(), SystemState(bench.corpus)
    touched = {row["chunk_id"] for row in state.candidate.chunks.to_pylist() if row["document_id"] in planned}
    same = before.keys() & after.keys() - touched
    assert len(same) > 20 and all(before[chunk] == after[chunk] for chunk in same), "the same versioned rows"
    assert bench.ask("zyxomma dragonfly")[0] == f"folder:{NAMES[0]}.txt"
    entry = next(read_backwards(bench.corpus.store))
    assert entry["converged"] and entry["success"] and entry["run"] == done.run_ids[0]
    assert entry["plan"]["id"] == done.first.plan.id and entry["measured"]["fetch"]["items"] == 1
    assert {(one["type"], one["affected"]) for one in entry["found"]} == {("source_changed", 1), ("source_deleted", 1)}
    assert verify(bench.corpus.store).broken_line is None


@pytest.mark.slow
def test_the_brake_holds_mass_removals_until_they_are_confirmed(bench):
    for name in NAMES[:12]:
        (bench.docs / f"{name}.txt").unlink()
    (bench.docs / "zyxomma.txt").write_text("The zyxomma is a dragonfly.")
    held = bench.reconcile()
    assert (held.last.verdict, held.exit_code) == ("pending_approval", 3)
    assert types(held.last.issues) == {"removals_held": 12}
    assert "rag-assets sources confirm folder --corpus default" in held.last.reason
    found = bench.ask(topics[NAMES[0]][:200])
    assert f"folder:{NAMES[0]}.txt" in found, "held removals are still answered from"
    assert bench.ask("zyxomma dragonfly")[0] == "folder:zyxomma.txt", "additions proceed"
    assert bench.reconcile().rounds == (), "waiting starts no run"
    assert len(confirm_removals(bench.corpus, "folder")) == 12
    done = bench.reconcile()
    assert done.converged and done.exit_code == 0 and bench.live.counts["documents"] == 13
    assert f"folder:{NAMES[0]}.txt" not in bench.ask(topics[NAMES[0]][:200])


def test_a_paused_corpus_and_an_acknowledged_drift_start_no_run_but_removals_do(bench):
    pause(bench.corpus)
    bench.write(NAMES[0], suffix=" The zyxomma is a dragonfly.")
    assert bench.reconcile().rounds == () and bench.reconcile().exit_code == 1
    (bench.docs / f"{NAMES[1]}.txt").unlink()
    done = bench.reconcile()
    assert len(done.rounds) == 1 and (done.last.verdict, done.exit_code) == ("paused", 1)
    assert bench.live.kind == "removal" and f"folder:{NAMES[1]}.txt" not in bench.ask(topics[NAMES[1]][:200])
    state = types(done.last.issues)
    for drift in state:
        acknowledge(bench.corpus, drift, now().date())
    assert bench.reconcile().exit_code == 0


@pytest.mark.slow
def test_a_budget_of_documents_stops_a_run_and_the_next_goes_on(bench):
    shutil.rmtree(bench.folder / ".rag" / "corpora")
    bench.configure(", budget: {max_documents: 16}")
    first = bench.reconcile()
    assert len(first.rounds) == 1 and first.exit_code == 1 and "max_documents" in first.problem
    assert bench.live.counts["documents"] == 16, "what is complete is published"
    assert types(first.last.issues) == {"missing_documents": 8} and first.last.verdict == "repair"
    second = bench.reconcile()
    assert second.converged and second.exit_code == 0 and bench.live.counts["documents"] == 24


@pytest.mark.parametrize("bound", ["max_minutes: 0.0001", "max_memory: 1MB"])
def test_a_run_without_time_or_memory_ends_after_a_commit_and_the_next_goes_on(bench, bound):
    bench.write(*NAMES[:3], suffix=" The zyxomma is a dragonfly.")
    bench.configure(f", budget: {{{bound}}}, retries: {{attempts: 1}}")
    first = bench.reconcile()
    assert first.exit_code == 1 and "what was done is kept" in first.problem, first.problem
    assert types(first.last.issues)["stale_text"] == 3, "one commit of documents was made"
    assert first.last.verdict == "repair", "nobody is stuck for having been stopped"
    assert bench.reconcile(mode="complete").converged == ("minutes" in bound), "`complete` minds memory only"


@pytest.mark.slow
def test_what_repairing_does_not_help_becomes_stuck_and_is_left_alone(bench):
    bench.configure(", retries: {attempts: 1}")
    for number in range(30):
        (bench.docs / f"broken-{number}.txt").write_bytes(b"\0" * 100)
    bench.write(NAMES[0], suffix=" The zyxomma is a dragonfly.")
    old = bench.live.number
    first = bench.reconcile()
    assert first.exit_code == 1 and "documents.readable" in first.problem and bench.live.number == old
    second = bench.reconcile()
    third = bench.reconcile()
    assert (third.last.verdict, third.exit_code, third.rounds) == ("stuck", 3, ())
    assert bench.live.number == old and "reconcile run --force" in third.last.reason, second.last.reason
    assert len(bench.reconcile(force=True).rounds) == 1, "a person may try again"
    for file in bench.docs.glob("broken-*"):
        file.unlink()
    confirm_removals(bench.corpus, "folder")
    mended = bench.reconcile(force=True)
    assert mended.converged and bench.ask("zyxomma dragonfly")[0] == f"folder:{NAMES[0]}.txt"


@pytest.mark.slow
def test_an_emergency_puts_the_last_good_snapshot_back_pins_it_and_then_repairs(bench, capsys):
    first = bench.live
    bench.write(NAMES[0], suffix=" The zyxomma is a dragonfly.")
    assert bench.reconcile().converged
    shutil.rmtree(bench.corpus.store.indexes.fetch(bench.live.dense))
    assert types(decide(bench.corpus, "search-ready").issues)["snapshot_damaged"] == 1
    done = bench.reconcile(mode="emergency")
    assert done.rolled_back_to == first.number and bench.live.pinned and bench.live.content == first.content
    assert done.converged and types(done.last.issues) == {"pinned": 1}
    assert bench.ask("zyxomma dragonfly")[0] != "" and SystemState(bench.corpus).is_complete, (
        "the candidate is repaired"
    )
    assert bench.reconcile(mode="emergency").rolled_back_to is None, "once is enough"
    unpin(bench.corpus)
    assert bench.reconcile().converged and not bench.live.pinned
    assert bench.ask("zyxomma dragonfly")[0] == f"folder:{NAMES[0]}.txt"


def test_a_pipeline_asks_for_what_it_needs_and_no_more(bench):
    shutil.rmtree(bench.corpus.store.indexes.fetch(bench.live.dense))
    issues = types(decide(bench.corpus, "search-ready", pipeline="bm25").issues)
    assert "dense_index_damaged" not in issues
    assert "dense_index_damaged" in types(decide(bench.corpus, "search-ready", pipeline="basic").issues)
    assert bench.reconcile(pipeline="basic").converged


@pytest.mark.slow
def test_a_migration_that_was_approved_resumes_after_a_kill_without_asking_again(bench, tmp_path, project_runner):
    old = bench.live
    bench.configure(f", auto_repair: {{max_chunks: 5}}, model: {save_second_model(tmp_path / 'second')}")
    asked = bench.reconcile()
    assert (asked.first.verdict, asked.exit_code, asked.rounds) == ("pending_approval", 3, ())
    approve(bench.corpus, asked.first.plan)
    project_runner.kill_at(
        bench, lambda: (bench.corpus.store.folder / f"{bench.corpus.embeddings.name}.lance").exists()
    )
    assert bench.live == old and bench.ask("What does assert do?"), "live answers with its own model"
    resumed = decide(bench.corpus, "search-ready")
    assert resumed.verdict == "repair", resumed.reason
    done = bench.reconcile()
    assert done.converged and bench.live.model_fingerprint == bench.corpus.model.fingerprint != old.model_fingerprint
    bench.configure(", auto_repair: {max_chunks: 5}")
    back = decide(bench.corpus, "search-ready")
    assert back.verdict == "repair" and back.plan.chunks == 0, "the old vectors are still there"
