"""How long ago a corpus was known to agree with its sources.

Fresh does not mean materialised lately: a corpus whose sources never change is never materialised again, and is as
fresh as the last complete look that found nothing. That time is remembered here. Losing it costs a look, and a time in
the future (a clock that jumped) counts as lost. Not here: what a look finds (`analyse`).
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from resources.corpus import Corpus
from resources.store.base import CorpusStore

PATH = "reconciliation/agreed.json"
RESOLUTION = 0.05
"""An agreement is written down again after this share of `freshness.warn`, so that looking costs no write."""
CLOCK_SLACK = timedelta(minutes=1)


@dataclass(frozen=True)
class Freshness:
    """`since`: the last look that found nothing (None: never). `level`: by the corpus's `freshness` settings."""

    since: datetime | None
    level: Literal["fresh", "late", "overdue"]

    @property
    def said(self) -> str:
        """What the level means, for a person."""
        if self.since is None:
            return "never known to agree with its sources"
        return f"known to agree with its sources at {self.since:%Y-%m-%d %H:%M:%S} UTC"


def agreed_at(store: CorpusStore, now: datetime) -> datetime | None:
    """Return when the corpus was last known to agree with its sources; None when nobody knows."""
    try:
        since = datetime.fromisoformat(json.loads(store.files.read(PATH))["at"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return since if since.tzinfo and since <= now + CLOCK_SLACK else None


def record_agreement(corpus: Corpus, now: datetime | None = None) -> None:
    """Write down that a complete look has just found nothing, unless that was written a short while ago."""
    now = now or datetime.now(UTC)
    since = agreed_at(corpus.store, now)
    if since is not None and now - since < corpus.settings.freshness.warn * RESOLUTION:
        return
    corpus.store.files.write(PATH, json.dumps({"at": now.isoformat()}).encode())


def freshness(corpus: Corpus, now: datetime | None = None) -> Freshness:
    """Return how fresh the corpus is by its own settings; one that never agreed is overdue."""
    now = now or datetime.now(UTC)
    since = agreed_at(corpus.store, now)
    limits = corpus.settings.freshness
    if since is None or now - since >= limits.fail:
        return Freshness(since, "overdue")
    return Freshness(since, "late" if now - since >= limits.warn else "fresh")
