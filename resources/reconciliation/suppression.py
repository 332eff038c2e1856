"""Documents that were erased and must not come back: kept as hashes, and left out of every listing.

Unlike the memory, losing this list is no loss of work: an erased document that its source still lists would return.
"""

import json

import pyarrow as pa

from resources.errors import StoreError
from resources.identity import digest
from resources.store.base import CorpusStore
from resources.store.files import write_atomically

NAME = "suppressed.json"


def hashed(document_id: str) -> str:
    """Return what a document is remembered by after it was erased."""
    return digest("suppressed", document_id)


def read_suppressed(store: CorpusStore) -> frozenset[str]:
    """Return the hashes; StoreError when the list is there and cannot be read."""
    path = store.reconciliation / NAME
    try:
        return frozenset(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return frozenset()
    except (OSError, ValueError, TypeError) as error:
        raise StoreError(
            f"corpus {store.corpus}: {path} says which documents were erased, and cannot be read ({error}); restore it"
        ) from error


def suppress(store: CorpusStore, document_ids: list[str]) -> None:
    """Add documents to the list. To be called with the lease in hand."""
    before = read_suppressed(store)
    after = before.union(map(hashed, document_ids))
    if after != before:
        store.reconciliation.mkdir(exist_ok=True)
        write_atomically(store.reconciliation / NAME, json.dumps(sorted(after), indent=1))


def without_suppressed(store: CorpusStore, listing: pa.Table) -> pa.Table:
    """Return the listing (with `document_id`) without documents that were erased."""
    hashes = read_suppressed(store)
    if not hashes:
        return listing
    return listing.filter(pa.array([hashed(one) not in hashes for one in listing["document_id"].to_pylist()]))
