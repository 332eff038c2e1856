"""Parses documents of strangers in processes of their own, many at once, with bounded memory, time and reach.

A document that kills its process, or exceeds its limits, becomes a row that says so, and the process is replaced. What
a worker is kept from is told in `confinement`. Small plain text stays in this process: it costs less than sending it.
"""

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

import psutil

from resources.errors import RagAssetsError
from resources.parsing.base import ParsedDocument, RawDocument, outcome
from resources.parsing.budget import Budget
from resources.parsing.detection import detect
from resources.parsing.reading import parse
from resources.parsing.registry import parser_modules, require_parsers
from resources.parsing.settings import ParsingSettings
from resources.parsing.worker import OUT_OF_MEMORY, receive_answer, send_document

IN_FLIGHT_PER_WORKER = 32
IN_PROCESS_TYPES = ("text/plain", "text/markdown")
IN_PROCESS_BYTES = 1 << 20
DOCUMENTS_PER_PROCESS = 2000
START_SECONDS = 60.0
ANSWER_BYTES = 1 << 30
_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "TESSDATA_PREFIX", "HOME")


@contextmanager
def parser_pool(settings: ParsingSettings) -> Iterator["ParserPool"]:
    """Provide a pool; its processes start with the first document that needs one and end with the block."""
    pool = ParserPool(settings)
    try:
        yield pool
    finally:
        pool.close()


class ParserPool:
    """Parses in worker processes. Several threads may call `parse` at once; they share the workers and the limits."""

    def __init__(self, settings: ParsingSettings) -> None:
        require_parsers(settings)
        self.settings = settings
        self.workers = settings.workers or _default_workers(settings)
        self._budget = Budget(settings.in_flight_mb << 20, IN_FLIGHT_PER_WORKER * self.workers)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._running: set[_Worker] = set()
        self._lock = threading.Lock()
        self._closed = False

    def parse(self, raws: Iterable[RawDocument]) -> Iterator[ParsedDocument]:
        """Yield the outcome of every document, in any order; each carries its key and version.

        `raws` is read ahead in a thread of its own, as far as `in_flight_mb` and the number of workers allow. What it
        raises is raised here. Raises RagAssetsError when no worker process can be started.
        """
        if self._closed:
            raise RagAssetsError("the parser pool is closed")
        call = _Call(self, raws)
        try:
            yield from call.outcomes()
        finally:
            call.stop()

    def close(self) -> None:
        """End the worker processes; whatever they are at is abandoned."""
        with self._lock:
            self._closed = True
            threads = list(self._threads)
            for worker in self._running:
                worker.kill()
        for _ in threads:
            self._jobs.put(None)
        for thread in threads:
            thread.join()

    def submit(self, job: "_Job") -> None:
        """Hand a document to the workers, starting one more while there are fewer than allowed."""
        self._jobs.put(job)
        with self._lock:
            if len(self._threads) < self.workers and not self._closed:
                thread = threading.Thread(target=self._serve, name=f"parser-{len(self._threads)}", daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self) -> None:
        """Own one worker process at a time, and give it one document after the other."""
        worker: _Worker | None = None
        while (job := self._jobs.get()) is not None:
            if job.call.stopped:
                job.call.done(job.raw, None)
                continue
            try:
                parsed, worker = self._parse(job.raw, worker)
            except BaseException as error:  # noqa: BLE001  (whatever it is, the caller waits for it)
                job.call.fail(error)
                worker = None
            else:
                job.call.done(job.raw, parsed)
        if worker is not None:
            self._end(worker)

    def _parse(self, raw: RawDocument, worker: "_Worker | None") -> tuple[ParsedDocument, "_Worker | None"]:
        """Return the outcome, and the worker if it can go on.

        A document under which a process failed that had parsed others before is tried once more in a fresh one, so
        that its outcome depends on nothing but itself. Not so when time ran out: that would be as slow again.
        """
        fresh = worker is None
        worker = worker or self._start()
        parsed = worker.parse(raw)
        if worker.state == "ready":
            return parsed, worker
        self._end(worker)
        if worker.state == "broken" and not fresh and not self._closed:
            return self._parse(raw, None)
        return parsed, None

    def _start(self) -> "_Worker":
        worker = _Worker(self.settings)
        with self._lock:
            self._running.add(worker)
            closed = self._closed
        if closed:
            worker.kill()
        return worker

    def _end(self, worker: "_Worker") -> None:
        with self._lock:
            self._running.discard(worker)
        worker.end()


class _Call:
    """One call of `ParserPool.parse`: reads documents ahead, counts what is under way, collects outcomes."""

    def __init__(self, pool: ParserPool, raws: Iterable[RawDocument]) -> None:
        self.stopped = False
        self._pool = pool
        self._raws = iter(raws)
        self._share = pool._budget.share()
        self._outcomes: queue.SimpleQueue[tuple[int, ParsedDocument | BaseException | None]] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, name="parser-reader", daemon=True)

    def outcomes(self) -> Iterator[ParsedDocument]:
        self._reader.start()
        expected: int | None = None
        received = 0
        while expected is None or received < expected:
            size, item = self._outcomes.get()
            if item is None:
                expected = size
            elif isinstance(item, BaseException):
                raise item
            else:
                received += 1
                self._share.release(size)
                yield item

    def stop(self) -> None:
        """Read no further; what is under way is dropped."""
        self.stopped = True
        self._share.close()

    def done(self, raw: RawDocument, parsed: ParsedDocument | None) -> None:
        if parsed is not None:
            self._outcomes.put((len(raw.data), parsed))

    def fail(self, error: BaseException) -> None:
        self._outcomes.put((0, error))

    def _read(self) -> None:
        count = 0
        settings = self._pool.settings
        try:
            for raw in self._raws:
                if not self._share.acquire(len(raw.data)):
                    return
                count += 1
                if len(raw.data) <= IN_PROCESS_BYTES and detect(raw.data, raw.media_type) in IN_PROCESS_TYPES:
                    self.done(raw, parse(raw, settings))
                else:
                    self._pool.submit(_Job(self, raw))
        except BaseException as error:  # noqa: BLE001  (it is the caller's, and is raised where the caller waits)
            self.fail(error)
        self._outcomes.put((count, None))


class _Job:
    __slots__ = ("call", "raw")

    def __init__(self, call: _Call, raw: RawDocument) -> None:
        self.call = call
        self.raw = raw


class _Worker:
    """A process that parses, as this process sees it."""

    def __init__(self, settings: ParsingSettings) -> None:
        self.state: Literal["ready", "late", "tired", "broken"] = "ready"
        self._settings = settings
        self._parsed = 0
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-s", "-m", "resources.parsing.worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                cwd="/",
                env=_environment(),
                start_new_session=True,
            )
        self._connection = Connection(ours.detach())
        start = {"settings": settings.model_dump(), "modules": parser_modules()}
        try:
            self._connection.send_bytes(json.dumps(start).encode())
            ready = self._connection.poll(START_SECONDS) and json.loads(self._connection.recv_bytes(1 << 16))
        except (EOFError, OSError, ValueError):
            ready = False
        if not ready:
            self.end()
            raise RagAssetsError(
                f"a parser process could not be started: it ended with {self._process.returncode}; "
                "try `python -c 'import resources.parsing.worker'`, and see whether memory is short"
            )
        self.confined: bool = ready["confined"]

    def parse(self, raw: RawDocument) -> ParsedDocument:
        """Return the outcome, and set `state` to what has become of the process."""
        self.state = "broken"
        try:
            send_document(self._connection, raw)
            if not self._connection.poll(self._settings.seconds):
                self.state = "late"
                return self._failed(raw, f"takes longer than {self._settings.seconds:g} s", "exhaustion")
            answer, text = receive_answer(self._connection, ANSWER_BYTES)
        except (EOFError, OSError):
            return self._died(raw)
        except (ValueError, TypeError):
            return self._failed(raw, "the parser process answered nonsense", "corruption")
        self._parsed += 1
        if self._parsed >= DOCUMENTS_PER_PROCESS or answer.resident_bytes > self._settings.memory_mb << 19:
            self.state = "tired"
        elif answer.failure != "exhaustion":
            self.state = "ready"
        return outcome(
            raw,
            answer.status,
            answer.media_type,
            title=answer.title,
            metadata=answer.metadata,
            text=text,
            reason=answer.reason,
            failure=answer.failure,
        )

    def kill(self) -> None:
        """Stop the process, and whatever it started; whoever waits for its answer learns that it died."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def end(self) -> None:
        """Stop the process and let go of it."""
        if self._process.poll() is None:
            self.kill()
        self._process.wait()
        self._connection.close()

    def _died(self, raw: RawDocument) -> ParsedDocument:
        try:
            code = self._process.wait(5)
        except subprocess.TimeoutExpired:
            code = 0
        if code == -signal.SIGXCPU:
            self.state = "late"
            return self._failed(raw, f"computes longer than {self._settings.seconds:g} s", "exhaustion")
        if code in (OUT_OF_MEMORY, -signal.SIGKILL):
            return self._failed(raw, f"needs more memory than the {self._settings.memory_mb} MB allowed", "exhaustion")
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return self._failed(raw, f"its parser crashed ({name})", "corruption")

    def _failed(self, raw: RawDocument, reason: str, failure: Literal["exhaustion", "corruption"]) -> ParsedDocument:
        return outcome(raw, "failed", detect(raw.data, raw.media_type), reason=reason, failure=failure)


def _environment() -> dict[str, str]:
    """What a parser process may know of ours: where programs and packages are, and no secret."""
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    root = str(Path(__file__).parents[2])
    single = dict.fromkeys(("OMP_NUM_THREADS", "OMP_THREAD_LIMIT", "OPENBLAS_NUM_THREADS"), "1")
    return kept | single | {"PYTHONPATH": root, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1"}


def _default_workers(settings: ParsingSettings) -> int:
    """One worker for each core this process may use, as far as half of the free memory holds them."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(1, min(cores, psutil.virtual_memory().available // 2 // (settings.memory_mb << 20)))
