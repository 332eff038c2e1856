"""The suites of `documents`, `chunks` and `token_embeddings`: what every row must satisfy by itself.

Documents and chunks are judged by all their rows; vectors, whose reading costs more, by the rows that live does not
have yet.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from resources.corpus import Corpus
from resources.embedding.vectors import checksum
from resources.expectations.suite import Outcome, run_suite
from resources.reconciliation.observe import SystemState
from resources.store.tables import CHUNKS, DOCUMENTS

HASH = r"^[0-9a-f]{32}$"
UNIT = 1e-3


@dataclass(frozen=True)
class Contract:
    """How the rows of a table fared: the rows looked at, each expectation's outcome, and the ids of the bad rows."""

    table: str
    rows: int
    outcomes: tuple[Outcome, ...]

    @property
    def bad(self) -> dict[str, str]:
        """Ids of bad rows, each with the expectations it breaks."""
        reasons: dict[str, list[str]] = {}
        for outcome in self.outcomes:
            for one in outcome.bad:
                reasons.setdefault(one, []).append(f"{outcome.expectation}({outcome.column})")
        return {one: ", ".join(found) for one, found in reasons.items()}

    @property
    def is_broken(self) -> bool:
        """Whether an expectation about the table as a whole fails, which no quarantine can mend."""
        return any(not outcome.passed and not outcome.bad for outcome in self.outcomes)


def documents_contract(corpus: Corpus) -> Contract:
    """Every document has an identity, a known outcome, and text where it was readable, a reason unless it is ok."""
    gxe = _expectations()

    columns = ("document_id", "source", "key", "status", "reason", "text_hash", "characters", "fingerprint")
    frame = corpus.store.rows(DOCUMENTS, columns).to_pandas()
    ok, not_ok = (
        {"row_condition": 'status in ["ok", "partial"]', "condition_parser": "pandas"},
        {"row_condition": 'status!="ok"', "condition_parser": "pandas"},
    )
    statuses = ["ok", "partial", "empty", "failed", "hostile", "unread", "forgotten"]
    return _contract(
        "documents",
        frame,
        "document_id",
        [
            gxe.ExpectColumnValuesToBeUnique(column="document_id"),
            gxe.ExpectColumnValuesToBeInSet(column="status", value_set=statuses),
            gxe.ExpectColumnValuesToMatchRegex(column="text_hash", regex=HASH, **ok),
            gxe.ExpectColumnValuesToNotBeNull(column="text_hash", **ok),
            gxe.ExpectColumnValuesToBeBetween(column="characters", min_value=1, **ok),
            gxe.ExpectColumnValuesToNotBeNull(column="reason", **not_ok),
            gxe.ExpectColumnValueLengthsToBeBetween(column="fingerprint", min_value=1),
        ],
    )


def chunks_contract(corpus: Corpus) -> Contract:
    """Every chunk has an identity and a place in its document, and fits the model."""
    gxe = _expectations()

    columns = ("chunk_id", "document_id", "ordinal", "of", "start", "end", "text_hash", "tokens")
    table = corpus.store.rows(CHUNKS, columns)
    frame = table.to_pandas()
    frame["length"] = frame["end"] - frame["start"]
    frame["remaining"] = frame["of"] - frame["ordinal"]
    return _contract(
        "chunks",
        frame,
        "chunk_id",
        [
            gxe.ExpectColumnValuesToBeUnique(column="chunk_id"),
            gxe.ExpectColumnValuesToMatchRegex(column="chunk_id", regex=HASH),
            gxe.ExpectColumnValuesToMatchRegex(column="text_hash", regex=HASH),
            gxe.ExpectColumnValuesToBeBetween(column="length", min_value=1),
            gxe.ExpectColumnValuesToBeBetween(column="ordinal", min_value=0),
            gxe.ExpectColumnValuesToBeBetween(column="remaining", min_value=1),
            gxe.ExpectColumnValuesToBeBetween(column="tokens", min_value=1, max_value=corpus.model.max_tokens),
        ],
    )


def embeddings_contract(corpus: Corpus) -> Contract:
    """Every new vector is finite, of unit length where the model says so, complete, and what its checksum says."""
    gxe = _expectations()

    frame = pd.DataFrame(
        _vector_facts(corpus),
        columns=["chunk_id", "norm", "not_finite", "spare_bytes", "constant", "stored_checksum", "checksum"],
    )
    expectations = [
        gxe.ExpectColumnValuesToBeUnique(column="chunk_id"),
        gxe.ExpectColumnValuesToBeInSet(column="not_finite", value_set=[0]),
        gxe.ExpectColumnValuesToBeInSet(column="spare_bytes", value_set=[0]),
        gxe.ExpectColumnValuesToBeInSet(column="constant", value_set=[False]),
        gxe.ExpectColumnPairValuesToBeEqual(column_A="stored_checksum", column_B="checksum"),
    ]
    if corpus.model.normalised:
        expectations.append(gxe.ExpectColumnValuesToBeBetween(column="norm", min_value=1 - UNIT, max_value=1 + UNIT))
    return _contract("token_embeddings", frame, "chunk_id", expectations)


def _vector_facts(corpus: Corpus) -> Iterator[tuple[str, float, int, int, bool, str, str]]:
    """Read the rows that live does not have, and say in scalars what each vector is like."""
    state = SystemState(corpus)
    rows = state.candidate.embeddings
    if (
        state.live is not None
        and state.live.model_fingerprint == corpus.model.fingerprint
        and state.live_tables is not None
    ):
        rows = rows.filter(
            pc.invert(pc.is_in(rows["checksum"], state.live_tables.embeddings["checksum"].combine_chunks()))
        )
    columns = ("chunk_id", "n_tokens", "tokens", "pooled", "checksum")
    dimension = corpus.model.token_dimension
    for batch in corpus.store.batches(corpus.embeddings, columns, keys=rows["chunk_id"].to_pylist()):
        pooled = _matrix(batch.column("pooled"), corpus.model.dimension)
        norms = np.linalg.norm(pooled, axis=1)
        for row, vector, norm in zip(batch.drop_columns(["pooled"]).to_pylist(), pooled, norms, strict=True):
            spare = len(row["tokens"]) - row["n_tokens"] * dimension
            actual = checksum(row["tokens"], vector.tobytes())
            finite = int((~np.isfinite(vector)).sum())
            yield row["chunk_id"], float(norm), finite, spare, bool(np.ptp(vector) == 0), row["checksum"], actual


def _expectations() -> Any:
    import great_expectations.expectations

    return great_expectations.expectations


def _matrix(vectors: pa.FixedSizeListArray, dimension: int) -> "np.ndarray[Any, np.dtype[np.float32]]":
    values: np.ndarray[Any, np.dtype[np.float32]] = vectors.flatten().to_numpy(zero_copy_only=False)
    return values.reshape(-1, dimension)


def _contract(name: str, frame: pd.DataFrame, key: str, expectations: list) -> Contract:  # type: ignore[type-arg]
    outcomes = run_suite(name, frame, key, expectations) if len(frame) else []
    return Contract(name, len(frame), tuple(outcomes))


CONTRACTS: dict[str, Callable[[Corpus], Contract]] = {
    "documents": documents_contract,
    "chunks": chunks_contract,
    "token_embeddings": embeddings_contract,
}
