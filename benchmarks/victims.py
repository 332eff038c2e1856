"""A reconciliation in a process of its own, for the fault bench to disturb: it can be made to die after so much
processor time, to see clocks jump, and it leaves behind what it embedded.

The process ends as by `kill -9`: the timer's signal is left to the kernel, which ends it wherever it is; no code of
ours or of a library runs any more. Time on the processor does not depend on what else the machine does.
"""

import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

COMMIT_ROWS = 8
"""Chunks in a commit of embeddings, and …"""
COMMIT_DOCUMENTS = 4
"""… documents in one of chunks, so that a small corpus takes many commits, as a large one does."""
LIMIT_SECONDS = 600
NOT_OURS = "not said by us"
PRELOADED = ("torch", "transformers", "great_expectations", "faiss", "tantivy", "rag_assets.definitions")


@dataclass(frozen=True)
class Doom:
    """When the process ends: `after` so many seconds of processor time, counted from its start or from the first call
    of the function named `call`. None: never. `clock`: seconds that its `time.time` jumps ahead, once it is at work.
    """

    after: float | None = None
    call: str = ""
    clock: float = 0.0


@dataclass(frozen=True)
class Ended:
    """How it went; `code` None where the process was killed. `used`: processor time that a `Doom.after` counts."""

    code: int | None
    problem: str = ""
    converged: bool = False
    used: float = 0.0


class Victim:
    """A reconciliation under way."""

    def __init__(self, folder: Path, doom: Doom = Doom(), *, force: bool = False) -> None:
        context = get_context("forkserver")
        context.set_forkserver_preload(["benchmarks.victims", "rag_assets.reconcile", *PRELOADED])
        self._answer, theirs = context.Pipe(duplex=False)
        self._process: ForkServerProcess = context.Process(target=_run, args=(folder, doom, force, theirs))
        self._process.start()
        theirs.close()

    def wait(self) -> Ended:
        """Return how it went, once it has ended."""
        self._process.join(LIMIT_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
            return Ended(2, f"it hung for {LIMIT_SECONDS} s")
        try:
            found: Ended = self._answer.recv()
        except EOFError:
            killed = self._process.exitcode == -signal.SIGPROF
            return Ended(None) if killed else Ended(2, f"its process ended with {self._process.exitcode}")
        return found


def embedded(folder: Path) -> dict[str, int]:
    """Return how often each text was embedded in a trial's folder."""
    found: dict[str, int] = {}
    log = folder / "embedded.log"
    for line in log.read_text("ascii").splitlines() if log.exists() else ():
        found[line] = found.get(line, 0) + 1
    return found


def _run(folder: Path, doom: Doom, force: bool, answer: Connection) -> None:
    for name in ("RAG_HOME", "RAG_CONFIG", "DAGSTER_HOME"):
        os.environ.pop(name, None)
    os.chdir(folder)
    said = os.open(folder / "victim.log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(said, 1)
    os.dup2(said, 2)
    _count_embedded(folder)
    _small_commits()
    started = _Clock(doom)
    from rag_assets.reconcile import Options, reconcile
    from resources.errors import RagAssetsError
    from resources.observability.logging import configure_logging
    from resources.settings import load_settings

    configure_logging()
    try:
        done = reconcile(load_settings(folder / "rag.yaml"), "default", Options("search-ready", force=force))
        answer.send(Ended(done.exit_code, done.problem or done.last.reason, done.converged, started.used()))
    except RagAssetsError as error:
        answer.send(Ended(error.exit_code, str(error), used=started.used()))
    except OSError as error:
        answer.send(Ended(2, f"{NOT_OURS}: {error!r}", used=started.used()))
    except BaseException as error:
        answer.send(Ended(70, f"a defect: {error!r}", used=started.used()))
        raise
    os._exit(0)


class _Clock:
    """Counts processor time from the start, or from the first call of a function; and ends the process."""

    def __init__(self, doom: Doom) -> None:
        self._doom, self._from = doom, 0.0
        if doom.call:
            sys.setprofile(self._watch)
        else:
            self._begin()

    def used(self) -> float:
        return time.process_time() - self._from

    def _watch(self, frame: Any, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_name == self._doom.call:
            sys.setprofile(None)
            self._begin()

    def _begin(self) -> None:
        self._from = time.process_time()
        if self._doom.after is not None:
            signal.signal(signal.SIGPROF, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_PROF, max(self._doom.after, 1e-4))
        if self._doom.clock:
            real = time.time
            time.time = lambda: real() + self._doom.clock


def _count_embedded(folder: Path) -> None:
    from resources.embedding.encoder import EncodedBatch, Encoder
    from resources.identity import digest

    log = os.open(folder / "embedded.log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    encode = Encoder.encode

    def counted(self: Encoder, texts: Sequence[str]) -> EncodedBatch:
        found = encode(self, texts)
        os.write(log, "".join(f"{digest(self.identity.fingerprint, one)}\n" for one in texts).encode("ascii"))
        return found

    Encoder.encode = counted  # type: ignore[method-assign]


def _small_commits() -> None:
    from resources.materialisation import chunks, token_embeddings

    token_embeddings.COMMIT_ROWS = COMMIT_ROWS
    chunks.COMMIT_DOCUMENTS = COMMIT_DOCUMENTS
