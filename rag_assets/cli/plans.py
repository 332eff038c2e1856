"""Drift and plans as a person reads them: a line an issue, a table of steps, a few documents of each."""

from collections.abc import Iterable

from rich.markup import escape

from rag_assets.cli.console import console, print_table
from resources.reconciliation.drift import DriftIssue
from resources.reconciliation.plan import Plan

SHOWN = 10


def print_issues(issues: Iterable[DriftIssue], acknowledged: Iterable[DriftIssue] = ()) -> None:
    """Print what was found, the worst first."""
    known = set(acknowledged)
    for issue in issues:
        severity = "known" if issue in known else issue.severity.name.lower()
        what = f"{issue.description} ({issue.type}, {issue.where}). Repair: {issue.action}."
        console.print(f"  {severity:<8} {escape(what)}")


def print_plan(plan: Plan) -> None:
    """Print what a run would do; nothing for an empty plan."""
    if not plan.steps:
        return
    rows = []
    for step in plan.steps:
        items = f"{step.items:,}" if step.items else ""
        size = f"{step.bytes / 1e6:.1f}" if step.bytes else ""
        count = f"{len(step.documents):,}" if step.documents else ""
        rows.append((step.asset, step.action, count, items, _duration(step.seconds), size))
    columns = ("asset", "action", "documents", "chunks", "about", "MB")
    print_table(f"Plan {plan.id}", columns, rows)
    for document in plan.documents[:SHOWN]:
        console.print(f"  {document}: {_done_to(plan, document)}", markup=False)
    if len(plan.documents) > SHOWN:
        console.print(f"  … and {len(plan.documents) - SHOWN:,} more documents (--json has 1,000 a step)")
    by = "measured on this corpus's last runs" if plan.measured else "not measured on this corpus yet"
    console.print(
        f"{len(plan.documents):,} documents, about {plan.chunks:,} chunks to embed, about "
        f"{_duration(plan.seconds)} with start and checks ({by}), {plan.bytes / 1e6:.1f} MB written."
    )


def _done_to(plan: Plan, document: str) -> str:
    """Say what happens to one document: `fetch, chunk 5, embed 5`."""
    parts = []
    for step in plan.steps:
        if document in step.documents:
            count = step.chunks[step.documents.index(document)]
            name = f"{step.action} in {step.asset}" if step.action in ("update", "delete") else step.action
            parts.append(f"{name} {count}" if count else name)
    return ", ".join(parts)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 1 else "< 1 s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
