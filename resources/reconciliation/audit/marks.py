"""What an audit proved, kept in the quarantine until those rows are embedded again. Plans and scans read it there.

Marks of the candidate name its table, marks of live also the version, which never changes again. A mark only saves
looking twice: lost, the next audit finds the row again; left over, it costs one embedding.
"""

from collections.abc import Collection, Iterable

import pyarrow as pa

from resources.corpus import Corpus
from resources.reconciliation.drift import DriftIssue
from resources.reconciliation.vectors import DESCRIPTIONS, live_label
from resources.store.snapshots import Manifest
from resources.store.tables import QUARANTINE, Table, token_embeddings
from resources.store.writer import CorpusWriter


def record(writer: CorpusWriter, corpus: Corpus, issues: Iterable[DriftIssue], live: Manifest | None) -> int:
    """Mark the rows that an audit's issues name; return how many chunks that are. `live`: what the audit looked at."""
    rows: dict[str, dict[str, str]] = {}
    chunks: set[str] = set()
    for issue in issues:
        if issue.type in DESCRIPTIONS:
            chunks.update(issue.ids)
            for label in _labels(corpus, issue, live):
                for one in issue.ids:
                    row = {"table": label, "id": one, "reason": f"{issue.type}: {DESCRIPTIONS[issue.type]}"}
                    rows[f"{label}/{one}"] = {"row_id": f"{label}/{one}", **row}
    writer.upsert(QUARANTINE, pa.Table.from_pylist(list(rows.values()), schema=QUARANTINE.schema))
    return len(chunks)


def _labels(corpus: Corpus, issue: DriftIssue, live: Manifest | None) -> list[str]:
    """Return what the quarantine calls the places where an issue is."""
    labels = [corpus.embeddings.name] if issue.where in ("candidate", "both") else []
    if live is not None and issue.where in ("live", "both"):
        table = token_embeddings(live.model_fingerprint, live.dimension)
        labels.append(live_label(table.name, live.embeddings_version))
    return labels


def forget(writer: CorpusWriter, table: Table, chunk_ids: Collection[str]) -> None:
    """Drop the candidate's marks of rows that were embedded again, or are gone."""
    stored = set(writer.store.rows(QUARANTINE, ("row_id",))["row_id"].to_pylist())
    writer.delete(QUARANTINE, sorted(stored.intersection(f"{table.name}/{one}" for one in chunk_ids)))
