"""Whether anything that a look reads may have changed since the last one, for the price of listings.

Equal marks of the store mean that nothing was written, so it still holds what the last look read there. Only bits that
rot in place escape a mark, and they escape a scan too; reading every byte is what deep audits are for. Left out is what
a look itself writes. Not here: remembering marks (the sensor does, for as long as it lives).
"""

from resources.corpus import Corpus
from resources.identity import digest, set_digest
from resources.reconciliation.freshness import PATH as AGREED
from resources.reconciliation.listing import read_listing


def store_mark(corpus: Corpus) -> str | None:
    """Return the mark of the corpus's store; None when it cannot be taken: then only a look can tell."""
    return corpus.store.mark(leave_out=(AGREED,))


def listing_mark(corpus: Corpus) -> str:
    """Return the mark of what the sources list now. Raises SourceError when one cannot be listed."""
    listing = read_listing(corpus)
    pairs = zip(listing.table["document_id"].to_pylist(), listing.table["version"].to_pylist(), strict=True)
    return digest(*sorted(listing.empty), set_digest(f"{one}\0{version}" for one, version in pairs))
