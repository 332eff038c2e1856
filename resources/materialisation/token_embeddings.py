"""The `token_embeddings` asset: token vectors and the pooled vector of every chunk, of the desired model only.

Same text, same model: never embedded twice. Rows that are missing are copied from any row with the same text, in the
candidate or in live, whose checksum agrees; what is left is embedded and committed every few hundred chunks. Another
model has a table of its own, so a migration builds beside what live serves.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import structlog

from resources.chunking.base import embedding_input
from resources.corpus import Corpus
from resources.embedding.vectors import checksum, validate
from resources.errors import StoreError
from resources.identity import set_digest
from resources.materialisation.base import Materialised, share, some
from resources.materialisation.recovery import recover
from resources.observability.progress import track
from resources.reconciliation.audit.marks import forget
from resources.reconciliation.observe import SystemState, without
from resources.store.tables import CHUNKS
from resources.store.writer import CorpusWriter

COMMIT_ROWS = 512

log = structlog.get_logger(__name__)


def plan(corpus: Corpus, writer: CorpusWriter) -> int:
    """Count the chunks that need embeddings.

    Orphans stay until `seal`: a renamed document's chunks are copied from them.
    """
    recover(corpus, writer, corpus.embeddings)
    return writer.allowance.shards(len(SystemState(corpus).embeddings.embed))


def do(corpus: Corpus, writer: CorpusWriter, shard: int, shards: int) -> None:
    """Copy what can be copied, embed the rest of this shard, shortest texts together."""
    state = SystemState(corpus)
    wanted = _of_documents(state, writer, share(state.embeddings.embed, shard, shards), shards)
    chunks = [
        row
        for row in state.servable.select(["chunk_id", "text_hash", "tokens"]).to_pylist()
        if row["chunk_id"] in wanted
    ]
    bad = set(state.embeddings.quarantined)
    with track("token embeddings", len(chunks)) as progress:
        copied = 0
        for rows in _copies(corpus, state, [row for row in chunks if row["chunk_id"] not in bad]):
            writer.upsert(corpus.embeddings, rows)
            wanted -= set(rows["chunk_id"].to_pylist())
            copied += rows.num_rows
            progress.advance(rows.num_rows)
            writer.allowance.check()
        rest = sorted(
            (row for row in chunks if row["chunk_id"] in wanted), key=lambda row: (row["tokens"], row["chunk_id"])
        )
        for start in range(0, len(rest), COMMIT_ROWS):
            group = rest[start : start + COMMIT_ROWS]
            writer.upsert(corpus.embeddings, _embed(corpus, group))
            forget(writer, corpus.embeddings, [row["chunk_id"] for row in group if row["chunk_id"] in bad])
            progress.advance(len(group))
            writer.allowance.check()
    log.info("token embeddings written", corpus=corpus.name, copied=copied, embedded=len(rest))


def _of_documents(state: SystemState, writer: CorpusWriter, chunk_ids: list[str], shards: int) -> set[str]:
    """Return those chunks whose documents the run may work on."""
    if writer.allowance.max_documents is None:
        return set(chunk_ids)
    chunks = state.servable.select(["chunk_id", "document_id"])
    ours = chunks.filter(pc.is_in(chunks["chunk_id"], pa.array(chunk_ids, pa.string())))
    allowed = writer.allowance.documents(sorted(set(ours["document_id"].to_pylist())), shards)
    kept = ours.filter(pc.is_in(ours["document_id"], pa.array(allowed, pa.string())))
    return set(kept["chunk_id"].to_pylist())


def _embed(corpus: Corpus, group: list[dict[str, Any]]) -> pa.Table:
    """Embed chunks (chunk_id, text_hash, tokens) in one validated pass and return their rows."""
    texts = _texts(corpus, [row["chunk_id"] for row in group])
    encoded = corpus.encoder.encode([texts[row["chunk_id"]] for row in group])
    validate([row["chunk_id"] for row in group], encoded, [row["tokens"] for row in group], corpus.model)
    matrices = [matrix.tobytes() for matrix in encoded.tokens]
    pooled = np.ascontiguousarray(encoded.pooled, dtype=np.float32)
    return pa.table(
        {
            "chunk_id": [row["chunk_id"] for row in group],
            "text_hash": [row["text_hash"] for row in group],
            "fingerprint": [corpus.model.fingerprint] * len(group),
            "n_tokens": [len(matrix) for matrix in encoded.tokens],
            "tokens": matrices,
            "pooled": pa.FixedSizeListArray.from_arrays(pooled.reshape(-1), corpus.model.dimension),
            "checksum": [checksum(matrix, vector.tobytes()) for matrix, vector in zip(matrices, pooled, strict=True)],
        },
        schema=corpus.embeddings.schema,
    )


def _texts(corpus: Corpus, ids: list[str]) -> dict[str, str]:
    return {
        row["chunk_id"]: embedding_input(row["heading"], row["text"])
        for batch in corpus.store.batches(CHUNKS, ("chunk_id", "heading", "text"), keys=ids)
        for row in batch.to_pylist()
    }


def _copies(corpus: Corpus, state: SystemState, chunks: list[dict[str, Any]]) -> Iterator[pa.Table]:
    """Yield rows for chunks whose text is embedded already, under this or another id, in the candidate or in live."""
    takers: dict[str, list[dict[str, Any]]] = {}
    for row in chunks:
        takers.setdefault(row["text_hash"], []).append(row)
    for version, donors in _donors(corpus, state):
        same_text = donors.filter(pc.is_in(donors["text_hash"], pa.array(list(takers), pa.string())))
        givers: dict[str, str] = dict(
            zip(same_text["text_hash"].to_pylist(), same_text["chunk_id"].to_pylist(), strict=True)
        )
        for batch in corpus.store.batches(
            corpus.embeddings, corpus.embeddings.schema.names, version=version, keys=list(givers.values())
        ):
            rows = [copy for donor in batch.to_pylist() if _is_sound(corpus, donor) for copy in _given(donor, takers)]
            if rows:
                yield pa.Table.from_pylist(rows, schema=corpus.embeddings.schema)


def _donors(corpus: Corpus, state: SystemState) -> Iterator[tuple[int | None, pa.Table]]:
    """Yield where rows of the desired model are: the candidate, then the version that live serves."""
    yield None, without(state.candidate.embeddings, "chunk_id", state.quarantine.get("token_embeddings"))
    live = state.live
    if live is not None and live.model_fingerprint == corpus.model.fingerprint and state.live_tables is not None:
        yield live.embeddings_version, without(state.live_tables.embeddings, "chunk_id", state.bad_in_live)


def _given(donor: dict[str, Any], takers: dict[str, list[dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    """Yield the donor's row under the id of every chunk that still needs that text and agrees on its token count."""
    for taker in takers.pop(donor["text_hash"], []):
        if taker["tokens"] == donor["n_tokens"]:
            yield donor | {"chunk_id": taker["chunk_id"]}


def _is_sound(corpus: Corpus, row: dict[str, Any]) -> bool:
    vector = np.asarray(row["pooled"], dtype=np.float32).tobytes()
    same_model: bool = row["fingerprint"] == corpus.model.fingerprint
    return same_model and row["checksum"] == checksum(row["tokens"], vector)


def seal(corpus: Corpus, writer: CorpusWriter) -> Materialised:
    """Delete embeddings that belong to no chunk and verify that every chunk has its own."""
    orphans = SystemState(corpus).embeddings.orphans
    writer.delete(corpus.embeddings, orphans)
    forget(writer, corpus.embeddings, orphans)
    state = SystemState(corpus)
    diff = state.embeddings
    writer.allowance.require_done(diff.missing, "chunks to be embedded")
    if left := sorted({*diff.missing, *diff.stale_text, *diff.incomplete, *diff.orphans}):
        raise StoreError(
            f"corpus {corpus.name}: token embeddings of {len(left)} chunks are still not as they should be: "
            f"{some(left)}"
        )
    rows = state.candidate.embeddings
    pairs = zip(rows["chunk_id"].to_pylist(), rows["text_hash"].to_pylist(), strict=True)
    tokens = pc.sum(rows["n_tokens"]).as_py() or 0
    return Materialised(
        rows.num_rows,
        set_digest([corpus.model.fingerprint, *(f"{one}:{text}" for one, text in pairs)]),
        {
            "token_vectors": tokens,
            "bytes": tokens * corpus.model.token_dimension,
            "model": corpus.model.name,
            "fingerprint": corpus.model.fingerprint,
        },
    )
