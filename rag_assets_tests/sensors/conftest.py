"""A real Dagster instance, a small corpus of real text, and sensors and schedules asked for one tick at a time."""

import shutil
from pydoc_data.topics import topics

import dagster as dg
import lance
import pytest

from rag_assets.definitions import build_defs
from resources.corpus import corpus_names, open_corpus
from resources.settings import load_settings
from sensors.check_records import newest_records
from sensors.corpora import register_corpora
from sensors.graph import ASSETS, asset_key

SHORTEST = sorted(topics, key=lambda name: len(topics[name]))


class Desk:
    """Corpora over folders of text files, a Dagster instance, and what the daemon would do with them."""

    def __init__(self, folder, instance):
        self.folder, self.instance = folder, instance
        self.cursors = {}
        self.configure("{default: {sources: [{type: folder, path: docs}]}}")

    def configure(self, corpora, more=""):
        (self.folder / "rag.yaml").write_text(f"corpora: {corpora}\n{more}\n", "utf-8")
        self.settings = load_settings(self.folder / "rag.yaml")
        self.definitions = build_defs(self.settings)

    def write(self, count, folder="docs", suffix=""):
        (self.folder / folder).mkdir(exist_ok=True)
        for name in SHORTEST[:count]:
            (self.folder / folder / f"{name}.txt").write_text(topics[name] + suffix, "utf-8")

    def corpus(self, name="default"):
        return open_corpus(self.settings, name)

    def tick(self, name):
        """Evaluate a sensor as the daemon does: keep its cursor, change partitions, and store what it reports."""
        sensor = next(one for one in self.definitions.sensors if one.name == name)
        context = dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursors.get(name),
            definitions=self.definitions,
            sensor_name=name,
            resources=self.definitions.resources,
        )
        with dg.partition_loading_context(dynamic_partitions_store=self.instance):
            result = sensor.evaluate_tick(context)
        self.cursors[name] = result.cursor
        for change in result.dynamic_partitions_requests or ():
            if isinstance(change, dg.AddDynamicPartitionsRequest):
                self.instance.add_dynamic_partitions(change.partitions_def_name, change.partition_keys)
            else:
                for key in change.partition_keys:
                    self.instance.delete_dynamic_partition(change.partitions_def_name, key)
        for event in result.asset_events:
            self.instance.report_runless_asset_event(event)
        return result

    def run(self, *assets, corpus="default", checks=None, tags=None):
        """Run these assets of a corpus (all without a choice), or these checks alone; return whether it succeeded."""
        register_corpora(self.instance, corpus_names(self.settings))
        job = self.definitions.resolve_job_def("search_ready")
        selection = {asset_key(self.settings, name) for name in assets or ASSETS} if checks is None else set()
        chosen = job.get_subset(asset_selection=selection, asset_check_selection=set(checks) if checks else None)
        result = chosen.execute_in_process(
            instance=self.instance,
            partition_key=corpus,
            raise_on_error=False,
            tags=tags,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
        self.corpus(corpus).store.lease.release(result.run_id)
        return result.success

    def carry_out(self, request):
        """Run what a sensor or schedule requested."""
        names = [key.path[-1] for key in request.asset_selection or ()]
        return self.run(*names, corpus=request.partition_key, checks=request.asset_check_keys, tags=request.tags)

    def lose_embeddings(self, count, corpus="default"):
        """Delete rows behind the system's back; return their chunk ids."""
        opened = self.corpus(corpus)
        table = lance.dataset(opened.store.folder / f"{opened.embeddings.name}.lance")
        ids = sorted(table.to_table(columns=["chunk_id"])["chunk_id"].to_pylist())[:count]
        table.delete(f"chunk_id in ({', '.join(repr(one) for one in ids)})")
        return ids

    def verdicts(self, corpus="default"):
        """Return whether each check passed when it was evaluated last, by asset and name."""
        keys = self.definitions.resolve_asset_graph().asset_check_keys
        found = newest_records(self.instance, keys, {corpus})
        return {f"{one.key.asset_key.path[-1]}.{one.key.name}": one.passed for one in found}


@pytest.fixture
def desk(tmp_path):
    with dg.instance_for_test() as instance:
        yield Desk(tmp_path, instance)


@pytest.fixture(scope="session")
def built_folder(tmp_path_factory):
    """Build a corpus of three short documents, once."""
    folder = tmp_path_factory.mktemp("built") / "folder"
    folder.mkdir()
    with dg.instance_for_test() as instance:
        built = Desk(folder, instance)
        built.write(3)
        assert built.run()
    return folder


@pytest.fixture
def built(built_folder, tmp_path):
    """A copy of a built corpus, with a Dagster instance that knows nothing of how it came about."""
    folder = shutil.copytree(built_folder, tmp_path / "folder")
    with dg.instance_for_test() as instance:
        desk = Desk(folder, instance)
        register_corpora(instance, corpus_names(desk.settings))
        yield desk
