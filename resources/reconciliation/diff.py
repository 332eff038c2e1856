"""The difference between what should be and what is, table by table. Pure functions on Arrow tables of small columns.

Planning and judging share these: what a stage works on and what drift is reported are the same sets. No store, no
source and no model is touched here.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True)
class DocumentsDiff:
    """Ids of documents, each list in order.

    `missing` are listed and wanted but not stored, `changed` have another version at their source, `reparse` were made
    by
    another parser or with other source options, `retry` could not be fetched last time, `gone` are stored but no longer
    listed.
    `short` is how many documents the sources lack of the target.
    """

    missing: list[str]
    changed: list[str]
    reparse: list[str]
    retry: list[str]
    gone: list[str]
    short: int

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
    listed = dict(zip(listing["document_id"].to_pylist(), listing["version"].to_pylist(), strict=True))
    in_store = stored["document_id"].to_pylist()
    ordered = sorted(listed)
    wanted = ordered if target is None else ordered[:target]
    have = set(in_store)
    changed, reparse, retry, gone = [], [], [], []
    columns = (stored[name].to_pylist() for name in ("source", "version", "media_type", "status", "fingerprint"))
    for document_id, source, version, media_type, status, fingerprint in zip(in_store, *columns, strict=True):
        if document_id not in listed:
            if source not in protected:
                gone.append(document_id)
        elif listed[document_id] != version:
            changed.append(document_id)
        elif status == "unread":
            retry.append(document_id)
        elif fingerprints.get((source, media_type)) != fingerprint:
            reparse.append(document_id)
    missing = [one for one in wanted if one not in have]
    short = max(0, target - len(listed)) if target is not None else 0
    return DocumentsDiff(missing, sorted(changed), sorted(reparse), sorted(retry), sorted(gone), short)


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
    summary = chunks.group_by("document_id").aggregate(
        [
            ("ordinal", "count_distinct"),
            ("ordinal", "count"),
            ("of", "min"),
            ("of", "max"),
            ("document_hash", "min"),
            ("document_hash", "max"),
            ("fingerprint", "min"),
            ("fingerprint", "max"),
        ]
    )
    joined = documents.join(summary, "document_id", join_type="left outer")
    count = joined["ordinal_count"]
    stale_text = _either(joined, "document_hash", joined["text_hash"])
    stale_chunker = _either(joined, "fingerprint", pa.scalar(chunker))
    whole = pc.and_(
        pc.and_(pc.equal(count, joined["of_min"]), pc.equal(count, joined["of_max"])),
        pc.equal(count, joined["ordinal_count_distinct"]),
    )
    missing = pc.invert(pc.fill_null(whole, False))
    stale_text = pc.and_not(stale_text, pc.is_null(count))
    stale_chunker = pc.and_not(pc.and_not(stale_chunker, stale_text), pc.is_null(count))
    missing = pc.and_not(pc.and_not(missing, stale_text), stale_chunker)
    orphans = chunks.select(["chunk_id", "document_id"]).join(
        documents.select(["document_id"]), "document_id", join_type="left anti"
    )
    ids = joined["document_id"]
    lists = [sorted(ids.filter(mask).to_pylist()) for mask in (missing, stale_text, stale_chunker)]
    return ChunksDiff(lists[0], lists[1], lists[2], sorted(orphans["chunk_id"].to_pylist()))


def _either(joined: pa.Table, name: str, expected: pa.ChunkedArray | pa.Scalar) -> pa.ChunkedArray:
    """Whether the smallest or the largest value of a group differs from what is expected."""
    differs = pc.or_(pc.not_equal(joined[f"{name}_min"], expected), pc.not_equal(joined[f"{name}_max"], expected))
    return pc.fill_null(differs, False)


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


def embeddings_diff(chunks: pa.Table, embeddings: pa.Table, *, quarantined: Collection[str] = ()) -> EmbeddingsDiff:
    """Compare chunks (chunk_id, text_hash, tokens) with embeddings (chunk_id, text_hash, n_tokens) of one model."""
    missing = chunks.select(["chunk_id"]).join(embeddings.select(["chunk_id"]), "chunk_id", join_type="left anti")
    orphans = embeddings.select(["chunk_id"]).join(chunks.select(["chunk_id"]), "chunk_id", join_type="left anti")
    both = chunks.join(
        embeddings.select(["chunk_id", "text_hash", "n_tokens"]), "chunk_id", join_type="inner", right_suffix="_stored"
    )
    stale = pc.not_equal(both["text_hash"], both["text_hash_stored"])
    incomplete = pc.and_not(pc.not_equal(both["tokens"], both["n_tokens"]), stale)
    bad = pc.is_in(both["chunk_id"], pa.array(list(quarantined), pa.string()))
    ids = both["chunk_id"]
    lists = [sorted(set(ids.filter(mask).to_pylist())) for mask in (stale, incomplete, bad)]
    absent, superfluous = (sorted(one["chunk_id"].to_pylist()) for one in (missing, orphans))
    return EmbeddingsDiff(absent, lists[0], lists[1], lists[2], superfluous)


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


def index_diff(wanted: pa.Table, indexed: pa.Table) -> IndexDiff:
    """Compare what an index should hold with what it holds: chunk_id, and checksum where both tables have one."""
    key = ["chunk_id"]
    missing = wanted.select(key).join(indexed.select(key), "chunk_id", join_type="left anti")["chunk_id"]
    extra = indexed.select(key).join(wanted.select(key), "chunk_id", join_type="left anti")["chunk_id"]
    changed: list[str] = []
    if "checksum" in wanted.column_names and "checksum" in indexed.column_names:
        columns = ["chunk_id", "checksum"]
        both = wanted.select(columns).join(
            indexed.select(columns), "chunk_id", join_type="inner", right_suffix="_indexed"
        )
        changed = sorted(both["chunk_id"].filter(pc.not_equal(both["checksum"], both["checksum_indexed"])).to_pylist())
    return IndexDiff(sorted(missing.to_pylist()), sorted(extra.to_pylist()), changed)
