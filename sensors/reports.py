"""What a look found, as evaluations of the assets' checks: red where drift is, with the ids, and what to type.

Every drift makes `snapshot.is_current` red, which is the corpus at a glance, and with it the check that is about that
drift, where there is one. Not here: when to report (`drift`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from resources.corpus import Corpus
from resources.errors import SourceError, StoreError
from resources.reconciliation.decision import Decision
from resources.reconciliation.drift import DriftIssue, Severity
from resources.reconciliation.freshness import freshness
from resources.reconciliation.vectors import CHECKSUM_CHECKS
from resources.settings import Settings
from sensors.graph import check_key

SHOWN_IDS = 100
IS_CURRENT = ("snapshot", "is_current")
IS_FRESH = ("snapshot", "is_fresh")
AGREES_WITH_SOURCES = ("documents", "agrees_with_sources")
CHECK_OF = {
    **{drift: ("token_embeddings", f"no_{drift}") for drift, _ in CHECKSUM_CHECKS},
    "source_deleted": AGREES_WITH_SOURCES,
    "source_changed": AGREES_WITH_SOURCES,
    "missing_documents": AGREES_WITH_SOURCES,
    "insufficient_documents": AGREES_WITH_SOURCES,
    "empty_source": AGREES_WITH_SOURCES,
    "removals_held": AGREES_WITH_SOURCES,
    "stale_parser": AGREES_WITH_SOURCES,
    "failed_documents": ("documents", "readable"),
    "unread_documents": ("documents", "readable"),
    "quarantined_rows": ("documents", "contract"),
    "missing_chunks": ("chunks", "covers_documents"),
    "stale_text": ("chunks", "covers_documents"),
    "stale_chunker": ("chunks", "covers_documents"),
    "orphan_chunks": ("chunks", "no_orphans"),
    "missing_token_embeddings": ("token_embeddings", "covers_chunks"),
    "stale_model": ("token_embeddings", "covers_chunks"),
    "incomplete_token_embeddings": ("token_embeddings", "covers_chunks"),
    "stale_embeddings": ("token_embeddings", "covers_chunks"),
    "quarantined_token_embeddings": ("token_embeddings", "contract"),
    "orphan_token_embeddings": ("token_embeddings", "no_orphans"),
    "dense_index_damaged": ("dense_index", "files_whole"),
    "dense_index_mismatch": ("dense_index", "equals_table"),
    "bm25_index_damaged": ("bm25_index", "files_whole"),
    "bm25_index_mismatch": ("bm25_index", "equals_table"),
    "snapshot_damaged": ("snapshot", "is_whole"),
}
"""The check that is about each type of drift; a type that is not here shows in `snapshot.is_current` alone."""


@dataclass(frozen=True)
class Finding:
    """Why a check is red: what the UI shows of it, and whether it is an error or a warning."""

    metadata: Mapping[str, Any]
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR


Red = dict[dg.AssetCheckKey, Finding]
"""The checks that are to be red."""


def red_for_drift(settings: Settings, decision: Decision) -> Red:
    """Return the checks that a decision makes red; drift that is low, or acknowledged, makes none."""
    found: dict[dg.AssetCheckKey, list[DriftIssue]] = {}
    for issue in decision.active:
        if issue.severity > Severity.LOW:
            for check in {IS_CURRENT, CHECK_OF.get(issue.type, IS_CURRENT)}:
                found.setdefault(check_key(settings, *check), []).append(issue)
    common = {"verdict": decision.verdict, "reason": decision.reason, "plan": decision.plan.id}
    return {key: Finding(_metadata(issues) | common) for key, issues in found.items()}


def red_for_error(settings: Settings, error: Exception) -> Red:
    """Return the checks that are red because the look itself failed."""
    metadata = {"verdict": "error", "reason": f"the look failed: {error}", "error": type(error).__name__}
    checks = [IS_CURRENT, AGREES_WITH_SOURCES] if isinstance(error, SourceError) else [IS_CURRENT]
    return {check_key(settings, *check): Finding(metadata) for check in checks}


def red_for_age(settings: Settings, corpus: Corpus) -> Red:
    """Return the check that is red when the corpus has not been known to agree with its sources for too long."""
    try:
        found = freshness(corpus)
    except StoreError:  # the look that comes before fails of it too, and says so
        return {}
    if found.level == "fresh":
        return {}
    severity = dg.AssetCheckSeverity.WARN if found.level == "late" else dg.AssetCheckSeverity.ERROR
    return {check_key(settings, *IS_FRESH): Finding({"reason": found.said, "level": found.level}, severity)}


def _metadata(issues: Iterable[DriftIssue]) -> dict[str, Any]:
    """Return the drift as a table, and the ids affected, each once."""
    worst_first = sorted(issues, key=lambda issue: (-issue.severity, issue.type))
    records = [
        dg.TableRecord(
            {
                "drift": issue.type,
                "severity": issue.severity.name.lower(),
                "where": issue.where,
                "affected": issue.affected,
                "repair": issue.action,
                "what": issue.description,
            }
        )
        for issue in worst_first
    ]
    ids = list(dict.fromkeys(one for issue in worst_first for one in issue.ids))
    return {
        "drift": dg.MetadataValue.table(records),
        "affected": sum(issue.affected for issue in worst_first),
        "ids": dg.MetadataValue.json(ids[:SHOWN_IDS]),
    }
