"""How an audit of an adopted table is shown: by `corpora adopt` and by `reconcile status`."""

from typing import Any

from rag_assets.cli.console import console
from rag_assets.cli.plans import print_issues
from resources.adoption.look import Look
from resources.adoption.registration import Registration


def as_json(name: str, registration: Registration, found: Look) -> dict[str, Any]:
    """Return the audit in the shape of every other look; nothing of it is repaired, so there are no actions."""
    return {
        "corpus": name,
        "state": "adopted",
        "holds": found.holds,
        "verdict": "healthy" if found.holds else "adopted",
        "issues": [one.as_json() for one in found.issues],
        "actions": [],
        "roles": registration.roles,
        "model": registration.model,
        "dimension": registration.dimension,
        "rows": found.rows,
        "documents": found.documents,
        "embedded": found.embedded,
        "seconds": round(found.seconds, 1),
        "notes": list(found.notes),
    }


def print_look(name: str, registration: Registration, found: Look) -> None:
    """Print what was read, what is wrong, and what could not be judged."""
    roles = ", ".join(f"{role}={column}" for role, column in registration.roles.items())
    console.print(f"{name}: {found.rows:,} rows of {found.documents:,} documents; {roles}", markup=False)
    print_issues(found.issues)
    for note in found.notes:
        console.print(f"  note     {note}", markup=False)
    verdict = "healthy" if found.holds else "not sound; nothing was written: repair it where it is kept"
    console.print(f"{name} is {verdict} ({found.embedded:,} rows embedded again, {found.seconds:.1f} s).", markup=False)
