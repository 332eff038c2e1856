"""Listing sources in a tick, without letting one that is slow or hangs use the tick up.

A listing goes on in a thread of its own. A tick waits for it as long as its patience lasts, and otherwise the next tick
takes what has come of it. Not here: how a source is listed (`resources.reconciliation.listing`).
"""

import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYetError
from dataclasses import dataclass, field

from resources.corpus import Corpus
from resources.errors import SourceError
from resources.identity import digest
from resources.reconciliation.listing import Listing, list_sources

PATIENCE = 5.0
"""Seconds that a tick waits for listings, all corpora together, and …"""
AT_LEAST = 0.25
"""… seconds that it waits for those of each corpus even then."""
OVERDUE = 300.0
"""Seconds after which a listing that has not ended counts as failed."""


class StillListingError(SourceError):
    """The sources are being listed, and the tick does not wait any longer."""


@dataclass
class UnderWay:
    """A listing that was begun, of which sources."""

    sources: str
    since: float = field(default_factory=time.monotonic)
    outcome: Future[Listing] = field(default_factory=Future)


class Listings:
    """The listings that are under way, by corpus. Kept as long as the code server lives."""

    def __init__(self) -> None:
        self._under_way: dict[str, UnderWay] = {}

    def tick(self) -> "TickListings":
        """Return what a tick lists by."""
        return TickListings(self._under_way)


class TickListings:
    """Lists the sources of each corpus once for a tick."""

    def __init__(self, under_way: dict[str, UnderWay]) -> None:
        self._under_way = under_way
        self._listed: dict[str, Listing] = {}
        self._left = PATIENCE

    def __call__(self, corpus: Corpus) -> Listing:
        """Return what the sources list. StillListingError when that is not known yet, SourceError when it is overdue
        or fails.
        """
        if corpus.name not in self._listed:
            self._listed[corpus.name] = self._wait_for(corpus)
        return self._listed[corpus.name]

    def _wait_for(self, corpus: Corpus) -> Listing:
        wanted = digest(*(f"{source.name} {source.fingerprint}" for source in corpus.sources), str(corpus.base))
        work = self._under_way.get(corpus.name)
        if work is None or (work.sources != wanted and work.outcome.done()):
            work = self._under_way[corpus.name] = _begin(corpus, wanted)
        started = time.monotonic()
        try:
            found = work.outcome.result(max(AT_LEAST, self._left))
        except NotYetError:
            if time.monotonic() - work.since > OVERDUE:
                minutes = f"{(time.monotonic() - work.since) / 60:.0f}"
                raise SourceError(
                    f"corpus {corpus.name}: listing its sources has not ended for {minutes} min"
                ) from None
            raise StillListingError(f"corpus {corpus.name}: its sources are still being listed") from None
        finally:
            self._left -= time.monotonic() - started
            if work.outcome.done():
                del self._under_way[corpus.name]
        return found


def _begin(corpus: Corpus, sources: str) -> UnderWay:
    work = UnderWay(sources)

    def run() -> None:
        try:
            work.outcome.set_result(list_sources(corpus))
        except BaseException as error:  # noqa: BLE001 - whoever waits raises it
            work.outcome.set_exception(error)

    threading.Thread(target=run, name=f"listing-{corpus.name}", daemon=True).start()
    return work
