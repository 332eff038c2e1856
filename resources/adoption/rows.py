"""What the rows themselves tell, without any model: what is missing, orphaned, twice there, empty, or marked as stale.

Kept of each row while the table streams by: its key and some 40 bytes.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resources.adoption.table import Roles
from resources.reconciliation.drift import DriftIssue, Severity, issue

HASHES = {32: hashlib.md5, 40: hashlib.sha1, 64: hashlib.sha256}
NOTHING = np.uint64(0)


class Rows:
    """Digests and flags of all rows of a table, in reading order."""

    def __init__(self, roles: Roles) -> None:
        self._roles = roles
        self._keys: list[pa.Array] = []
        self._documents: list[pa.DictionaryArray] = []
        self._columns: dict[str, list[np.ndarray]] = {}

    def add(self, batch: pa.RecordBatch) -> None:
        """Take note of a batch."""
        texts = batch.column("text")
        blank = pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(texts)), 0)
        self._keys.append(batch.column("key"))
        self._documents.append(batch.column("document").dictionary_encode())
        later = pc.greater(batch.column("changed"), batch.column("embedded"))
        ordinals = batch.column("ordinal").fill_null(-1)
        for name, values in {
            "key": _digests(batch.column("key")),
            "document": _digests(batch.column("document")),
            "text": _digests(texts),
            "hashed": _agrees(texts, batch.column("hash")),
            "ordinal": ordinals.to_numpy(zero_copy_only=False),
            "no text": texts.is_null().to_numpy(zero_copy_only=False),
            "blank": blank.fill_null(False).to_numpy(zero_copy_only=False),
            "vector": batch.column("vector").is_valid().to_numpy(zero_copy_only=False),
            "changed": later.fill_null(False).to_numpy(zero_copy_only=False),
        }.items():
            self._columns.setdefault(name, []).append(values)

    def __len__(self) -> int:
        return sum(len(one) for one in self._keys)

    def distinct_documents(self) -> int:
        """Return how many documents the rows name."""
        return len(np.setdiff1d(np.unique(self._of("document")), [NOTHING]))

    def has_hashes(self) -> bool | None:
        """Whether the hash column is the texts' own: it is of most of them. None when no row has a hash."""
        stated = self._of("hashed")
        known = stated[stated >= 0]
        return bool(known.mean() > 0.5) if len(known) else None

    def issues(self, documents: Iterable[Sequence[str]] | None) -> Iterator[DriftIssue]:
        """Yield what is wrong. `documents`: the ids of the documents' own table, where there is one."""
        if not len(self):
            yield DriftIssue(
                "empty_table", Severity.HIGH, "live", 1, (), "by you: look at the table", "there is no row"
            )
            return
        text, vector = ~(self._of("no text") | self._of("blank")), self._of("vector")
        orphan = self._of("no text") & vector
        empty = ~text & ~orphan
        yield from self._issue("missing_embeddings", Severity.HIGH, text & ~vector, "embed", "{n} rows have no vector")
        yield from self._issue("orphan_embeddings", Severity.HIGH, orphan, "delete", "{n} rows have a vector, no text")
        yield from self._issue("empty_texts", Severity.MEDIUM, empty, "delete", "{n} rows have an empty text")
        yield from self._duplicates(text)
        yield from self._of_documents(documents)
        yield from self._gaps()
        stale = self._of("changed")
        if self.has_hashes():
            stale = stale | (self._of("hashed") == 0)
        what = "{n} rows were changed after they were embedded, by their own dates or hashes"
        yield from self._issue("stale_embeddings", Severity.HIGH, stale & text & vector, "embed", what)

    def _duplicates(self, text: np.ndarray) -> Iterator[DriftIssue]:
        keys = self._of("key")
        _, group, sizes = np.unique(keys, return_inverse=True, return_counts=True)
        what = "{n} ids are borne by several rows"
        twice = sorted(set(self._named(sizes[group] > 1)))
        yield from issue("duplicate_ids", Severity.HIGH, "live", twice, "delete", what)
        at = np.flatnonzero(text)
        _, group, sizes = np.unique(self._of("text")[at], return_inverse=True, return_counts=True)
        many = sizes[group] > 1
        kept: dict[int, str] = {}
        copies: list[str] = []
        for key, same in sorted(
            zip(self._named(at[many]), group[many].tolist(), strict=True), key=lambda one: (len(one[0]), one[0])
        ):
            if kept.setdefault(same, key) != key:
                copies.append(key)
        what = "{n} rows have the text of another row"
        yield from issue("duplicate_texts", Severity.LOW, "live", copies, "delete", what)

    def _of_documents(self, documents: Iterable[Sequence[str]] | None) -> Iterator[DriftIssue]:
        if "document" not in self._roles:
            return
        named = self._of("document")
        orphan = named == NOTHING
        if documents is not None:
            known, without = [np.empty(0, np.uint64)], []
            stored = np.unique(named)
            for ids in documents:
                digests = _digests(pa.array(ids, pa.string()))
                known.append(digests)
                without += [one for one, here in zip(ids, np.isin(digests, stored), strict=True) if not here]
            orphan = orphan | ~np.isin(named, np.concatenate(known))
            what = "{n} documents have no row"
            yield from issue("missing_chunks", Severity.HIGH, "live", without, "chunk", what)
        yield from self._issue("orphan_chunks", Severity.MEDIUM, orphan, "delete", "{n} rows have no document")

    def _gaps(self) -> Iterator[DriftIssue]:
        """Find documents whose rows are numbered with gaps, or begin after 1."""
        if not {"document", "ordinal"} <= set(self._roles):
            return
        numbered = np.flatnonzero((self._of("ordinal") >= 0) & (self._of("document") != NOTHING))
        if not len(numbered):
            return
        ordinals = self._of("ordinal")[numbered]
        _, first, group = np.unique(self._of("document")[numbered], return_index=True, return_inverse=True)
        lowest, highest = np.full(len(first), np.iinfo(np.int64).max), np.full(len(first), -1)
        np.minimum.at(lowest, group, ordinals)
        np.maximum.at(highest, group, ordinals)
        distinct = np.bincount(np.unique(np.stack([group, ordinals]), axis=1)[0], minlength=len(first))
        start = min(int(np.bincount(np.minimum(lowest, 2)).argmax()), 1)
        gaps = np.flatnonzero(distinct < highest - start + 1)
        what = "{n} documents lack some of their rows: their numbers have gaps"
        named = pa.chunked_array(self._documents).unify_dictionaries().take(pa.array(numbered[first[gaps]]))
        ids = named.cast(pa.string()).to_pylist()
        yield from issue("incomplete_documents", Severity.HIGH, "live", ids, "chunk", what)

    def _issue(self, name: str, severity: Severity, rows: np.ndarray, action: str, what: str) -> Iterator[DriftIssue]:
        yield from issue(name, severity, "live", self._named(rows), action, what)

    def _named(self, rows: np.ndarray) -> list[str]:
        """Return the keys of some rows (positions, or a mask)."""
        at = np.flatnonzero(rows) if rows.dtype == bool else rows
        return [] if not len(at) else pa.chunked_array(self._keys, pa.string()).take(pa.array(at)).to_pylist()

    def _of(self, name: str) -> np.ndarray:
        return np.concatenate(self._columns.get(name) or [np.empty(0, np.uint64)])


def _digests(values: pa.Array) -> np.ndarray:
    """Return 8 bytes for each text, 0 for null."""
    out = np.zeros(len(values), np.uint64)
    for at, value in enumerate(values.to_pylist()):
        if value is not None:
            data = hashlib.blake2b(value.encode("utf-8", "surrogatepass"), digest_size=8).digest()
            out[at] = int.from_bytes(data, "little") or 1
    return out


def _agrees(texts: pa.Array, hashes: pa.Array) -> np.ndarray:
    """Return, per row, whether the hash is the text's: 1 yes, 0 no, -1 no hash that we know."""
    out = np.full(len(texts), -1, np.int8)
    for at, (text, stated) in enumerate(zip(texts.to_pylist(), hashes.to_pylist(), strict=True)):
        if text is not None and stated is not None and (algorithm := HASHES.get(len(stated))) is not None:
            out[at] = algorithm(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest() == (
                stated.lower()
            )
    return out
