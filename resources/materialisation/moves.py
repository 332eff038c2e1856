"""Documents that were renamed, moved or copied within their source: known by the listing's checksum, and not fetched.

Only the row's place changes; its text, and thereby its vectors, are those it had. Without a checksum in the listing a
rename costs a fetch, and is then recognised by its text.
"""

import posixpath
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from resources.corpus import Corpus
from resources.parsing.base import READABLE
from resources.reconciliation.listing import document_fingerprint
from resources.reconciliation.observe import SystemState
from resources.store.tables import DOCUMENTS

AT_A_TIME = 256
_COLUMNS = ("document_id", "source", "key", "checksum", "media_type", "fingerprint", "status")


def find(state: SystemState) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return, for each missing document whose bytes are stored under another key, that other id, and its listing."""
    missing = state.listing.table
    missing = missing.filter(pc.is_in(missing["document_id"], pa.array(state.documents.missing, pa.string())))
    missing = missing.filter(pc.is_valid(missing["checksum"]))
    if not missing.num_rows:
        return {}
    stored = _sound(state)
    found = {}
    for row in missing.to_pylist():
        other = stored.get((row["source"], row["checksum"], _extension(row["key"])))
        if other is not None:
            found[row["document_id"]] = (other, row)
    return found


def _sound(state: SystemState) -> dict[tuple[str, str, str], str]:
    corpus = state.corpus
    table = corpus.store.rows(DOCUMENTS, _COLUMNS)
    table = table.filter(pc.and_(pc.is_valid(table["checksum"]), pc.is_in(table["status"], pa.array(READABLE))))
    sources = {source.name: source for source in corpus.sources}
    return {
        (row["source"], row["checksum"], _extension(row["key"])): row["document_id"]
        for row in table.to_pylist()
        if row["source"] in sources
        and row["fingerprint"] == document_fingerprint(corpus, sources[row["source"]], row["media_type"])
    }


def _extension(key: str) -> str:
    return posixpath.splitext(key)[1].lower()


def rows(corpus: Corpus, moved: dict[str, tuple[str, dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    """Yield the rows of documents that moved, in their new places."""
    places: dict[str, list[dict[str, Any]]] = {}
    for other, listed in moved.values():
        places.setdefault(other, []).append(listed)
    ids = sorted(places)
    for start in range(0, len(ids), AT_A_TIME):
        for batch in corpus.store.batches(DOCUMENTS, DOCUMENTS.schema.names, keys=ids[start : start + AT_A_TIME]):
            for row in batch.to_pylist():
                for listed in places[row["document_id"]]:
                    here = {name: listed[name] for name in listed if name in row}
                    yield {**row, **here, "failure": None, "attempts": None, "next_try": None}
