"""Which corpora need no look, because nothing that a look reads has changed since one found them healthy.

Kept in memory, for as long as the code server lives: losing it costs one look a corpus. Nothing is believed but what
cannot be stale, the marks of the store's files and of the sources' listings (`resources.reconciliation.marks`).
"""

import time
from dataclasses import dataclass

from resources.corpus import Corpus
from resources.identity import digest
from resources.reconciliation.marks import listing_mark, store_mark
from resources.settings import Settings


@dataclass
class Seen:
    """What a corpus looked like: as desired, in the store, at its sources; and when those were listed."""

    desired: str
    store: str | None
    listing: str
    listed: float


class Watch:
    """What the healthy corpora looked like when they were last looked at."""

    def __init__(self) -> None:
        self._healthy: dict[str, Seen] = {}

    def is_unchanged(self, settings: Settings, corpus: Corpus) -> bool:
        """Whether the corpus was healthy and is as it was. Its sources are listed when `list_every` has passed.

        Raises SourceError when a source cannot be listed.
        """
        seen = self._healthy.get(corpus.name)
        if seen is None or seen.desired != _desired(corpus):
            return False
        if seen.store is None or seen.store != store_mark(corpus):
            return False
        now = time.monotonic()
        if now - seen.listed >= corpus.settings.list_every.total_seconds():
            if listing_mark(corpus) != seen.listing:
                return False
            seen.listed = now
        return True

    def before_a_look(self, settings: Settings, corpus: Corpus) -> Seen:
        """Return what is there now, to be remembered if the look that follows finds the corpus healthy."""
        listed = time.monotonic()
        listing = listing_mark(corpus)
        return Seen(_desired(corpus), store_mark(corpus), listing, listed)

    def remember(self, corpus: Corpus, seen: Seen) -> None:
        """Remember a healthy corpus."""
        self._healthy[corpus.name] = seen

    def forget(self, name: str) -> None:
        """Look at this corpus again at the next tick."""
        self._healthy.pop(name, None)


def _desired(corpus: Corpus) -> str:
    """Return a digest of what is desired; questions can change unseen, so where they count a look is always due."""
    if corpus.settings.target_state == "ragas-eval":
        return digest("always", str(time.monotonic_ns()))
    return digest(corpus.settings.model_dump_json(), corpus.target.model_dump_json(), corpus.model.fingerprint)
