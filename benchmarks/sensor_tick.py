"""What it costs to watch corpora in which nothing is wrong: ticks of the drift sensor, as the daemon asks for them.

The first tick after a start looks at every corpus; later ones look for changes of the stores' files and the sources'
listings, which they read anew. Each corpus has a store of its own; all list the same folder.
"""

import json
import pydoc_data.topics
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg

from benchmarks import made, measure
from benchmarks.measure import Row, WrongAnswerError, hottest
from rag_assets.definitions import build_defs
from rag_assets.instance import open_instance
from resources.corpus import corpus_folder
from resources.settings import Settings

DOCUMENTS = 12
TICKS = 5
MOST_SECONDS = 2.0


def run(work: Path, full: bool) -> Iterator[Row]:
    """Make copies of one built corpus, and tick."""
    count = 100 if full else 20
    loaded = _corpora(work, count)
    definitions = build_defs(loaded)
    sensor = next(one for one in definitions.sensors if one.name == "drift")
    cursor: str | None = None
    seconds = []
    with open_instance(loaded) as instance:

        def tick() -> None:
            nonlocal cursor
            context = dg.build_sensor_context(
                instance=instance,
                cursor=cursor,
                definitions=definitions,
                sensor_name="drift",
                resources=definitions.resources,
            )
            started = time.perf_counter()
            result = sensor.evaluate_tick(context)
            seconds.append(time.perf_counter() - started)
            cursor = result.cursor
            if result.run_requests or "all healthy" not in (result.skip_message or ""):
                raise WrongAnswerError(f"healthy corpora were found otherwise: {result.skip_message}")

        for _ in range(1 + TICKS):
            tick()
        first, *later = seconds
        profile = hottest(tick) if measure.profiling else ""
    facts = {"first_tick_seconds": round(first, 2)}
    yield Row(f"a drift tick over {count} healthy corpora", "s", later, most=MOST_SECONDS, facts=facts, profile=profile)


def _corpora(work: Path, count: int) -> Settings:
    """Build one corpus and give `count` others its files."""
    texts = work / "texts"
    texts.mkdir()
    for name, text in sorted(pydoc_data.topics.topics.items())[:DOCUMENTS]:
        (texts / f"{name}.txt").write_text(text, "utf-8")
    source = {"type": "folder", "path": "texts"}
    built = made.settings(work, source)
    made.build(built)
    names = [f"corpus-{number:03d}" for number in range(count)]
    for name in names:
        shutil.copytree(corpus_folder(built, made.NAME), corpus_folder(built, name))
    (work / "rag.yaml").write_text(json.dumps({"corpora": {name: {"sources": [source]} for name in names}}), "utf-8")
    return made.reopened(work)
