"""How well the sources became documents: outcomes by source and type, equal and near-equal texts, and one score.

The score and each of its parts lie between 0 and 1. Reads the small columns of the candidate and the sources' listing.
"""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from resources.corpus import Corpus
from resources.parsing.base import READABLE
from resources.reconciliation.duplicates import near_pairs
from resources.reconciliation.observe import SystemState
from resources.store.tables import DOCUMENTS

COLUMNS = ("document_id", "source", "media_type", "status", "failure", "bytes", "characters", "text_hash", "simhash")
SHOWN_PAIRS = 20


def audit_sources(corpus: Corpus) -> dict[str, Any]:
    """Return the report as the command line prints it."""
    state = SystemState(corpus)
    rows = corpus.store.rows(DOCUMENTS, COLUMNS)
    diff = state.documents
    readable = rows.filter(pc.is_in(rows["status"], pa.array(READABLE)))
    near = near_pairs(readable)
    parts = {
        "reachable": 1 - len(state.listing.unreachable) / max(1, len(corpus.sources)),
        "up_to_date": 1 - _share(len({*diff.fetch, *diff.gone, *diff.waiting}), state.listing.table.num_rows),
        "readable": 1 - _share(_count(rows, ("failed", "hostile", "unread")), rows.num_rows),
        "with_text": 1 - _share(_count(rows, ("empty",)), rows.num_rows),
        "distinct": 1 - _share(readable.num_rows - state.searchable.num_rows, readable.num_rows),
    }
    return {
        "corpus": corpus.name,
        "readiness": round(_product(parts.values()), 3),
        "parts": {name: round(value, 3) for name, value in parts.items()},
        "sources": _outcomes(rows, "source"),
        "types": _outcomes(rows, "media_type"),
        "failures": _outcomes(rows.filter(pc.is_valid(rows["failure"])), "failure"),
        "unreachable": {name: str(error) for name, error in state.listing.unreachable.items()},
        "duplicates": readable.num_rows - state.searchable.num_rows,
        "near_duplicates": len(near),
        "near_duplicate_pairs": [list(pair) for pair in near[:SHOWN_PAIRS]],
    }


def _outcomes(rows: pa.Table, column: str) -> list[dict[str, Any]]:
    """Return one entry a value of the column: documents by outcome, bytes in and characters out."""
    found: dict[str, dict[str, Any]] = {}
    grouped = rows.group_by([column, "status"]).aggregate(
        [("document_id", "count"), ("bytes", "sum"), ("characters", "sum")]
    )
    for row in grouped.to_pylist():
        nothing: dict[str, Any] = {"documents": 0, "bytes": 0, "characters": 0, "outcomes": {}}
        entry = found.setdefault(row[column] or "unknown", nothing)
        entry["documents"] += row["document_id_count"]
        entry["bytes"] += row["bytes_sum"]
        entry["characters"] += row["characters_sum"]
        entry["outcomes"][row["status"]] = row["document_id_count"]
    return [{column: name, **entry} for name, entry in sorted(found.items())]


def _count(rows: pa.Table, statuses: tuple[str, ...]) -> int:
    counted: int = pc.sum(pc.is_in(rows["status"], pa.array(statuses))).as_py() or 0
    return counted


def _share(part: int, whole: int) -> float:
    return min(1.0, part / whole) if whole else float(part > 0)


def _product(values: Any) -> float:
    result = 1.0
    for value in values:
        result *= value
    return result
