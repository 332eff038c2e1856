"""How long a command takes before it does anything: fresh processes on a warm disk, against `import dagster`."""

import pydoc_data.topics
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import made
from benchmarks.measure import Row, WrongAnswerError, interleaved

DOCUMENTS = 12
QUESTION = "What is the difference between a list and a tuple?"


def run(work: Path, full: bool) -> Iterator[Row]:
    """Build a small corpus to ask, then start all four processes in turn."""
    texts = work / "texts"
    texts.mkdir()
    for name, text in sorted(pydoc_data.topics.topics.items())[:DOCUMENTS]:
        (texts / f"{name}.txt").write_text(text, "utf-8")
    loaded = made.settings(work, {"type": "folder", "path": "texts"})
    made.build(loaded)
    command = ("-m", "rag_assets")
    asked = (*command, "query", "--config", str(loaded.path), "--corpus", made.NAME, QUESTION)
    rows = {
        "import rag_assets.definitions": (("-c", "import rag_assets.definitions"), 3.0),
        "rag-assets --help": ((*command, "--help"), 0.5),
        f"rag-assets query, {DOCUMENTS} documents": (asked, 4.0),
    }
    calls = [_process(*arguments) for arguments, _ in rows.values()]
    times = interleaved([*calls, _process("-c", "import dagster")], [None], 9 if full else 3)
    baseline = times.per_pass(-1, "s")
    for number, (name, (_, most)) in enumerate(rows.items()):
        yield Row(name, "s", times.per_pass(number, "s"), "import dagster", baseline, most=most)


def _process(*arguments: str) -> Callable[[None], None]:
    def call(_: None) -> None:
        done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            raise WrongAnswerError(f"{' '.join(arguments)} ended with {done.returncode}: {done.stderr[-500:]}")

    return call
