"""The embedded store: scanning a table of chunks, upserting into it, four processes at once, and the disk it takes.

Against the bare alternative: the same rows written to a table of their own. No model and no index is at work.
"""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from shutil import rmtree
from time import perf_counter

import numpy as np
import pyarrow as pa

from benchmarks import data
from benchmarks.measure import Row, WrongAnswerError, interleaved
from resources.reconciliation.observe import CHUNK_COLUMNS
from resources.store.lance_store import LanceStore
from resources.store.tables import CHUNKS

UPSERTED = 1_000
COMMIT = 50_000
WRITERS, COMMITS, COMMITTED = 4, 10, 50
WORDS = 5_000
TEXT_WORDS = 130


def run(work: Path, full: bool) -> Iterator[Row]:
    """Make a table, and do to it what runs do."""
    rows, passes = (1_000_000, 5) if full else (50_000, 3)
    store = _opened(work / "store")
    rng = np.random.default_rng(data.SEED)
    for start in range(0, rows, COMMIT):
        store.upsert(CHUNKS, made_chunks(rng, range(start, min(rows, start + COMMIT))))
    yield _scan(store, rows, passes)
    yield from _upsert(store, work, rng, rows, passes)
    yield _disk(store, work, rng, rows)
    yield _writers(work / "shared")


def made_chunks(rng: np.random.Generator, numbers: range) -> pa.Table:
    """Return chunks whose texts are words at random, so that they compress about as text does."""
    words = np.array([f"w{one}" for one in range(WORDS)])
    texts = [" ".join(words[some]) for some in rng.zipf(1.3, (len(numbers), TEXT_WORDS)) % WORDS]
    digests = [f"{one:032x}" for one in numbers]
    hashes = [row.tobytes().hex() for row in rng.integers(0, 256, (len(numbers), 16), dtype=np.uint8)]
    many = len(numbers)
    columns = {
        "chunk_id": digests,
        "document_id": [f"folder:{one // 10:06d}.txt" for one in numbers],
        "ordinal": [one % 10 for one in numbers],
        "of": [10] * many,
        "start": [one % 10 * 800 for one in numbers],
        "end": [one % 10 * 800 + 800 for one in numbers],
        "heading": ["A heading"] * many,
        "text": texts,
        "text_hash": hashes,
        "tokens": [180] * many,
        "document_hash": hashes,
        "fingerprint": ["0" * 32] * many,
    }
    return pa.table(columns).select(CHUNKS.schema.names).cast(CHUNKS.schema)


def _opened(folder: Path) -> LanceStore:
    store = LanceStore(folder, "bench")
    store.create()
    return store


def _scan(store: LanceStore, rows: int, passes: int) -> Row:
    def scan(_: int) -> None:
        if store.rows(CHUNKS, CHUNK_COLUMNS).num_rows != rows:
            raise WrongAnswerError("the scan found another number of rows than were written")

    times = interleaved([scan], [0], passes)
    most = 1.0 if rows == 1_000_000 else None
    return Row(f"scan the small columns of {rows:,} chunks", "s", times.per_pass(0, "s"), most=most)


def _upsert(store: LanceStore, work: Path, rng: np.random.Generator, rows: int, passes: int) -> Iterator[Row]:
    """Replace and add chunks, half and half, with new texts."""
    batches = [made_chunks(rng, range(rows - UPSERTED // 2, rows + UPSERTED // 2)) for _ in range(4)]
    fresh = work / "fresh"
    written: dict[str, list[int]] = {"upsert": [], "fresh": []}

    def upsert(at: int) -> None:
        before = store.size()
        store.upsert(CHUNKS, batches[at])
        written["upsert"].append(store.size() - before)

    def write(at: int) -> None:
        rmtree(fresh, ignore_errors=True)
        other = _opened(fresh)
        other.upsert(CHUNKS, batches[at])
        written["fresh"].append(other.size())

    times = interleaved([upsert, write], range(len(batches)), passes)
    against = "the same rows into an empty table"
    yield Row(
        f"bytes written by upserting {UPSERTED:,} chunks into {rows:,}",
        "MB",
        [one / 1e6 for one in written["upsert"]],
        against=against,
        baseline=[one / 1e6 for one in written["fresh"]],
        ratio=1.5,
    )
    yield Row(
        f"upsert {UPSERTED:,} chunks into {rows:,}",
        "ms",
        times.per_pass(0, "ms"),
        against=against,
        baseline=times.per_pass(1, "ms"),
        ratio=1.5,
        facts=times.cpu("ms"),
    )


def _disk(store: LanceStore, work: Path, rng: np.random.Generator, rows: int) -> Row:
    """Change a twentieth five times over, compact, clean up, and compare with a table that was written once."""
    for _ in range(5):
        start = int(rng.integers(0, rows - rows // 20))
        store.upsert(CHUNKS, made_chunks(rng, range(start, start + rows // 20)))
    grown, started = store.size(), perf_counter()
    store.compact(CHUNKS)
    seconds = perf_counter() - started
    store.forget_versions(CHUNKS, keep=())
    rmtree(work / "fresh", ignore_errors=True)
    once = _opened(work / "fresh")
    for batch in store.batches(CHUNKS, CHUNKS.schema.names):
        _append(once, pa.Table.from_batches([batch]))
    once.compact(CHUNKS)
    once.forget_versions(CHUNKS, keep=())
    if once.rows(CHUNKS, ("chunk_id",)).num_rows != store.rows(CHUNKS, ("chunk_id",)).num_rows:
        raise WrongAnswerError("compaction changed how many rows there are")
    return Row(
        "disk after compaction and clean-up",
        "MB",
        [store.size() / 1e6],
        against="the same rows written once",
        baseline=[once.size() / 1e6],
        ratio=1.15,
        facts={"before_mb": round(grown / 1e6), "compaction_seconds": round(seconds, 2)},
    )


def _append(store: LanceStore, rows: pa.Table) -> None:
    import lance

    lance.write_dataset(rows, store.folder / "chunks.lance", mode="append" if store.version(CHUNKS) else "create")


def _writers(folder: Path) -> Row:
    """Let four processes commit at once, each its own chunks."""
    _opened(folder).upsert(CHUNKS, made_chunks(np.random.default_rng(0), range(1)))
    started = perf_counter()
    with ProcessPoolExecutor(WRITERS, get_context("spawn")) as pool:
        list(pool.map(partial(_commit, folder), range(WRITERS)))
    seconds = perf_counter() - started
    found = LanceStore(folder, "bench").rows(CHUNKS, ("chunk_id",)).num_rows
    wanted = 1 + WRITERS * COMMITS * COMMITTED
    if found != wanted:
        raise WrongAnswerError(f"{wanted - found} of {wanted} rows were lost by {WRITERS} writers at once")
    name = f"{WRITERS} processes × {COMMITS} upserts of {COMMITTED} chunks, none lost"
    return Row(name, "s", [seconds], facts={"rows": found})


def _commit(folder: Path, writer: int) -> None:
    store, rng = LanceStore(folder, "bench"), np.random.default_rng(writer)
    first = (writer + 1) * 1_000_000
    for number in range(COMMITS):
        start = first + number * COMMITTED
        store.upsert(CHUNKS, made_chunks(rng, range(start, start + COMMITTED)))
