"""Erasing documents: hidden at once, then taken out of every file of the corpus, with a receipt.

Every step finds by itself what is left of it, so an erasure that was killed is finished by asking for it again; until
then its receipt says what is pending. Not here: keeping erased documents from coming back (`suppression`).
"""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from resources.corpus import Corpus
from resources.errors import ErasurePendingError, RagAssetsError, StoreError
from resources.identity import digest
from resources.index.bm25 import build_bm25
from resources.index.dense import build_dense
from resources.materialisation import originals
from resources.materialisation.base import writing_by_hand
from resources.materialisation.candidate import candidate_manifest
from resources.materialisation.retention import retain
from resources.reconciliation import history
from resources.reconciliation.memory import Memory, remember
from resources.reconciliation.observe import SystemState
from resources.reconciliation.receipts import RECEIPTS
from resources.reconciliation.suppression import hashed
from resources.reconciliation.suppression import suppress as keep_away
from resources.retrieval.snapshot import served_documents
from resources.store.snapshots import Manifest, now
from resources.store.tables import CHUNKS, DOCUMENTS, QUARANTINE, Table
from resources.store.writer import CorpusWriter

PLACES = ("live", "tables", "indexes", "snapshots", "versions", "reports", "originals", "other models")
SCRATCH = ".building-erasure"


@dataclass(frozen=True)
class Receipt:
    """What was asked for and how far it is. `documents`: hashes of their ids. `places`: each erased since, or None.

    `source`: whose documents they all were, when that was asked for.
    """

    id: str
    corpus: str
    reason: str
    asked: str
    documents: tuple[str, ...]
    places: dict[str, str | None]
    retired_snapshots: tuple[int, ...] = ()
    source: str | None = None

    @property
    def path(self) -> str:
        """Where it lies among the corpus's files."""
        return f"{RECEIPTS}/{self.id}.json"

    @property
    def is_complete(self) -> bool:
        """Whether nothing is pending."""
        return all(self.places.values())


def erase(corpus: Corpus, document_ids: Sequence[str], reason: str, *, source: str | None = None) -> Receipt:
    """Erase documents from live at once and from every file of the corpus, and return the receipt.

    Ids that the corpus does not know are suppressed all the same. ErasurePendingError when the documents are hidden,
    and the rest must wait until the candidate is complete and published. StoreError when the corpus is on hold.
    """
    ids = sorted(set(document_ids))
    if corpus.settings.retention.hold is not False:
        raise StoreError(
            f"corpus {corpus.name} is on hold (retention.hold in rag.yaml), so nothing of it may be erased; a document "
            "that is taken out of its source is no longer found. Lift the hold first"
        )
    with writing_by_hand(corpus) as writer:
        receipt = _begin(corpus, ids, reason, source)
        erased = frozenset(receipt.documents)
        keep_away(corpus.store, ids)
        writer.remove_documents(ids)
        receipt = _done(corpus, receipt, "live")
        _delete_rows(corpus, writer, ids)
        state = SystemState(corpus)
        _require_published(state, erased, receipt)
        tables = (DOCUMENTS, CHUNKS, QUARANTINE, corpus.embeddings)
        for table in tables:
            writer.rewrite(table)
        receipt = _done(corpus, receipt, "tables")
        rebuild_indexes(corpus, state)
        receipt = _done(corpus, receipt, "indexes")
        live = _publish(corpus, writer, erased)
        retired = tuple(one for one in corpus.store.snapshots.numbers() if live is None or one != live.number)
        receipt = replace(receipt, retired_snapshots=tuple(sorted({*receipt.retired_snapshots, *retired})))
        for number in retired:
            writer.retire(number)
        receipt = _done(corpus, receipt, "snapshots")
        for table in tables:
            writer.forget_versions(table)
        if live is not None:
            retain(corpus, live)
        receipt = _done(corpus, receipt, "versions")
        _clear_folders(corpus, live)
        _forget_confirmed(corpus, erased)
        for place in ("reports", "originals", "other models"):
            receipt = _done(corpus, receipt, place)
    count = len(receipt.documents)
    entry = {"kind": "erasure", "at": now(), "receipt": receipt.id, "documents": count, "reason": reason}
    history.append(corpus.store, entry)
    return receipt


def erase_source(corpus: Corpus, source: str, reason: str) -> Receipt:
    """Erase every document of a source that the candidate or live holds, with one receipt; as `erase` does.

    Asked for again, it goes on with the one that did not end. RagAssetsError when there is nothing to erase.
    """
    live = corpus.store.snapshots.live()
    ids: set[str] = {one for one in (live.removed_documents if live else ()) if one.startswith(f"{source}:")}
    for version in (None, *([live.documents_version] if live else [])):
        rows = corpus.store.rows(DOCUMENTS, ("document_id", "source"), version=version)
        ids |= set(rows.filter(pc.equal(rows["source"], source))["document_id"].to_pylist())
    if not ids and _pending_of(corpus, source) is None:
        raise RagAssetsError(f"corpus {corpus.name} holds no document of a source {source!r}, so nothing is erased")
    return erase(corpus, sorted(ids), reason, source=source)


def _pending_of(corpus: Corpus, source: str) -> Receipt | None:
    """Return the receipt of an erasure of this source that did not end."""
    for path in corpus.store.files.list(RECEIPTS):
        with suppress(ValueError, TypeError):  # a receipt that cannot be read is reported by every look
            receipt = Receipt(**json.loads(corpus.store.files.read(path)))
            if receipt.source == source and not receipt.is_complete:
                return receipt
    return None


def _begin(corpus: Corpus, ids: list[str], reason: str, source: str | None) -> Receipt:
    """Write the receipt before anything is done, or go on with the one that was not finished.

    That of a source is found by the source: once its rows are gone, nothing tells the ids any more.
    """
    hashes = tuple(sorted(map(hashed, ids)))
    before = _pending_of(corpus, source) if source is not None else None
    if before is not None:
        hashes = tuple(sorted({*hashes, *before.documents}))
    name = before.id if before is not None else digest("erasure", *hashes)[:12]
    receipt = Receipt(name, corpus.name, reason, now(), hashes, dict.fromkeys(PLACES), source=source)
    with suppress(FileNotFoundError):
        before = Receipt(**json.loads(corpus.store.files.read(receipt.path)))
        receipt = replace(receipt, asked=before.asked, retired_snapshots=tuple(before.retired_snapshots))
    entry = {"kind": "erasure asked", "at": now(), "receipt": receipt.id, "documents": len(hashes), "reason": reason}
    history.append(corpus.store, entry)
    return _written(corpus, receipt)


def _done(corpus: Corpus, receipt: Receipt, place: str) -> Receipt:
    return _written(corpus, replace(receipt, places=receipt.places | {place: now()}))


def _written(corpus: Corpus, receipt: Receipt) -> Receipt:
    corpus.store.files.write(receipt.path, json.dumps(asdict(receipt), indent=1).encode())
    return receipt


def _delete_rows(corpus: Corpus, writer: CorpusWriter, ids: list[str]) -> None:
    """Delete the rows: chunks before documents, so that what is left of a killed attempt is found again."""
    rows = corpus.store.rows(CHUNKS, ("chunk_id", "document_id"))
    chunks = rows.filter(pc.is_in(rows["document_id"], pa.array(ids, pa.string())))["chunk_id"].to_pylist()
    labels = [f"{table}/{one}" for table, some in (("documents", ids), ("chunks", chunks)) for one in some]
    writer.delete(QUARANTINE, labels + [f"{corpus.embeddings.name}/{one}" for one in chunks])
    writer.delete(CHUNKS, chunks)
    writer.delete(DOCUMENTS, ids)
    writer.delete(corpus.embeddings, SystemState(corpus).embeddings.orphans)


def _require_published(state: SystemState, erased: frozenset[str], receipt: Receipt) -> None:
    """Refuse to go on while publishing would publish more than the erasure: that is for the gate to judge."""
    live, rows, wanted = state.live, state.embeddings, state.chunks
    whole = not any((wanted.rechunk, wanted.orphans, rows.missing, rows.stale_text, rows.incomplete))
    same = live is None or (
        live.model_fingerprint == state.corpus.model.fingerprint and _same_texts(state, live, erased)
    )
    if not (whole and same):
        raise ErasurePendingError(
            f"corpus {state.corpus.name}: the documents are hidden from every query and their rows deleted; older "
            "snapshots still hold them, because the corpus has changes that are not published. Publish them "
            "(rag-assets ensure search-ready --auto-fix), then run the same erase again. "
            f"Receipt {receipt.id} says pending"
        )


def _same_texts(state: SystemState, live: Manifest, erased: frozenset[str]) -> bool:
    served = served_documents(state.corpus.store, live)
    table = state.candidate.documents
    texts = dict(zip(table["document_id"].to_pylist(), table["text_hash"].to_pylist(), strict=True))
    kept = {one: text for one, text in texts.items() if text is not None}
    return {one: text for one, text in served.items() if hashed(one) not in erased} == kept


def rebuild_indexes(corpus: Corpus, state: SystemState) -> None:
    """Build both indexes from nothing: a generation that grew out of older ones shares their files."""
    indexes, wanted = corpus.store.indexes, state.indexable
    scratch = indexes.local / SCRATCH
    if scratch.exists():
        shutil.rmtree(scratch)
    dense = build_dense(
        scratch,
        wanted,
        partial(_fetch, corpus, corpus.embeddings, ("chunk_id", "pooled")),
        fingerprint=corpus.model.fingerprint,
        dimension=corpus.model.dimension,
        previous=None,
    )
    bm25 = build_bm25(scratch, wanted, partial(_fetch, corpus, CHUNKS, ("chunk_id", "heading", "text")), previous=None)
    for built in (dense, bm25):
        final = indexes.local / built.name
        if final.exists():
            final.rename(scratch / f"replaced-{built.name}")
        built.rename(final)
        indexes.keep(built.name)
    shutil.rmtree(scratch)


def _fetch(corpus: Corpus, table: Table, columns: tuple[str, ...], ids: list[str]) -> Iterator[pa.RecordBatch]:
    return corpus.store.batches(table, columns, keys=ids)


def _publish(corpus: Corpus, writer: CorpusWriter, erased: frozenset[str]) -> Manifest | None:
    """Publish what is left under a new number; the erased documents' ids are named nowhere any more."""
    state = SystemState(corpus)
    live = state.live
    if live is None:
        return None
    draft = candidate_manifest(state, writer.run)
    removed = tuple(one for one in live.removed_documents if hashed(one) not in erased)
    manifest = draft.model_copy(update={"removed_documents": removed, "pinned": live.pinned})
    retain(corpus, manifest)
    return writer.publish(manifest)


def _forget_confirmed(corpus: Corpus, erased: frozenset[str]) -> None:
    """Take the ids out of the removals that a person confirmed: they are not asked for again."""

    def change(memory: Memory) -> None:
        for source, confirmed in memory.confirmed.items():
            memory.confirmed[source] = [one for one in confirmed if hashed(one) not in erased]

    remember(corpus.store, change)


def _clear_folders(corpus: Corpus, live: Manifest | None) -> None:
    """Delete reports, generations that live does not name, originals without a row, and other models' tables."""
    store = corpus.store
    kept = {live.dense, live.bm25} if live is not None else set()
    for folders in (store.reports, store.indexes):
        for name in folders.names():
            if name not in kept:
                folders.delete(name)
    originals.clear(corpus, store.rows(DOCUMENTS, ("content_hash",))["content_hash"].to_pylist())
    for table in store.tables():
        if table.startswith("token_embeddings/") and table != corpus.embeddings.name:
            store.drop(table)
