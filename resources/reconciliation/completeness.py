"""Completeness: how many of the wanted documents are whole, and whether the settings tolerate those that are not.

Tolerated drift is reported as LOW: the state holds, and no run is started for it alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from resources.reconciliation.drift import DriftIssue, Severity, issue, validator
from resources.reconciliation.observe import SystemState

OF_DOCUMENTS = ("missing_documents", "missing_chunks")
OF_CHUNKS = ("missing_token_embeddings", "incomplete_token_embeddings")


def tolerate(state: SystemState, found: Sequence[DriftIssue]) -> list[DriftIssue]:
    """Return the issues, those about incompleteness as LOW when `completeness` tolerates as much of it."""
    bounds = state.corpus.settings.completeness
    if bounds.min_percent is None and bounds.max_missing is None:
        return list(found)
    tolerable = [one for one in found if one.type in (*OF_DOCUMENTS, *OF_CHUNKS) and one.where != "live"]
    documents = {document for one in tolerable if one.type in OF_DOCUMENTS for document in one.ids}
    chunks = {chunk for one in tolerable if one.type in OF_CHUNKS for chunk in one.ids}
    documents |= set(_documents_of(state, chunks))
    listed, target = state.listing.table.num_rows, state.corpus.target.documents
    if not bounds.tolerates(len(documents), listed if target is None else min(listed, target)):
        return list(found)
    return [replace(one, severity=Severity.LOW) if one in tolerable else one for one in found]


def _documents_of(state: SystemState, chunks: set[str]) -> list[str]:
    table = state.candidate.chunks
    found: list[str] = table.filter(pc.is_in(table["chunk_id"], pa.array(list(chunks), pa.string())))[
        "document_id"
    ].to_pylist()
    return found


@validator("token_embeddings")
def _too_few_embeddings(state: SystemState) -> Iterator[DriftIssue]:
    """Report complete documents with fewer token vectors than the settings want: nothing is wrong, but look at them."""
    least = state.corpus.settings.completeness.min_embeddings_per_document
    if least == 1:
        return
    counts = state.candidate.embeddings.select(["chunk_id", "n_tokens"])
    joined = state.servable.select(["chunk_id", "document_id"]).join(counts, "chunk_id", join_type="left outer")
    sums = joined.group_by("document_id").aggregate([("n_tokens", "sum"), ("n_tokens", "count"), ("chunk_id", "count")])
    whole = pc.equal(sums["n_tokens_count"], sums["chunk_id_count"])
    few = sums.filter(pc.and_(whole, pc.less(sums["n_tokens_sum"], least)))
    yield from issue(
        "too_few_token_embeddings",
        Severity.LOW,
        "candidate",
        sorted(few["document_id"].to_pylist()),
        "see the documents' texts",
        f"{{n}} documents have fewer than {least} token vectors",
    )
