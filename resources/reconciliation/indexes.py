"""A closer look at the index that serves the candidate: are its ids the table's, are its bytes whole, do chunks find
themselves?

Reads every byte of the generation, so it belongs in the audit of a build, not in every look.
"""

from dataclasses import dataclass

import pyarrow as pa

from resources.corpus import Corpus
from resources.identity import shard_of
from resources.index import bm25, dense, generation
from resources.reconciliation.observe import SystemState
from resources.store.tables import CHUNKS

SAMPLE = 64


@dataclass(frozen=True)
class IndexAudit:
    """`wrong`: chunks the index lacks, has too many, or has with other content; `not_found`: of the `asked` sample,
    those that do not find themselves.
    """

    wrong: list[str]
    problems: tuple[str, ...]
    not_found: list[str]
    asked: int


def audit_index(corpus: Corpus, kind: str) -> IndexAudit:
    """Audit the `dense` or `bm25` index of the candidate."""
    state = SystemState(corpus)
    index = state.index(kind)
    if index.path is None or index.problems:
        return IndexAudit(index.diff.ids, index.problems or (f"there is no {kind} index",), [], 0)
    if problems := generation.verify(index.path):
        return IndexAudit(index.diff.ids, tuple(problems), [], 0)
    sample = _sample(state)
    if kind == "dense":
        opened = dense.DenseIndex.open(index.path)
        rows = corpus.store.take(
            corpus.embeddings, ("chunk_id", "pooled"), sample, version=corpus.store.version(corpus.embeddings)
        )
        not_found = [one for batch in rows.combine_chunks().to_batches() for one in dense.self_query(opened, batch)]
        opened.close()
    else:
        searcher = bm25.Bm25Index.open(index.path)
        rows = corpus.store.take(CHUNKS, ("chunk_id", "heading", "text"), sample, version=corpus.store.version(CHUNKS))
        not_found = [one for batch in rows.combine_chunks().to_batches() for one in bm25.self_query(searcher, batch)]
        searcher.close()
    return IndexAudit(index.diff.ids, (), not_found, rows.num_rows)


def _sample(state: SystemState) -> list[str]:
    """Return a fixed sample of chunks: the same ones as long as they exist, spread over the corpus."""
    ids: pa.ChunkedArray = state.indexable["chunk_id"]
    shards = max(1, len(ids) // SAMPLE)
    return [one for one in ids.to_pylist() if shard_of(one, shards) == 0][:SAMPLE]
