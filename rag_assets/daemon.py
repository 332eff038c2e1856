"""The daemon: a round of `reconcile run` over the corpora, a pause, and again. For places without Dagster's daemon.

Each round is a process of its own, so that this one can always be stopped within a second: whatever a round is at when
it is killed, what it committed is kept, and the next one goes on (`docs/concepts.md`). Not here: what a round does.
"""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType

import structlog

GRACE_SECONDS = 0.3
POLL_SECONDS = 0.05

log = structlog.get_logger(__name__)


class Daemon:
    """Runs `command` (a `reconcile run`) every `interval` seconds; after an error sooner, doubling up to the interval.

    SIGTERM and SIGINT end it; SIGUSR1 starts a round at once, with `--force`. `max_iterations`: None for no end.
    """

    def __init__(
        self, command: Sequence[str], interval: float, error_retry: float, max_iterations: int | None = None
    ) -> None:
        self.command = list(command)
        self.interval = interval
        self.error_retry = error_retry
        self.max_iterations = max_iterations
        self._is_stopping = False
        self._is_forced = False
        self._woken, self._wake = os.pipe()

    def run(self) -> int:
        """Go on until told to stop, or for `max_iterations` rounds; return the exit code of the last of those."""
        os.set_blocking(self._wake, False)
        signal.set_wakeup_fd(self._wake)
        for one in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            signal.signal(one, self._on_signal)
        rounds = errors = 0
        while not self._is_stopping:
            forced, self._is_forced = self._is_forced, False
            code = self._round([*self.command, *(["--force"] if forced else [])])
            if self._is_stopping:
                break
            rounds += 1
            errors = errors + 1 if code == 2 else 0
            if rounds == self.max_iterations:
                return code
            pause = min(self.error_retry * 2 ** min(errors - 1, 30), self.interval) if errors else self.interval
            log.info("round done", round=rounds, exit_code=code, forced=forced, next_in_seconds=round(pause, 1))
            self._wait(pause)
        log.info("stopped", rounds=rounds)
        return 0

    def _wait(self, seconds: float) -> None:
        """Wait, or until a signal that came in asks for something."""
        until = time.monotonic() + seconds
        while not self._is_stopping and not self._is_forced and (left := until - time.monotonic()) > 0:
            self._doze(left)

    def _doze(self, seconds: float) -> None:
        """Sleep, or until a signal comes in."""
        if select.select([self._woken], [], [], seconds)[0]:
            os.read(self._woken, 4096)

    def _round(self, command: Sequence[str]) -> int:
        """Run one round in a process group of its own, and end it when told to stop."""
        process = subprocess.Popen(command, start_new_session=True, stdin=subprocess.DEVNULL)
        while process.poll() is None and not self._is_stopping:
            self._doze(POLL_SECONDS)
        if process.poll() is None:
            _end(process)
        return process.returncode

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGUSR1:
            self._is_forced = True
        else:
            self._is_stopping = True


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ask the round and its workers to end, and kill what is left of them shortly after."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def round_command(*options: str) -> list[str]:
    """Return the command of a round."""
    return [sys.executable, "-m", "rag_assets", "reconcile", "run", *options]
