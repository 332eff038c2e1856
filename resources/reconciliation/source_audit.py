"""How well the sources became documents: one report, and one readiness score with its parts, each from 0 to 1.

What is judged of the documents alone is in `resources.parsing.audit`; here is what needs the store and the sources.
Only small columns are read, unless topics are named, which are looked for in the texts, batch by batch.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from resources.parsing.audit import (
    Contradiction,
    Preservation,
    Readiness,
    Row,
    Topic,
    content_preserved,
    contradictions,
    coverage,
    foreign,
    formulas_preserved,
    text_parts,
)
from resources.parsing.base import READABLE
from resources.reconciliation.duplicates import near_pairs
from resources.reconciliation.observe import SystemState
from resources.store.tables import DOCUMENTS

ROW_COLUMNS = ("document_id", "source", "key", "media_type", "status", "title", "text_hash", "metadata")
COUNTED_COLUMNS = ("document_id", "source", "media_type", "status", "failure", "bytes", "characters")
ALIKE_COLUMNS = ("document_id", "status", "text_hash", "simhash")
JUDGED_METADATA = (
    "expected_characters",
    "kept_characters",
    "expected_formulas",
    "kept_formulas",
    "language",
    "subjects",
    "keywords",
)
SHOWN = 20


@dataclass(frozen=True, slots=True)
class Assessment:
    """What the readiness of a corpus follows from."""

    rows: Sequence[Row]
    content: Preservation
    formulas: Preservation
    contradictions: Sequence[Contradiction]
    topics: Sequence[Topic]
    duplicates: int
    readiness: Readiness


def assess(state: SystemState, topics: Mapping[str, Sequence[str]] | None = None) -> Assessment:
    """Judge the candidate's documents. `topics`: what is to be covered, names with the words that stand for each."""
    rows = list(_rows(state, ROW_COLUMNS))
    content, formulas, contradicting = content_preserved(rows), formulas_preserved(rows), contradictions(rows)
    covered = coverage(_rows(state, (*ROW_COLUMNS, "text")) if topics else rows, topics)
    diff, listing = state.documents, state.listing
    readable = sum(row["status"] in READABLE for row in rows)
    duplicates = len(state.stands_for) - state.searchable.num_rows
    parts: dict[str, float | None] = {
        "reachable": 1 - len(listing.unreachable) / max(1, len(state.corpus.sources)),
        "up_to_date": 1 - _share(len({*diff.fetch, *diff.gone, *diff.waiting}), listing.table.num_rows),
        **text_parts(rows, content, formulas, contradicting, covered if topics else ()),
        "distinct": 1 - _share(duplicates, readable),
    }
    return Assessment(rows, content, formulas, contradicting, covered, duplicates, Readiness(parts))


def audit_sources(
    state: SystemState, topics: Mapping[str, Sequence[str]] | None = None, languages: Sequence[str] = ("en",)
) -> dict[str, Any]:
    """Return the report as the command line prints it. `languages`: those that are expected (ISO 639-1)."""
    found = assess(state, topics)
    store = state.corpus.store
    counted = store.rows(DOCUMENTS, COUNTED_COLUMNS)
    alike = store.rows(DOCUMENTS, ALIKE_COLUMNS)
    near = near_pairs(alike.filter(pc.is_in(alike["status"], pa.array(READABLE))))
    elsewhere = foreign(found.rows, languages)
    return {
        "corpus": state.corpus.name,
        "readiness": round(found.readiness.score, 3),
        "parts": {name: None if part is None else round(part, 3) for name, part in found.readiness.parts.items()},
        "outcomes": _outcomes(counted, ["source", "media_type"]),
        "failures": _outcomes(counted.filter(pc.is_valid(counted["failure"])), ["source", "failure"]),
        "content": _preserved(found.content),
        "formulas": _preserved(found.formulas),
        "topics": [{"topic": one.name, "documents": one.documents, "gap": one.is_gap} for one in found.topics],
        "contradictions": [asdict(one) for one in found.contradictions],
        "languages": list(languages),
        "foreign": elsewhere,
        "duplicates": found.duplicates,
        "near_duplicates": len(near),
        "near_duplicate_pairs": [list(pair) for pair in near[:SHOWN]],
        "unreachable": {name: str(error) for name, error in state.listing.unreachable.items()},
    }


def _rows(state: SystemState, columns: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Yield rows of the candidate with those metadata that are judged."""
    for batch in state.corpus.store.batches(DOCUMENTS, columns):
        for row in batch.to_pylist():
            known = json.loads(row["metadata"]) if row["metadata"] else {}
            yield row | {"metadata": {name: known[name] for name in JUDGED_METADATA if name in known}}


def _preserved(found: Preservation) -> dict[str, Any]:
    return {
        "judged": found.judged,
        "median": found.median,
        "by_type": dict(found.by_type),
        "lost": {name: round(share, 3) for name, share in sorted(found.lost.items())},
    }


def _outcomes(rows: pa.Table, columns: list[str]) -> list[dict[str, Any]]:
    """Return one entry for each value of the columns: documents by outcome, bytes in and characters out."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    grouped = rows.group_by([*columns, "status"]).aggregate(
        [("document_id", "count"), ("bytes", "sum"), ("characters", "sum")]
    )
    for row in grouped.to_pylist():
        nothing: dict[str, Any] = {"documents": 0, "bytes": 0, "characters": 0, "outcomes": {}}
        entry = found.setdefault(tuple(row[column] or "unknown" for column in columns), nothing)
        entry["documents"] += row["document_id_count"]
        entry["bytes"] += row["bytes_sum"]
        entry["characters"] += row["characters_sum"]
        entry["outcomes"][row["status"]] = row["document_id_count"]
    return [dict(zip(columns, names, strict=True)) | entry for names, entry in sorted(found.items())]


def _share(part: int, whole: int) -> float:
    return min(1.0, part / whole) if whole else float(part > 0)
