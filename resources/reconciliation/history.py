"""The history of a corpus's reconciliations: JSON lines, only ever appended, each carrying the hash of the one before.

A changed, dropped or inserted line breaks the chain. A line without an end was never part of it; the next append
removes it. The newest hash is also kept in the memory, so that lines missing at the end are noticed as long as that is
there.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from resources.identity import digest
from resources.reconciliation.memory import Head, Memory, read_memory, remember
from resources.reconciliation.rates import LAST_RUNS, Measured, Rates, measured_rates
from resources.store.base import CorpusStore

PATH = "reconciliation/history.jsonl"
FIRST = "0" * 32

Entry = dict[str, Any]


@dataclass(frozen=True)
class Verification:
    """Whether the chain holds: how many lines were read, and what is wrong with the first broken one, if any."""

    lines: int
    broken_line: int | None = None
    problem: str = ""


def append(store: CorpusStore, entry: Mapping[str, Any]) -> Entry:
    """Add an entry, durably, and return it with its number and hash."""
    store.create()
    head, appended = read_memory(store).history, []

    def change(content: bytes | None) -> bytes:
        before = _whole_lines(content or b"")
        number, previous = _link(next(_backwards(before), b""), head)
        body = {**entry, "number": number + 1, "previous": previous}
        body["hash"] = _hash(body)
        appended.append(body)
        return before + json.dumps(body, ensure_ascii=False).encode() + b"\n"

    store.files.update(PATH, change)
    remember(store, lambda memory: _note(memory, appended[-1]))
    return appended[-1]


def read_backwards(store: CorpusStore) -> Iterator[Entry]:
    """Yield the entries, newest first; a line that cannot be read is left out (`verify` names it)."""
    for line in _backwards(_whole_lines(_read(store))):
        if (entry := _parse(line)) is not None:
            yield entry


def verify(store: CorpusStore) -> Verification:
    """Walk the whole chain."""
    head = read_memory(store).history
    number, previous = 0, FIRST
    for line in _whole_lines(_read(store)).splitlines():
        number += 1
        entry = _parse(line)
        if problem := _problem(entry, number, previous):
            return Verification(number, number, problem)
        previous = str(entry["hash"]) if entry else previous
        if head is not None and number == head.number and previous != head.hash:
            return Verification(number, number, "it is not the line that was written under this number")
    if head is not None and number < head.number:
        return Verification(number, number + 1, f"it is missing: {head.number} lines were written")
    return Verification(number)


def past_rates(store: CorpusStore) -> Rates:
    """Return how fast the last runs of the corpus were."""
    runs = (entry["measured"] for entry in read_backwards(store) if entry.get("measured"))
    recent = [{name: Measured(**one) for name, one in run.items()} for run in islice(runs, LAST_RUNS)]
    return measured_rates(reversed(recent))


def _problem(entry: Entry | None, number: int, previous: str) -> str:
    if entry is None:
        return "it is not a JSON object"
    if entry.get("number") != number:
        return f"it is numbered {entry.get('number')}"
    if entry.get("previous") != previous:
        return "it does not follow on the line before it"
    return "" if entry.get("hash") == _hash(entry) else "its content is not what its hash was made of"


def _hash(entry: Mapping[str, Any]) -> str:
    content = {name: value for name, value in entry.items() if name != "hash"}
    return digest("history", json.dumps(content, ensure_ascii=False, sort_keys=True))


def _link(line: bytes, head: Head | None) -> tuple[int, str]:
    """Return the number and the hash that the next line follows on: those that were written last, so that a last line
    that was changed or taken away since stays broken.
    """
    entry = _parse(line)
    number = entry.get("number") if entry is not None else None
    if head is not None and (not isinstance(number, int) or number <= head.number):
        return head.number, head.hash
    if entry is None or not isinstance(number, int):
        return 0, digest("broken", line) if line else FIRST
    return number, str(entry.get("hash"))


def _parse(line: bytes) -> Entry | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def _note(memory: Memory, entry: Entry) -> None:
    """Remember the newest line; another process may have noted a newer one."""
    if memory.history is None or memory.history.number < entry["number"]:
        memory.history = Head(number=entry["number"], hash=entry["hash"])


def _read(store: CorpusStore) -> bytes:
    try:
        return store.files.read(PATH)
    except FileNotFoundError:
        return b""


def _whole_lines(content: bytes) -> bytes:
    return content[: content.rfind(b"\n") + 1]


def _backwards(lines: bytes) -> Iterator[bytes]:
    """Yield the lines that hold anything, last first, cutting no more than are asked for."""
    end = len(lines) - 1
    while end > 0:
        start = lines.rfind(b"\n", 0, end) + 1
        if start < end:
            yield lines[start:end]
        end = start - 1
