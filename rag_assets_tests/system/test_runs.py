"""Dagster runs in this process, on a real instance and a real Lance folder: what becomes of a corpus in each case."""

import json
import shutil
from pydoc_data.topics import topics

import dagster as dg
import lance
import numpy as np
import pyarrow as pa
import pytest

from rag_assets.definitions import build_defs
from rag_assets.runs import materialise
from rag_assets_tests.models import save_second_model
from resources.corpus import corpus_names, open_corpus
from resources.embedding.vectors import checksum
from resources.materialisation.rollback import roll_back, unpin
from resources.reconciliation.analyse import analyse, holds
from resources.reconciliation.observe import SystemState
from resources.retrieval.pipelines import retrieve
from resources.retrieval.snapshot import open_live
from resources.settings import load_settings
from sensors.corpora import register_corpora

TABLES = ("documents", "chunks", "token_embeddings")
ASSETS = (*TABLES, "dense_index", "bm25_index", "ragas_report", "snapshot")


class Workbench:
    """A corpus `default` over the folder `docs`, and runs on it."""

    def __init__(self, folder, instance):
        self.folder, self.instance = folder, instance
        self.docs = folder / "docs"
        self.docs.mkdir()
        self.configure("")

    def configure(self, more, source="{type: folder, path: docs}"):
        (self.folder / "rag.yaml").write_text(f"corpora: {{default: {{sources: [{source}]{more}}}}}")
        self.settings = load_settings(self.folder / "rag.yaml")
        register_corpora(self.instance, corpus_names(self.settings))

    def write(self, names, suffix=""):
        for name in names:
            (self.docs / f"{name}.txt").write_text(topics[name] + suffix, "utf-8")

    @property
    def corpus(self):
        return open_corpus(self.settings, "default")

    @property
    def live(self):
        return self.corpus.store.snapshots.live()

    def run(self, *assets):
        return materialise(self.settings, self.corpus, assets or None, self.instance, "test")

    def issues(self, target="search-ready"):
        return {issue.type: issue.affected for issue in analyse(SystemState(self.corpus), target)}

    def ask(self, text, pipeline="hybrid"):
        return [hit.document_id for hit in retrieve(open_live(self.corpus.store), [text], pipeline=pipeline, k=5)[0]]

    def checks(self, run_id):
        events = self.instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
        found = [event.dagster_event.event_specific_data for event in events]
        return {f"{one.asset_key.to_user_string()}.{one.check_name}": one for one in found}


@pytest.fixture
def bench(tmp_path):
    with dg.instance_for_test() as instance:
        bench = Workbench(tmp_path, instance)
        bench.write(sorted(topics)[:8])
        yield bench


def test_a_build_and_a_second_one_that_does_nothing(bench):
    first = bench.run()
    assert first.success, first.problem
    assert bench.issues() == {} and bench.live.number == 1
    checks = bench.checks(first.run_id)
    assert len(checks) == 21 and all(one.passed and one.partition == "default" for one in checks.values())
    events = {name: bench.instance.get_latest_materialization_event(dg.AssetKey(name)) for name in ASSETS}
    versions = {name: event.asset_materialization.tags["dagster/data_version"] for name, event in events.items()}
    rows = {name: event.asset_materialization.metadata["dagster/row_count"].value for name, event in events.items()}
    assert rows["documents"] == rows["snapshot"] == 8
    assert rows["chunks"] == rows["token_embeddings"] == rows["dense_index"] == rows["bm25_index"] > 8

    before = {
        path: path.stat().st_mtime_ns for path in bench.corpus.store.folder.rglob("*") if "lease" not in str(path)
    }
    second = bench.run()
    assert second.success and bench.live.number == 1
    after = {path: path.stat().st_mtime_ns for path in bench.corpus.store.folder.rglob("*") if "lease" not in str(path)}
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert not [path for path in changed if path.is_file() and not path.name.startswith(".lock")]
    steps = [
        event.dagster_event.step_key
        for event in bench.instance.all_logs(second.run_id, of_type=dg.DagsterEventType.STEP_START)
    ]
    assert not [step for step in steps if ".do_" in step], "nothing to do, so no shard ran"
    again = {name: bench.instance.get_latest_materialization_event(dg.AssetKey(name)) for name in ASSETS}
    assert versions == {name: event.asset_materialization.tags["dagster/data_version"] for name, event in again.items()}


def test_every_asset_tells_its_story(bench):
    repository = build_defs(bench.settings).get_repository_def()
    graph = repository.asset_graph
    assert {key.to_user_string() for key in graph.materializable_asset_keys} == set(ASSETS)
    for key in graph.materializable_asset_keys:
        spec = repository.assets_defs_by_key[key].specs_by_key[key]
        assert spec.description and spec.kinds and spec.code_version and spec.freshness_policy, key
        assert graph.get(key).partitions_def.name == "corpus"
    for name in TABLES:
        schema = (
            repository.assets_defs_by_key[dg.AssetKey(name)]
            .specs_by_key[dg.AssetKey(name)]
            .metadata["dagster/column_schema"]
        )
        assert len(schema.columns) >= 7 and any(column.constraints.unique for column in schema.columns)
    prefixed = build_defs(bench.settings.model_copy(update={"asset_key_prefix": ("team", "kb")})).get_repository_def()
    assert dg.AssetKey(["team", "kb", "snapshot"]) in prefixed.assets_defs_by_key
    assert all(key.asset_key.path[:2] == ["team", "kb"] for key in prefixed.asset_checks_defs_by_key)


def test_another_model_builds_beside_and_flips_at_the_end(bench, tmp_path):
    assert bench.run().success
    old = bench.live
    bench.configure(f", model: {save_second_model(tmp_path / 'second')}")
    assert bench.corpus.model.fingerprint != old.model_fingerprint and bench.corpus.model.dimension == old.dimension
    stale = bench.issues()
    assert stale["stale_model"] == old.counts["chunks"]
    assert bench.run(*TABLES).success
    assert bench.live == old and bench.ask("What does assert do?")[0] == "folder:assert.txt", (
        "live answers with its own model"
    )
    assert open_live(bench.corpus.store).encoder.identity.fingerprint == old.model_fingerprint
    assert bench.run().success
    assert bench.live.model_fingerprint == bench.corpus.model.fingerprint and bench.live.number == 2
    assert bench.ask("What does assert do?")[0] == "folder:assert.txt"
    assert len(list((bench.corpus.store.folder / "token_embeddings").glob("*.lance"))) == 2
    assert bench.issues() == {}


def test_rolling_back_pins_and_unpinning_publishes_again(bench):
    assert bench.run().success
    (bench.docs / "zyxomma.txt").write_text("The zyxomma is a dragonfly.")
    (bench.docs / f"{sorted(topics)[7]}.txt").unlink()
    assert bench.run().success
    assert bench.ask("zyxomma dragonfly")[0] == "folder:zyxomma.txt"
    rolled = roll_back(bench.corpus, 1)
    assert rolled.pinned and rolled.kind == "rollback" and rolled.restored_from == 1
    assert "folder:zyxomma.txt" not in bench.ask("zyxomma dragonfly")
    assert rolled.removed_documents == (f"folder:{sorted(topics)[7]}.txt",), "a removal is not undone by a rollback"
    assert bench.run().success and bench.live.number == rolled.number, "nothing is published over a pin"
    assert bench.issues() == {"pinned": 1}
    unpin(bench.corpus)
    assert bench.run().success and bench.ask("zyxomma dragonfly")[0] == "folder:zyxomma.txt"


def test_too_many_unreadable_documents_block_and_nothing_is_published(bench):
    assert bench.run().success
    for number in range(12):
        (bench.docs / f"broken-{number}.txt").write_bytes(b"\0" * 100)
    outcome = bench.run()
    assert not outcome.success and outcome.exit_code == 1
    assert outcome.failed_checks == ("documents.readable",) and "documents.readable" in outcome.problem
    assert bench.live.number == 1


def test_a_bad_vector_is_quarantined_and_replaced_by_the_next_run(bench):
    assert bench.run(*TABLES).success
    corpus = bench.corpus
    table = corpus.store.folder / f"{corpus.embeddings.name}.lance"
    rows = lance.dataset(table).to_table()
    victim = rows.slice(0, 1).to_pylist()[0]
    zero = np.zeros(corpus.model.dimension, np.float32)
    planted = victim | {"pooled": zero.tolist(), "checksum": checksum(victim["tokens"], zero.tobytes())}
    corpus.store.upsert(corpus.embeddings, pa.Table.from_pylist([planted], schema=corpus.embeddings.schema))

    first = bench.run()
    assert first.success, first.problem
    contract = bench.checks(first.run_id)["token_embeddings.contract"]
    assert not contract.passed and contract.severity == dg.AssetCheckSeverity.WARN
    assert contract.metadata["ids"].value == [victim["chunk_id"]]
    assert bench.live.counts["chunks"] == rows.num_rows - 1, "one bad row is kept out, the rest is published"
    assert bench.issues() == {"quarantined_token_embeddings": 1}

    assert bench.run().success
    assert bench.live.counts["chunks"] == rows.num_rows and bench.issues() == {}
    healed = lance.dataset(table).to_table(filter=f"chunk_id = '{victim['chunk_id']}'").to_pylist()[0]
    assert healed["pooled"] != planted["pooled"] and abs(np.linalg.norm(healed["pooled"]) - 1) < 1e-3


def beir(folder, texts, queries):
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    (folder / "corpus.jsonl").write_text("".join(_line(key, text) for key, text in texts.items()))
    (folder / "queries.jsonl").write_text("".join(_line(f"q-{key}", text) for key, text in queries.items()))
    judgments = "".join(f"q-{key}\t{key}\t1\n" for key in queries)
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + judgments)


def _line(key, text):
    return json.dumps({"_id": key, "text": text}) + "\n"


def test_the_gate_holds_a_worse_candidate_back_but_never_a_removal(bench):
    names = sorted(topics)[:20]
    texts = {name: topics[name] for name in names}
    queries = {name: topics[name].strip().split("\n")[0] + " " + " ".join(topics[name].split()[8:20]) for name in names}
    beir(bench.folder / "set", texts, queries)
    bench.configure("", source="{type: beir, path: set}")
    assert bench.run().success
    assert bench.live.metrics["hybrid"]["mrr@10"] > 0.8

    worse = {
        name: ("Nothing of use. " * 30 if number % 2 else text) for number, (name, text) in enumerate(texts.items())
    }
    del worse[names[0]]
    beir(bench.folder / "set", worse, queries)
    held = bench.run()
    assert not held.success and held.exit_code == 1 and held.failed_checks == ("ragas_report.gate",)
    assert (
        bench.live.kind == "removal"
        and bench.live.content == open_live(bench.corpus.store).store.snapshots.read(1).content
    )
    assert f"beir:{names[0]}" not in bench.ask(queries[names[0]]), "the removal took effect all the same"
    assert f"beir:{names[1]}" == bench.ask(queries[names[1]])[0], "the old text still answers"
    assert bench.issues()["unpublished"] == 1 and not holds(analyse(SystemState(bench.corpus), "search-ready"))

    beir(bench.folder / "set", {name: text for name, text in texts.items() if name != names[0]}, queries)
    assert bench.run().success
    assert bench.live.number == 3 and bench.live.removed_documents == ()


def test_a_document_that_was_hidden_and_is_back_is_found_again(bench):
    assert bench.run().success
    gone = f"folder:{sorted(topics)[0]}.txt"
    bench.corpus.store.snapshots.remove_documents([gone], "a-run-that-died-here")
    assert gone not in bench.ask("What does assert do?")
    assert bench.issues() == {"hidden_documents": 1}
    assert bench.run().success and bench.issues() == {}
    assert bench.ask("What does assert do?")[0] == gone


def test_judged_queries_added_later_are_asked_and_published(bench):
    assert bench.run().success
    assert bench.live.report is None and bench.issues("ragas-eval") == {"no_evaluation": 1}
    name = sorted(topics)[0]
    judged = {"id": "q1", "text": "What does the assert statement do?", "relevant": {f"folder:{name}.txt": 1}}
    (bench.folder / "judged.jsonl").write_text(json.dumps(judged) + "\n")
    bench.configure(", evaluation: {set: judged.jsonl}")
    assert bench.issues("ragas-eval") == {"stale_evaluation": 1}
    assert bench.run().success and bench.issues("ragas-eval") == {}
    assert bench.live.metrics["hybrid"]["mrr@10"] == 1.0
    second = judged | {"id": "q2", "text": "zyxomma"}
    (bench.folder / "judged.jsonl").write_text(f"{json.dumps(judged)}\n{json.dumps(second)}\n")
    assert bench.issues("ragas-eval") == {"stale_evaluation": 1}
    assert bench.run().success and bench.live.metrics["hybrid"]["mrr@10"] < 1.0


@pytest.mark.parametrize("part", ["token_embeddings", "chunks.lance", "indexes"])
def test_a_part_that_is_gone_is_named_and_built_again(bench, part):
    assert bench.run().success
    before = bench.ask("What does assert do?")
    shutil.rmtree(bench.corpus.store.folder / part)
    assert "snapshot_damaged" in bench.issues()
    outcome = bench.run()
    assert outcome.success, outcome.problem
    assert bench.issues() == {} and bench.ask("What does assert do?") == before


def test_documents_that_were_never_served_are_removed_without_a_new_snapshot(bench):
    (bench.docs / "broken.txt").write_bytes(b"\0" * 100)
    assert bench.run().success
    (bench.docs / "broken.txt").unlink()
    assert bench.run().success and bench.live.number == 1 and bench.issues() == {}


def test_a_document_over_the_limit_is_a_failure_until_the_limit_is_raised(bench):
    (bench.docs / "long.txt").write_text("A zyxomma is a dragonfly. " * 2000)
    longest = max(len(file.read_text("utf-8")) for file in bench.docs.iterdir() if file.name != "long.txt")
    bench.configure(f", max_characters: {longest}")
    assert bench.run().success and bench.issues() == {"failed_documents": 1}
    bench.configure(", max_characters: 1000000")
    assert bench.issues()["stale_parser"] == 9
    assert bench.run().success and bench.issues() == {}
    assert bench.ask("zyxomma dragonfly")[0] == "folder:long.txt"
