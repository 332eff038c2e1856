"""A corpus under `rag-assets ui`, Dagster's real webserver and daemon: built, broken, and whole again, with no hand on
it.
"""

import time
from pydoc_data.topics import topics

import dagster as dg
import lance
import pytest

from rag_assets_tests.system.serving import serving
from resources.corpus import open_corpus
from resources.reconciliation.analyse import analyse
from resources.reconciliation.observe import SystemState
from resources.settings import load_settings
from sensors.check_records import newest_records

SHORTEST = sorted(topics, key=lambda name: len(topics[name]))[:3]
SETTINGS = """
corpora: {default: {sources: [{type: folder, path: docs}]}}
automation: {drift: {every: 1s}}
"""
LIMIT_SECONDS = 600  # on a machine that is busy otherwise; the times that matter are printed


class Watcher:
    """What can be seen from outside: Dagster's records and the store."""

    def __init__(self, project, instance):
        self.project, self.instance = project, instance
        self.settings = load_settings(project.folder / "rag.yaml")

    @property
    def corpus(self):
        return open_corpus(self.settings, "default")

    def live(self):
        snapshot = self.corpus.store.snapshots.live()
        return snapshot.number if snapshot else 0

    def runs(self):
        return self.instance.get_runs(dg.RunsFilter(tags={"dagster/partition": "default"}))

    def record(self, asset, check):
        key = dg.AssetCheckKey(dg.AssetKey(asset), check)
        return next(iter(newest_records(self.instance, [key], {"default"})), None)

    def is_red(self, asset, check):
        record = self.record(asset, check)
        return record is not None and record.by_sensor and not record.passed

    def is_green(self, asset, check):
        record = self.record(asset, check)
        return record is not None and record.passed

    def until(self, condition, what, log):
        """Wait for it, and return how many seconds that took."""
        started = time.monotonic()
        while not condition():
            assert time.monotonic() - started < LIMIT_SECONDS, (
                f"{what}: not within {LIMIT_SECONDS} s\n{log.read_text()}"
            )
            time.sleep(0.2)
        return time.monotonic() - started


@pytest.fixture
def watched(project, tmp_path, monkeypatch):
    (project.folder / "docs").mkdir()
    for name in SHORTEST:
        (project.folder / "docs" / f"{name}.txt").write_text(topics[name], "utf-8")
    (project.folder / "rag.yaml").write_text(SETTINGS)
    log = tmp_path / "ui.log"
    with serving(project, log):
        monkeypatch.setenv("DAGSTER_HOME", str(project.home / "dagster"))
        with dg.DagsterInstance.get() as instance:
            yield Watcher(project, instance), log


def test_drift_is_seen_red_repaired_and_green_with_no_hand_on_it(watched):
    watcher, log = watched
    built = watcher.until(lambda: watcher.is_green("snapshot", "is_current"), "the first build", log)
    assert watcher.live() == 1 and len(watcher.runs()) == 1

    table = watcher.corpus.store.folder / f"{watcher.corpus.embeddings.name}.lance"
    rows = lance.dataset(table)
    lost = rows.to_table(columns=["chunk_id"])["chunk_id"].to_pylist()[:2]
    rows.delete(f"chunk_id in ({', '.join(repr(one) for one in lost)})")
    edited = watcher.project.folder / "docs" / f"{SHORTEST[0]}.txt"
    edited.write_text(edited.read_text() + "\nThe zyxomma is a dragonfly.\n")

    both = (("documents", "agrees_with_sources"), ("token_embeddings", "covers_chunks"))
    seen = watcher.until(lambda: any(watcher.is_red(*check) for check in both), "red", log)
    repaired = seen + watcher.until(
        lambda: watcher.live() == 2 and all(watcher.is_green(*check) for check in both), "green", log
    )
    repaired += watcher.until(lambda: watcher.is_green("snapshot", "is_current"), "green as a whole", log)
    assert analyse(SystemState(watcher.corpus), "search-ready") == []
    assert all(run.tags["dagster/sensor_name"] == "drift" for run in watcher.runs())
    watcher.until(lambda: all(run.is_finished for run in watcher.runs()), "the end of the run", log)
    assert {run.status for run in watcher.runs()} == {dg.DagsterRunStatus.SUCCESS}
    assert len(watcher.runs()) <= 3, "a look between the two damages may have seen one of them alone"
    print(f"\nbuilt {built:.1f} s after the start; red {seen:.1f} s and green {repaired:.1f} s after the damage")
