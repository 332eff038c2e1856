"""Faults: processes killed at random moments, two repairs at once, a full disk, lost files, clocks that jump.

    python -m benchmarks.faults [--full] [--trials N] [--only KIND …] [--seed N]

Each trial starts from a copy of the same small corpus, disturbs a reconciliation (or the files), asks questions without
a break meanwhile, and then gives it one `reconcile run`. What has to hold: every answer is the one that its snapshot
gives, then and afterwards; the one run converges, or names what is lost; the corpus then holds what an undisturbed one
holds; at most one commit of embeddings was paid twice. Exits with 1 when something of that did not hold. How a process
is made to die: `victims`. How answers are judged: `witness`.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

from benchmarks.measure import quieten
from benchmarks.victims import COMMIT_ROWS, NOT_OURS, Doom, Ended, Victim, embedded
from benchmarks.witness import Witness, served
from resources.corpus import Corpus, open_corpus
from resources.embedding.checkpoint import DEFAULT_MODEL, open_checkpoint
from resources.settings import load_settings

DOCUMENTS = 40
SHORTEST = sorted(topics, key=lambda name: len(topics[name]))
YEAR = 365 * 86400.0
SETTINGS = "corpora: {{default: {{model: {model!r}, sources: [{{type: folder, path: docs}}]}}}}\n"


@dataclass
class Outcome:
    """What became of one trial. `twice`: chunks embedded more often than once; `wrong`: what did not hold."""

    kind: str
    seed: int
    asked: int = 0
    refused: int = 0
    twice: int = 0
    seconds: float = 0.0
    killed: bool = False
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Case:
    """A corpus that has something to be repaired. `used`: processor time of the undisturbed repair, `content`: what is
    served after it.
    """

    folder: Path
    used: float
    content: Any


Fault = Callable[[Path, random.Random, Case], list[Ended]]


def opened(folder: Path) -> Corpus:
    """Open the corpus of a trial."""
    for name in ("RAG_HOME", "RAG_CONFIG", "DAGSTER_HOME"):
        os.environ.pop(name, None)
    return open_corpus(load_settings(folder / "rag.yaml"), "default")


class Bench:
    """The corpora that trials start from, made once."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self.base = self._make_base()
        self.questions = tuple(f"What is said of {name.lower()}?" for name in SHORTEST[:DOCUMENTS:7])
        second = _second_model(work / "second-model")
        self.edited = self._case("edited", _edit)
        self.migrating = self._case("migrating", lambda folder: _configure(folder, second))
        self.unpublished = self._case("unpublished", _stop_before_publishing, call="make_snapshot")
        self.healthy = self._case("healthy", lambda folder: None)

    def _make_base(self) -> Path:
        folder = self._work / "base"
        (folder / "docs").mkdir(parents=True)
        for name in SHORTEST[:DOCUMENTS]:
            (folder / "docs" / f"{name}.txt").write_text(topics[name], "utf-8")
        _configure(folder, DEFAULT_MODEL)
        built = Victim(folder).wait()
        if not built.converged:
            raise SystemExit(f"the corpus cannot be built: {built.problem}")
        (folder / "embedded.log").unlink()
        return folder

    def _case(self, name: str, change: Callable[[Path], object], call: str = "") -> Case:
        folder = shutil.copytree(self.base, self._work / name)
        change(folder)
        undisturbed = shutil.copytree(folder, self._work / f"{name}-undisturbed")
        done = Victim(undisturbed, Doom(call=call)).wait()
        if not done.converged:
            raise SystemExit(f"{name}: even undisturbed it does not converge: {done.problem}")
        return Case(folder, done.used, served(opened(undisturbed)))

    def trial(
        self, kind: str, seed: int, case: Case, fault: Fault, *, disk: bool = False, hurts: bool = False
    ) -> Outcome:
        """Disturb a copy, ask meanwhile, reconcile once, and judge.

        `disk`: on a disk of its own, and the run at the end is forced, as a person does who has seen and mended the
        cause; `hurts`: live itself is damaged, so a question may be refused by name until it is repaired.
        """
        folder = shutil.copytree(case.folder, self._work / f"{kind.replace(' ', '-')}-{seed}")
        found, started = Outcome(kind, seed), time.perf_counter()
        with own_disk(folder) if disk else nullcontext():
            with Witness(opened(folder), self.questions) as witness:
                ends = fault(folder, random.Random(f"{kind} {seed}"), case)
                last = Victim(folder, force=disk).wait()
            if not last.converged or last.code != 0:
                found.wrong.append(f"one run did not do: exit {last.code}, {last.problem}")
            elif served(opened(folder)) != case.content:
                found.wrong.append("it holds something else than an undisturbed one")
            found.wrong += witness.wrong() + ([] if hurts else witness.refused[:3])
        found.killed = any(one.code is None for one in ends)
        found.wrong += [one.problem for one in ends if one.code not in (None, 0, 1, 2, 3) or NOT_OURS in one.problem]
        found.asked, found.refused = witness.asked, len(witness.refused)
        found.twice = sum(count - 1 for count in embedded(folder).values())
        if found.twice > COMMIT_ROWS:
            found.wrong.append(f"{found.twice} chunks were embedded twice, a commit has {COMMIT_ROWS}")
        found.seconds = time.perf_counter() - started
        if not found.wrong:
            shutil.rmtree(folder)
        return found


def _configure(folder: Path, model: str) -> None:
    (folder / "rag.yaml").write_text(SETTINGS.format(model=model), "utf-8")


def _edit(folder: Path) -> None:
    """Change 10 documents, remove 3, add 8."""
    docs = folder / "docs"
    for name in SHORTEST[:10]:
        (docs / f"{name}.txt").write_text(f"{topics[name]}\nThe zyxomma is a dragonfly.\n", "utf-8")
    for name in SHORTEST[10:13]:
        (docs / f"{name}.txt").unlink()
    for name in SHORTEST[DOCUMENTS : DOCUMENTS + 8]:
        (docs / f"{name}.txt").write_text(topics[name], "utf-8")


def _stop_before_publishing(folder: Path) -> None:
    _edit(folder)
    Victim(folder, Doom(after=0.0, call="make_snapshot")).wait()
    (folder / "embedded.log").unlink()


def _second_model(folder: Path) -> str:
    """Save the default model with its layers cut short: the same size, other vectors."""
    from safetensors.numpy import load_file, save_file

    shutil.copytree(open_checkpoint(DEFAULT_MODEL).path, folder)
    tensors = load_file(folder / "model.safetensors")
    weights = {name: one * 0.97 if name.startswith("encoder.layer.5.") else one for name, one in tensors.items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return str(folder)


def kill(folder: Path, draw: random.Random, case: Case, *, call: str = "") -> list[Ended]:
    """Kill a reconciliation at a random moment of the processor time that it needs."""
    return [Victim(folder, Doom(after=draw.uniform(0, case.used), call=call)).wait()]


def two_at_once(folder: Path, draw: random.Random, case: Case, *, clock: float = 0.0) -> list[Ended]:
    """Start two reconciliations together; the clock of the second jumps while it is at work."""
    both = [Victim(folder), Victim(folder, Doom(clock=clock))]
    return [one.wait() for one in both]


def one_of_two_killed(folder: Path, draw: random.Random, case: Case) -> list[Ended]:
    """Start two together and kill the first; the second waits for it, or takes over."""
    both = [Victim(folder, Doom(after=draw.uniform(0, case.used))), Victim(folder, Doom(clock=-YEAR))]
    return [one.wait() for one in both]


def older_files(folder: Path, draw: random.Random, case: Case) -> list[Ended]:
    """Kill one, and let every file of the corpus be from years ago or from years to come."""
    ended = kill(folder, draw, case)
    for file in (folder / ".rag").rglob("*"):
        moment = time.time() + draw.uniform(-3, 3) * YEAR
        os.utime(file, (moment, moment))
    return ended


def full_disk(folder: Path, draw: random.Random, case: Case) -> list[Ended]:
    """Let the disk fill up at some point of the repair."""
    disk = folder / ".rag"
    left = draw.randrange(4096, 3_000_000)
    (disk / "filler").write_bytes(b"\0" * max(0, shutil.disk_usage(disk).free - left))
    ended = Victim(folder).wait()
    (disk / "filler").unlink()
    return [ended]


def read_only(folder: Path, draw: random.Random, case: Case) -> list[Ended]:
    """Let the store be read-only."""
    disk = folder / ".rag"
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    ended = Victim(folder).wait()
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    return [ended]


@contextmanager
def own_disk(folder: Path, megabytes: int = 64) -> Iterator[None]:
    """Put what lies under `.rag` on a small file system of its own for the time of the block."""
    home, aside = folder / ".rag", folder / "aside"
    home.rename(aside)
    home.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(home)], check=True)
    try:
        shutil.copytree(aside, home, dirs_exist_ok=True)
        yield
    finally:
        subprocess.run(["umount", "-l", str(home)], check=True)


def may_mount() -> bool:
    """Whether this process may mount a file system."""
    with tempfile.TemporaryDirectory() as folder:
        tried = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=False, capture_output=True)
        if tried.returncode == 0:
            subprocess.run(["umount", folder], check=True)
        return tried.returncode == 0


def damage(folder: Path, draw: random.Random, case: Case, *, where: str, cut: bool) -> list[Ended]:
    """Delete one of the corpus's files, or cut it short."""
    files = sorted(file for file in (folder / ".rag" / "corpora" / "default").glob(where) if file.is_file())
    victim = draw.choice([file for file in files if file.stat().st_size > 1])
    if cut:
        os.truncate(victim, draw.randrange(victim.stat().st_size))
    else:
        victim.unlink()
    return []


FILES = {
    "documents": "documents.lance/data/*",
    "chunks": "chunks.lance/data/*",
    "embeddings": "token_embeddings/*.lance/data/*",
    "versions": "*.lance/_versions/*",
    "FAISS": "indexes/dense-*/*",
    "tantivy": "indexes/bm25-*/**/*",
    "memory": "reconciliation/*.json*",
    "lease": "lease/*",
}


def kinds(bench: Bench) -> dict[str, Callable[[str, int], Outcome]]:
    """Return every kind of trial by its name."""

    def one(case: Case, fault: Fault, **more: bool) -> Callable[[str, int], Outcome]:
        return lambda kind, seed: bench.trial(kind, seed, case, fault, **more)

    found = {
        "kill a repair": one(bench.edited, kill),
        "kill a migration": one(bench.migrating, kill),
        "kill a publish": one(bench.unpublished, partial(kill, call="make_snapshot")),
        "two repairs at once": one(bench.edited, two_at_once),
        "two, clocks a year apart": one(bench.edited, partial(two_at_once, clock=YEAR)),
        "two, one killed": one(bench.edited, one_of_two_killed),
        "files of other years": one(bench.edited, older_files),
    }
    if may_mount():
        found["disk full"] = one(bench.edited, full_disk, disk=True)
        found["store read-only"] = one(bench.edited, read_only, disk=True)
    else:
        print("left out, because mounting a file system is not allowed here: disk full, store read-only")
    for name, where in FILES.items():
        for cut in (True, False):
            fault = partial(damage, where=where, cut=cut)
            case = bench.edited if name in ("memory", "lease") else bench.healthy
            found[f"{name} file {'cut short' if cut else 'deleted'}"] = one(case, fault, hurts=case is bench.healthy)
    return found


def table(outcomes: Sequence[Outcome]) -> str:
    """Return the outcomes, kind by kind, as a Markdown table."""
    lines = [
        "| fault | trials | killed | converged by one run | most embedded twice | asked | refused by name | failed |"
    ]
    lines.append("|---|---|---|---|---|---|---|---|")
    for kind in dict.fromkeys(one.kind for one in outcomes):
        ours = [one for one in outcomes if one.kind == kind]
        whole = sum(not any(text.startswith("one run") for text in one.wrong) for one in ours)
        cells: list[object] = [kind, len(ours), sum(one.killed for one in ours), whole, max(one.twice for one in ours)]
        cells += (
            sum(one.asked for one in ours),
            sum(one.refused for one in ours),
            sum(bool(one.wrong) for one in ours),
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def main() -> int:
    """Run the trials that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("--full", action="store_true", help="100 kills of a kind, and 5 trials of everything else")
    parser.add_argument("--trials", type=int, help="how many of each kind instead")
    parser.add_argument("--only", action="append", default=[], metavar="KIND", help="only kinds that contain this")
    parser.add_argument("--seed", type=int, default=0, help="the number of the first trial of each kind")
    chosen = parser.parse_args()
    quieten()
    kills, others = (100, 5) if chosen.full else (3, 1)
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="rag-assets-faults-") as work:
        bench = Bench(Path(work))
        for kind, trial in kinds(bench).items():
            if chosen.only and not any(one in kind for one in chosen.only):
                continue
            count = chosen.trials or (kills if kind.startswith("kill") else others)
            for seed in range(chosen.seed, chosen.seed + count):
                outcomes.append(trial(kind, seed))
                for text in outcomes[-1].wrong:
                    print(f"{kind}, seed {seed}: {text}", flush=True)
            last = [one for one in outcomes if one.kind == kind]
            print(f"{kind}: {len(last)} trials, {sum(one.seconds for one in last):.0f} s", flush=True)
    print(f"\n{table(outcomes)}")
    return 1 if any(one.wrong for one in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
