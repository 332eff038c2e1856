"""The shape that all materialisations share. What is particular to an asset belongs in its own module."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol
from uuid import uuid4

from resources.corpus import Corpus
from resources.identity import shard_of
from resources.store.writer import CorpusWriter, writing

MetricValue = int | float | str


@dataclass(frozen=True)
class Materialised:
    """What an asset holds after `seal`: rows, a data version (equal content, equal version) and figures to plot or
    show.
    """

    rows: int
    data_version: str
    metrics: dict[str, MetricValue] = field(default_factory=dict)


class Stage(Protocol):
    """An asset made in shards.

    Every method may be called in another process than the one before, and again after a crash.
    """

    def plan(self, corpus: Corpus, writer: CorpusWriter) -> int:
        """Remove what must go at once and return into how many shards the remaining work is cut; 0 for none."""
        ...

    def do(self, corpus: Corpus, writer: CorpusWriter, shard: int, shards: int) -> None:
        """Do one shard's share of the work, committing every few hundred rows."""
        ...

    def seal(self, corpus: Corpus, writer: CorpusWriter) -> Materialised:
        """Verify that nothing is left to do and describe the result; StoreError names what is not as it should be."""
        ...


def share(keys: Iterable[str], shard: int, shards: int) -> list[str]:
    """Return the keys that belong to a shard: by hash, so that any process that looks finds the same."""
    return [key for key in keys if shard_of(key, shards) == shard]


def some(ids: list[str]) -> str:
    """Name a few ids in an error message."""
    shown = ", ".join(ids[:3])
    return f"{shown} and {len(ids) - 3} more" if len(ids) > 3 else shown


@contextmanager
def writing_by_hand(corpus: Corpus) -> Iterator[CorpusWriter]:
    """Write outside a Dagster run: under a lease of its own, given back at the end."""
    owner = f"command-{uuid4().hex[:12]}"
    try:
        with writing(corpus.store, owner, wait=corpus.settings.lease_wait.total_seconds()) as writer:
            yield writer
    finally:
        corpus.store.lease.release(owner)
