"""The history of a corpus's reconciliations: JSON lines, only ever appended, each carrying the hash of the one before.

A changed, dropped or inserted line breaks the chain. A line that a crash cut short has no end and was never part of
it; the next append removes it. The newest hash is also kept in the memory, so that lines missing at the end are
noticed as long as that is there.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, BinaryIO

from resources.errors import StoreError
from resources.identity import digest
from resources.reconciliation.memory import Head, read_memory, remembering
from resources.reconciliation.rates import LAST_RUNS, Measured, Rates, measured_rates
from resources.store.base import CorpusStore

NAME = "history.jsonl"
FIRST = "0" * 32
BLOCK = 1 << 16

Entry = dict[str, Any]


@dataclass(frozen=True)
class Verification:
    """Whether the chain holds: how many lines were read, and what is wrong with the first broken one, if any."""

    lines: int
    broken_line: int | None = None
    problem: str = ""


def append(store: CorpusStore, entry: Mapping[str, Any]) -> Entry:
    """Add an entry, durably, and return it with its number and hash."""
    with remembering(store) as memory:
        path = store.reconciliation / NAME
        path.touch()
        with path.open("r+b") as file:
            number, previous = _link(next(_lines_backwards(file), b""), memory.history)
            body = {**entry, "number": number + 1, "previous": previous}
            body["hash"] = _hash(body)
            file.truncate(_end_of_last_line(file))
            file.seek(0, os.SEEK_END)
            file.write(json.dumps(body, ensure_ascii=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        memory.history = Head(number=body["number"], hash=body["hash"])
    return body


def read_backwards(store: CorpusStore) -> Iterator[Entry]:
    """Yield the entries, newest first; a line that cannot be read is left out (`verify` names it)."""
    path = store.reconciliation / NAME
    try:
        with path.open("rb") as file:
            for line in _lines_backwards(file):
                if (entry := _parse(line)) is not None:
                    yield entry
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError(f"corpus {store.corpus}: {path} cannot be read: {error.strerror}") from error


def verify(store: CorpusStore) -> Verification:
    """Walk the whole chain."""
    path, head = store.reconciliation / NAME, read_memory(store).history
    number, previous = 0, FIRST
    if path.exists():
        with path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
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


def _end_of_last_line(file: BinaryIO) -> int:
    """Return where the last complete line ends."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - BLOCK)
        file.seek(start)
        at = file.read(end - start).rfind(b"\n")
        if at >= 0:
            return start + at + 1
        end = start
    return 0


def _lines_backwards(file: BinaryIO) -> Iterator[bytes]:
    """Yield the complete lines, last first, reading no more of the file than is asked for."""
    position, rest = _end_of_last_line(file), b""
    while position:
        start = max(0, position - BLOCK)
        file.seek(start)
        first, *lines = (file.read(position - start) + rest).split(b"\n")
        yield from (line for line in reversed(lines) if line)
        position, rest = start, first
    if rest:
        yield rest
