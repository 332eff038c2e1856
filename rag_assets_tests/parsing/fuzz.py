"""Mutates documents and parses them in the pool: each must have one outcome, and none may harm this process.

    python -m rag_assets_tests.parsing.fuzz FOLDER [--count 10000] [--seconds 1800] [--seed 0] [--keep FOLDER]

Mutations: flipped bytes, cuts, pieces of another document put in, pieces repeated, numbers at their limits. Prints how
many ended how, how many killed their process or ran out of time, and exits 1 when a promise was broken. The same seed
makes the same documents. `--keep` stores those that killed their process.
"""

import argparse
import collections
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from resources.parsing.base import READABLE, RawDocument
from resources.parsing.pool import parser_pool
from resources.parsing.registry import media_type_of
from resources.parsing.settings import ParsingSettings

SETTINGS = ParsingSettings(seconds=20, memory_mb=512)
LARGEST_SEED = 300_000
EDGES = (
    b"\0",
    b"\xff",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\0\0\0\0",
    b"-1",
    b"99999999999",
    b"<",
    b">",
    b"&",
    b"%",
)


@dataclass
class Report:
    """What became of the mutated documents; `broken` names each promise that did not hold."""

    outcomes: collections.Counter = field(default_factory=collections.Counter)
    killed: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    seconds: float = 0.0


def seeds(folder: Path) -> list[tuple[str, bytes]]:
    """Return (name, bytes) of every file below a folder that is small enough to be parsed thousands of times."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and 0 < path.stat().st_size <= LARGEST_SEED)
    return [(path.name, path.read_bytes()) for path in files]


def mutate(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """Return a document with one to four things done to it."""
    result = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        if not result:
            break
        place = chance.randrange(len(result))
        length = min(chance.choice((1, 4, 16, 256, 4096)), len(result) - place)
        match chance.randrange(6):
            case 0:
                for _ in range(chance.choice((1, 8, 64))):
                    result[chance.randrange(len(result))] ^= 1 << chance.randrange(8)
            case 1:
                del result[place:]
            case 2:
                del result[place : place + length]
            case 3:
                start = chance.randrange(len(other)) if other else 0
                result[place:place] = other[start : start + length]
            case 4:
                result[place:place] = result[place : place + length] * chance.choice((1, 2, 50))
            case 5:
                edge = chance.choice(EDGES)
                result[place : place + len(edge)] = edge
    return bytes(result)


def mutated(originals: list[tuple[str, bytes]], count: int, seed: int, until: float) -> Iterator[RawDocument]:
    """Yield mutated documents until there are enough, or time is up."""
    for number in range(count):
        if time.monotonic() > until:
            return
        chance = random.Random(f"{seed}-{number}")
        name, data = chance.choice(originals)
        declared = media_type_of(name) or "application/octet-stream"
        yield RawDocument(f"{number} {name}", "1", declared, mutate(data, chance.choice(originals)[1], chance))


def fuzz(
    originals: list[tuple[str, bytes]], count: int, *, seed: int = 0, seconds: float = 1e9, keep: Path | None = None
) -> Report:
    """Parse `count` mutated documents, for `seconds` at most."""
    report = Report()
    started = time.monotonic()
    given: dict[str, RawDocument] = {}

    def remembered() -> Iterator[RawDocument]:
        for raw in mutated(originals, count, seed, started + seconds):
            given[raw.key] = raw
            yield raw

    with parser_pool(SETTINGS) as pool:
        for parsed in pool.parse(remembered()):
            raw = given.pop(parsed.key, None)
            reason = parsed.reason or ""
            report.outcomes[parsed.status] += 1
            if raw is None:
                report.broken.append(f"{parsed.key}: two outcomes")
            if bool(parsed.text.strip()) != (parsed.status in READABLE) or (parsed.status != "ok") != bool(reason):
                report.broken.append(f"{parsed.key}: {parsed.status} with {len(parsed.text)} characters, {reason!r}")
            if "crashed" in reason:
                report.killed.append(f"{parsed.key}: {reason}")
                if keep is not None and raw is not None:
                    (keep / parsed.key.replace(" ", "-")).write_bytes(raw.data)
            elif "longer than" in reason:
                report.late.append(parsed.key)
    report.broken += [f"{key}: no outcome" for key in given]
    report.seconds = time.monotonic() - started
    return report


def main() -> int:
    """Run from the command line."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--count", type=int, default=10_000)
    arguments.add_argument("--seconds", type=float, default=1800)
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--keep", type=Path)
    given = arguments.parse_args()
    report = fuzz(seeds(given.folder), given.count, seed=given.seed, seconds=given.seconds, keep=given.keep)
    print(f"{report.outcomes.total():,} documents in {report.seconds:.0f} s: {dict(report.outcomes)}")
    print(f"killed their process: {len(report.killed)}; out of time: {len(report.late)}")
    print(f"promises broken: {len(report.broken)}")
    print(*report.killed[:20], *report.late[:20], *report.broken[:20], sep="\n")
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(main())
