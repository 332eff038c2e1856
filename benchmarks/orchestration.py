"""What a Dagster run costs where nothing is to be done, against seven empty assets on the same instance."""

import pydoc_data.topics
from collections.abc import Iterator
from pathlib import Path

import dagster as dg

from benchmarks import made
from benchmarks.measure import Row, WrongAnswerError, interleaved
from rag_assets.instance import open_instance
from rag_assets.runs import materialise
from resources.corpus import open_corpus

DOCUMENTS = 12
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def run(work: Path, full: bool) -> Iterator[Row]:
    """Materialise a healthy corpus again and again."""
    texts = work / "texts"
    texts.mkdir()
    for name, text in sorted(pydoc_data.topics.topics.items())[:DOCUMENTS]:
        (texts / f"{name}.txt").write_text(text, "utf-8")
    loaded = made.settings(work, {"type": "folder", "path": "texts"})
    made.build(loaded)
    with open_instance(loaded) as instance:

        def ours(_: None) -> None:
            outcome = materialise(loaded, open_corpus(loaded, made.NAME), None, instance, "benchmark")
            if not outcome.success:
                raise WrongAnswerError(f"the run failed: {outcome.problem}")

        def empty(_: None) -> None:
            dg.materialize(_seven(), instance=instance, run_config=QUIET)

        times = interleaved([ours, empty], [None], 9 if full else 3)
    snapshots = open_corpus(loaded, made.NAME).store.snapshots.numbers()
    if snapshots != [1]:
        raise WrongAnswerError(f"runs with nothing to do published snapshots {snapshots[1:]}")
    yield Row(
        "a Dagster run with nothing to do",
        "s",
        times.per_pass(0, "s"),
        "dg.materialize of seven empty assets",
        times.per_pass(1, "s"),
        ratio=1.3,
        facts=times.cpu("s"),
        profile=times.profile,
    )


def _seven() -> list[dg.AssetsDefinition]:
    """Return a chain of seven assets that do nothing."""

    def define(number: int) -> dg.AssetsDefinition:
        @dg.asset(name=f"empty_{number}", deps=[f"empty_{number - 1}"] if number else [])
        def empty() -> None:
            pass

        return empty

    return [define(number) for number in range(7)]
