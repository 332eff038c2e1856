"""What a run may still use. Stages ask after each commit, so that a run ends cleanly and the rest is planned next time.

Not here: the settings (`resources.policy`), and what happens to a run that has ended so.
"""

import os
import sys
import time
from dataclasses import dataclass

import psutil

from resources.errors import BudgetUsedError


@dataclass(frozen=True)
class Allowance:
    """Bounds of one run; None for none. `deadline`: seconds since the epoch. `max_memory`: bytes of this process.

    `per_step`: about how many items one step of several takes on.
    """

    max_documents: int | None = None
    deadline: float | None = None
    max_memory: int | None = None
    per_step: int = 20_000

    def shards(self, items: int) -> int:
        """Return into how many shards the work on so many items is cut; 0 for none."""
        return -(-items // self.per_step)

    def documents(self, ids: list[str], shards: int = 1) -> list[str]:
        """Return the first of these documents, as many as one of so many shards may work on."""
        return ids if self.max_documents is None else ids[: -(-self.max_documents // shards)]

    def check(self) -> None:
        """Raise BudgetUsedError when time or memory is used up. Called after a commit."""
        if self.deadline is not None and time.time() >= self.deadline:
            raise BudgetUsedError("the run's time is used up (budget.max_minutes)")
        if self.max_memory is not None and (used := psutil.Process().memory_info().rss) > self.max_memory:
            raise BudgetUsedError(
                f"the run holds {used / 1e9:.1f} GB, more than the {self.max_memory / 1e9:.1f} GB that "
                "budget.max_memory allows"
            )

    def require_done(self, left: list[str], what: str) -> None:
        """Raise BudgetUsedError when something is left because of the bound on documents."""
        if left and self.max_documents is not None:
            raise BudgetUsedError(f"{len(left)} {what} are left (budget.max_documents)")


def step_back(cpu_share: float, nice: int) -> None:
    """Let this process use that share of the cores, at least one, and step back for others."""
    if cpu_share < 1:
        threads = max(1, int((os.cpu_count() or 1) * cpu_share))
        os.environ["OMP_NUM_THREADS"] = str(threads)
        if "torch" in sys.modules:
            import torch

            torch.set_num_threads(threads)
        if "faiss" in sys.modules:
            import faiss

            faiss.omp_set_num_threads(threads)
    process = psutil.Process()
    if nice > process.nice():
        process.nice(nice)
