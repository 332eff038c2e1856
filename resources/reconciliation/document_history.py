"""The versions of one document, as the snapshots hold them, and how their texts differ. Read from the store alone."""

import difflib
from typing import Any

from resources.corpus import Corpus
from resources.errors import RagAssetsError, StoreError
from resources.store.tables import DOCUMENTS

COLUMNS = ("document_id", "version", "status", "title", "text", "text_hash", "modified", "content_hash")
CANDIDATE = 0


def history(corpus: Corpus, one: str) -> list[dict[str, Any]]:
    """Return the document's distinct states, oldest first, each with the first snapshot that has it (0: the candidate).

    RagAssetsError when no snapshot and no candidate has it.
    """
    states: list[dict[str, Any]] = []
    for number in (*corpus.store.snapshots.numbers(), CANDIDATE):
        row = _row(corpus, one, number)
        key = (row["version"], row["status"], row["text_hash"]) if row else None
        last = states[-1] if states else None
        if key is None:
            if last is not None and last["status"] != "absent":
                states.append({"snapshot": number, "status": "absent", "version": None, "text_hash": None})
        elif row is not None and (last is None or key != (last["version"], last["status"], last["text_hash"])):
            states.append({"snapshot": number, **row})
    if not states:
        raise RagAssetsError(f"corpus {corpus.name} has no document {one}, neither in a snapshot nor in the candidate")
    return states


def diff(corpus: Corpus, one: str, old: int | None = None, new: int | None = None) -> list[str]:
    """Return a unified diff of the document's text between two snapshots, by default its last two texts."""
    texts = [state for state in history(corpus, one) if state.get("text") is not None]
    numbers = [state["snapshot"] for state in texts[-2:]]
    if old is None or new is None:
        if len(numbers) < 2:
            return []
        old, new = numbers
    before, after = (_text(corpus, one, number) for number in (old, new))
    return list(difflib.unified_diff(before, after, f"{one} ({_name(old)})", f"{one} ({_name(new)})", lineterm=""))


def _text(corpus: Corpus, one: str, number: int) -> list[str]:
    row = _row(corpus, one, number)
    return ((row or {}).get("text") or "").splitlines()


def _name(number: int) -> str:
    return f"snapshot {number}" if number != CANDIDATE else "candidate"


def _row(corpus: Corpus, one: str, number: int) -> dict[str, Any] | None:
    store = corpus.store
    if number == CANDIDATE:
        version = store.version(DOCUMENTS)
    else:
        manifest = store.snapshots.read(number)
        if one in manifest.removed_documents:
            return None
        version = manifest.documents_version
    try:
        batches = list(store.batches(DOCUMENTS, COLUMNS, version=version, keys=[one]))
    except StoreError:
        if number == CANDIDATE:
            raise
        return None  # an old snapshot that was cleaned up has nothing to tell
    rows: list[dict[str, Any]] = [row for batch in batches for row in batch.to_pylist()]
    return rows[0] if rows else None
