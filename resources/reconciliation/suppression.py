"""Documents that were erased and must not come back: kept as hashes, and left out of every listing.

Unlike the memory, losing this list is no loss of work: an erased document that its source still lists would return.
"""

import json

import pyarrow as pa

from resources.errors import StoreError
from resources.identity import digest
from resources.store.base import CorpusStore

PATH = "reconciliation/suppressed.json"


def hashed(document_id: str) -> str:
    """Return what a document is remembered by after it was erased."""
    return digest("suppressed", document_id)


def read_suppressed(store: CorpusStore) -> frozenset[str]:
    """Return the hashes; StoreError when the list is there and cannot be read."""
    try:
        return understood(store, store.files.read(PATH))
    except FileNotFoundError:
        return frozenset()


def suppress(store: CorpusStore, document_ids: list[str]) -> None:
    """Add documents to the list."""
    suppress_hashes(store, frozenset(map(hashed, document_ids)))


def suppress_hashes(store: CorpusStore, hashes: frozenset[str]) -> None:
    """Add documents that are known by their hashes alone."""

    def change(content: bytes | None) -> bytes | None:
        before = understood(store, content) if content is not None else frozenset()
        after = before | hashes
        return json.dumps(sorted(after), indent=1).encode() if after != before else None

    store.files.update(PATH, change)


def understood(store: CorpusStore, content: bytes) -> frozenset[str]:
    """Return the hashes of a list; StoreError when it cannot be understood."""
    try:
        return frozenset(json.loads(content))
    except (ValueError, TypeError) as error:
        path = store.files.where(PATH)
        raise StoreError(
            f"corpus {store.corpus}: {path} says which documents were erased, and cannot be read ({error}); restore it"
        ) from error


def without_suppressed(store: CorpusStore, listing: pa.Table) -> pa.Table:
    """Return the listing (with `document_id`) without documents that were erased."""
    hashes = read_suppressed(store)
    if not hashes:
        return listing
    return listing.filter(pa.array([hashed(one) not in hashes for one in listing["document_id"].to_pylist()]))
