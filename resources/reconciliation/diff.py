"""The difference between what should be and what is, table by table. Pure functions on Arrow tables of small columns.

Planning and judging share these: what a stage works on and what drift is reported are the same sets. No store, no
source and no model is touched here.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resources.alignment import Ids, Keyed, Mask, Places


@dataclass(frozen=True)
class DocumentsDiff:
    """Ids of documents, each list in order.

    `missing` are listed and wanted but not stored, `changed` have another version at their source, `reparse` were made
    by
    another parser or with other source options, `retry` could not be fetched last time, `gone` are stored but no longer
    listed.
    `short` is how many documents the sources lack of the target. `held`, by source, are no longer listed either, and
    wait for a person's word (`brake`). `waiting` failed before and are not to be tried yet (`waiting`).
    """

    missing: list[str]
    changed: list[str]
    reparse: list[str]
    retry: list[str]
    gone: list[str]
    short: int
    held: Mapping[str, list[str]] = field(default_factory=dict)
    waiting: list[str] = field(default_factory=list)

    @property
    def fetch(self) -> list[str]:
        """Everything that has to be fetched and parsed."""
        return sorted({*self.missing, *self.changed, *self.reparse, *self.retry})


def documents_diff(
    listing: pa.Table,
    stored: pa.Table,
    *,
    fingerprints: Mapping[tuple[str, str], str],
    target: int | None,
    protected: Collection[str] = (),
) -> DocumentsDiff:
    """Compare the sources' listing (document_id, source, version) with the stored documents
    (document_id, source, version, media_type, status, fingerprint).

    `fingerprints` is what (source, media type) should carry, `target` the first N ids wanted, `protected` the sources
    whose listing came back empty: nothing of theirs is gone.
    """
    here, there = Ids(stored["document_id"]), Ids(listing["document_id"])
    place = here.places_in(there)
    listed = place >= 0
    changed = listed & ~_equals(stored["version"], taken(listing["version"], place))
    unread = _mask(pc.equal(stored["status"], "unread"))
    stale = np.ones(len(here), np.bool_)
    for (source, media_type), fingerprint in fingerprints.items():
        made_alike = pc.and_(pc.equal(stored["source"], source), pc.equal(stored["media_type"], media_type))
        stale &= ~_mask(pc.and_(made_alike, pc.equal(stored["fingerprint"], fingerprint)))
    lacks = _mask(pc.is_in(stored["source"], pa.array(list(protected), pa.string())))
    return DocumentsDiff(
        missing=_wanted(there, target, there.places_in(here) < 0),
        changed=here.chosen(changed),
        reparse=here.chosen(listed & ~changed & ~unread & stale),
        retry=here.chosen(listed & ~changed & unread),
        gone=here.chosen(~listed & ~lacks),
        short=max(0, target - len(there)) if target is not None else 0,
    )


def _wanted(listed: Ids, target: int | None, mask: Mask) -> list[str]:
    """Return the ids under the mask, as far as they are among the first `target` of all."""
    if target is None or target >= len(listed):
        return listed.chosen(mask)
    missing = set(listed.chosen(mask))
    return [one for one in sorted(listed.column.to_pylist())[:target] if one in missing]


@dataclass(frozen=True)
class ChunksDiff:
    """Ids of documents whose chunks are `missing` (none, or some of them), cut from an older text (`stale_text`) or by
    another chunker (`stale_chunker`), and ids of chunks whose document is not to be searched (`orphans`).
    """

    missing: list[str]
    stale_text: list[str]
    stale_chunker: list[str]
    orphans: list[str]

    @property
    def rechunk(self) -> list[str]:
        """Every document that has to be chunked again."""
        return sorted({*self.missing, *self.stale_text, *self.stale_chunker})


def chunks_diff(documents: pa.Table, chunks: pa.Table, *, chunker: str) -> ChunksDiff:
    """Compare searchable documents (document_id, text_hash) with chunks (chunk_id, document_id, ordinal, of,
    document_hash, fingerprint).
    """
    wanted = Ids(documents["document_id"])
    owner = Ids(chunks["document_id"]).places_in(wanted)
    owned = owner >= 0
    rows, place = (chunks, owner) if owned.all() else (chunks.filter(pa.array(owned)), owner[owned])
    stale_text = _any(~_equals(rows["document_hash"], taken(documents["text_hash"], place)), place, len(wanted))
    stale_chunker = _any(~_mask(pc.equal(rows["fingerprint"], chunker)), place, len(wanted))
    ordinal, of = (rows[name].to_numpy() for name in ("ordinal", "of"))
    count = np.bincount(place, minlength=len(wanted))
    torn = (of != count[place]) | (ordinal < 0) | (ordinal >= count[place])
    seen = np.zeros(len(rows), np.bool_)
    starts = np.cumsum(count) - count
    seen[(starts[place] + ordinal)[~torn]] = True
    missing = (count == 0) | _any(~seen, np.repeat(np.arange(len(wanted)), count), len(wanted))
    missing |= _any(torn, place, len(wanted))
    return ChunksDiff(
        missing=wanted.chosen(missing & ~stale_text & ~stale_chunker),
        stale_text=wanted.chosen(stale_text),
        stale_chunker=wanted.chosen(stale_chunker & ~stale_text),
        orphans=Ids(chunks["chunk_id"]).chosen(~owned),
    )


@dataclass(frozen=True)
class EmbeddingsDiff:
    """Ids of chunks whose embeddings are `missing`, are of another text (`stale_text`), have another number of token
    vectors than the tokenizer counted (`incomplete`), were found bad by a check (`quarantined`), or belong to no
    chunk (`orphans`).
    """

    missing: list[str]
    stale_text: list[str]
    incomplete: list[str]
    quarantined: list[str]
    orphans: list[str]

    @property
    def embed(self) -> list[str]:
        """Every chunk that needs new embeddings."""
        return sorted({*self.missing, *self.stale_text, *self.incomplete, *self.quarantined})


def embeddings_diff(chunks: Keyed, embeddings: Keyed, *, quarantined: Collection[str] = ()) -> EmbeddingsDiff:
    """Compare chunks (chunk_id, text_hash, tokens) with embeddings (chunk_id, text_hash, n_tokens) of one model."""
    wanted, stored = chunks.ids, embeddings.ids
    place = wanted.places_in(stored)
    there = place >= 0
    stale_text = there & ~_equals(chunks.rows["text_hash"], taken(embeddings.rows["text_hash"], place))
    incomplete = there & ~_equals(chunks.rows["tokens"], taken(embeddings.rows["n_tokens"], place))
    bad = _mask(pc.is_in(wanted.column, pa.array(list(quarantined), pa.string())))
    return EmbeddingsDiff(
        missing=wanted.chosen(~there),
        stale_text=wanted.chosen(stale_text),
        incomplete=wanted.chosen(incomplete & ~stale_text),
        quarantined=wanted.chosen(there & bad),
        orphans=stored.chosen(stored.places_in(wanted) < 0),
    )


@dataclass(frozen=True)
class IndexDiff:
    """Ids of chunks that an index lacks (`missing`), holds without a chunk (`extra`), or holds with other content
    (`changed`).
    """

    missing: list[str]
    extra: list[str]
    changed: list[str]

    @property
    def ids(self) -> list[str]:
        """Every chunk the index is wrong about."""
        return sorted({*self.missing, *self.extra, *self.changed})


def index_diff(wanted: Keyed, indexed: Keyed) -> IndexDiff:
    """Compare what an index should hold with what it holds: chunk_id, and checksum where both tables have one."""
    ids, held = wanted.ids, indexed.ids
    place = ids.places_in(held)
    there = place >= 0
    changed = np.zeros(len(ids), np.bool_)
    if "checksum" in indexed.rows.column_names:
        known = _mask(pc.is_valid(wanted.rows["checksum"]))
        changed = there & known & ~_equals(wanted.rows["checksum"], taken(indexed.rows["checksum"], place))
    return IndexDiff(ids.chosen(~there), held.chosen(held.places_in(ids) < 0), ids.chosen(changed))


def nothing_indexed(wanted: Keyed) -> IndexDiff:
    """Return the difference to an index that holds nothing of use."""
    return IndexDiff(sorted(wanted.ids.column.to_pylist()), [], [])


def taken(column: pa.ChunkedArray, places: Places) -> pa.Array:
    """Return the column's values at these places, null where a place is -1."""
    absent = places < 0
    return column.combine_chunks().take(pa.array(places, mask=absent if absent.any() else None))


def _equals(left: pa.ChunkedArray, right: pa.Array) -> Mask:
    """Return where both hold the same value; a null is equal to nothing."""
    return _mask(pc.equal(left, right))


def _mask(values: pa.ChunkedArray | pa.Array) -> Mask:
    filled = pc.fill_null(values, False)
    column = filled.combine_chunks() if isinstance(filled, pa.ChunkedArray) else filled
    mask: Mask = column.to_numpy(zero_copy_only=False)
    return mask


def _any(mask: Mask, groups: Places, count: int) -> Mask:
    """Return, for each of `count` groups, whether the mask holds in any of its rows."""
    found = np.zeros(count, np.bool_)
    found[groups[mask]] = True
    return found
