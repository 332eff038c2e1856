"""Which bad vectors the audit finds, how many healthy ones it doubts, and what that costs: `python -m
benchmarks.detection [--rows 10000] [--work DIR]`.

Both development collections, cut into chunks of at most 40 tokens so that each gives 10,000 real ones, embedded once.
Every defect is planted in 1, 10 and 100 rows drawn at random, with a checksum and token count of its own (`consistent`)
or below the old ones (`careless`). Calibration never saw these collections. Prints Markdown tables; rates have
95 % Clopper-Pearson intervals.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.stats import beta

from benchmarks.data import collection
from benchmarks.measure import quieten
from rag_assets_tests.models import save_second_model
from resources.chunking.base import embedding_input
from resources.corpus import Corpus, open_corpus
from resources.embedding.codec import TokenCodec
from resources.embedding.encoder import Encoder, load_encoder
from resources.embedding.vectors import checksum
from resources.materialisation import chunks, documents, token_embeddings
from resources.reconciliation.audit.block import ROWS, Block
from resources.reconciliation.audit.calibrate import fit
from resources.reconciliation.audit.calibration import Calibration, calibration_of
from resources.reconciliation.audit.catalogue import VectorValidator, vector_validators
from resources.reconciliation.audit.defects import DEFECTS, Vectors
from resources.reconciliation.audit.look import Place, audit
from resources.reconciliation.audit.summary import Summary
from resources.reconciliation.audit.text import TextProbe
from resources.settings import load_settings
from resources.store.tables import CHUNKS
from resources.store.writer import writing

COLLECTIONS = ("pubmedqa", "cranfield")
SIZES = (1, 10, 100)
ONES = 3
JUDGED = 1000
ROOM = 0.013
EMBEDDED = 1000
FOREIGN = "another model of the same size"
PLAUSIBLE = ("N(0,1)", "hash-seeded uniform", "shuffled", "shuffled pooled", "repeated batch", FOREIGN)
"""What no exact validator can prove, so that the sample of `reembed` matters."""
ONE_TO_ONE = {"shuffled", "shuffled pooled", "repeated batch"}
"""Defects that need several rows; one row gets the vectors of another, which stays as it is."""


@dataclass
class Bench:
    """A collection as a corpus: its rows by chunk id and its texts."""

    folder: Path
    corpus: Corpus
    rows: dict[str, dict[str, Any]]
    texts: dict[str, str]


@dataclass
class Tally:
    """Found of planted, and healthy rows reported of healthy rows looked at."""

    found: int = 0
    planted: int = 0
    alarms: int = 0
    healthy: int = 0


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detection", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--work", type=Path, help="a folder to keep the embedded collections in for the next time")
    chosen = parser.parse_args()
    quieten()
    with tempfile.TemporaryDirectory(prefix="rag-assets-detection-") as temporary:
        work = chosen.work or Path(temporary)
        foreign = load_encoder(save_second_model(Path(temporary) / "second"))
        made = [build(work, name, chosen.rows) for name in COLLECTIONS]
        print_healthy(made)
        print_validators(made, foreign)
        print_defects(made, foreign)


def build(work: Path, name: str, rows: int) -> Bench:
    """Embed a collection once; a folder that has it already is used again."""
    folder = work / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rag.yaml").write_text(
        f"corpora: {{default: {{sources: [{{type: beir, path: '{collection(name)}'}}], "
        "chunking: {tokens: 40, overlap: 0}}}"
    )
    corpus = _open(folder, folder)
    with writing(corpus.store, "bench", wait=1) as writer:
        for stage in (documents, chunks):
            _make(stage, corpus, writer)
        ids = sorted(corpus.store.rows(CHUNKS, ("chunk_id",))["chunk_id"].to_pylist())
        writer.delete(CHUNKS, ids[rows:])
        _make(token_embeddings, corpus, writer)
    corpus.store.lease.release("bench")
    table = corpus.embeddings
    stored = {row["chunk_id"]: row for row in corpus.store.rows(table, table.schema.names).to_pylist()}
    columns = ("chunk_id", "heading", "text")
    texts = {
        row["chunk_id"]: embedding_input(row["heading"], row["text"])
        for row in corpus.store.rows(CHUNKS, columns).to_pylist()
    }
    return Bench(folder, corpus, stored, texts)


def _make(stage: Any, corpus: Corpus, writer: Any) -> None:
    shards = stage.plan(corpus, writer)
    for shard in range(shards):
        stage.do(corpus, writer, shard, shards)


def print_healthy(made: Sequence[Bench]) -> None:
    """Print what the audit says of healthy rows, validator by validator, and its cost."""
    alarms: dict[str, int] = defaultdict(int)
    seconds: dict[str, float] = defaultdict(float)
    rows = reported = 0
    spent: dict[str, float] = defaultdict(float)
    for one in made:
        texts = [one.texts[chunk_id] for chunk_id in sorted(one.texts)[:EMBEDDED]]
        one.corpus.encoder.encode(texts[:64])
        for depth in ("embedding", "checksum", "reembed"):
            started = time.process_time()
            if depth == "embedding":
                one.corpus.encoder.encode(texts)
                spent[depth] += (time.process_time() - started) * len(one.texts) / len(texts)
                continue
            (place,) = audit(one.corpus, depth, seed=20).places
            spent[depth] += time.process_time() - started
            reported += len(place.findings)
            if depth == "reembed":
                rows += place.rows
                for name, count in place.doubted.items():
                    alarms[name] += count
                for name, took in place.seconds.items():
                    seconds[name] += took
    share = {depth: f"{took:.0f} s ({100 * took / spent['embedding']:.1f} %)" for depth, took in spent.items()}
    print(
        f"{rows:,} healthy chunks. Processor time: to embed them {spent['embedding']:.0f} s (from {EMBEDDED:,} each), "
        f"to audit them {share['checksum']} at depth checksum and {share['reembed']} at reembed. "
        f"Reported as bad: {reported}.\n"
    )
    print("| step or validator | µs a chunk | healthy chunks doubted |\n|---|---|---|")
    for name, took in seconds.items():
        print(f"| {name} | {1e6 * took / rows:.1f} | {rate(alarms[name], rows)} |")
    print(flush=True)


def print_validators(made: Sequence[Bench], foreign: Encoder) -> None:
    """Print what each statistical validator doubts of what no exact one can prove, by itself and before any proof.

    Bad rows with a checksum of their own, `JUDGED` of each collection; validators of the whole table see 100 of them at
    a time among the healthy ones. The text probe doubts nothing; it counts as found what fits its text less than all
    but the 1.3 % of healthy rows that the sample has room for.
    """
    print("| validator | " + " | ".join(PLAUSIBLE) + " |\n|---|" + "---|" * len(PLAUSIBLE))
    found: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    of: dict[str, int] = defaultdict(int)
    for one in made:
        calibration = calibration_of(one.corpus.model, one.corpus.store.audits, partial(fit, one.corpus.encoder))
        probe = TextProbe.of(one.corpus.model, calibration)
        healthy = list(_blocks(one, list(one.rows.values())))
        least = np.quantile(np.concatenate([_fit(one, probe, block) for block in healthy]), ROOM)
        draw = np.random.default_rng(len(one.rows))
        for name in PLAUSIBLE:
            bad = [
                row for _ in range(JUDGED // 100) for row in _bad_rows(one, foreign, name, 100, draw, consistent=True)
            ]
            of[name] += len(bad)
            for validator in vector_validators():
                if not validator.exact:
                    found[validator.name][name] += _doubted(one, validator, healthy, bad, calibration)
            for block in _blocks(one, bad):
                found["text probe"][name] += int((_fit(one, probe, block) < least).sum())
    for validator_name, counts in found.items():
        print(
            f"| {validator_name} | " + " | ".join(rate(counts[name], of[name]) for name in PLAUSIBLE) + " |", flush=True
        )
    print()


def _doubted(
    bench: Bench, validator: VectorValidator, healthy: Sequence[Block], bad: list[dict[str, Any]], of: Calibration
) -> int:
    """Return how many of the bad rows a validator doubts."""
    if not validator.table:
        return sum(int(validator.judge(block, of).sum()) for block in _blocks(bench, bad))
    count = 0
    for start in range(0, len(bad), 100):
        summary, group = Summary(of), bad[start : start + 100]
        replaced = {row["chunk_id"] for row in group}
        for block in healthy:
            kept = pa.array([one not in replaced for one in block.ids])
            summary.add(Block(block.rows.filter(kept), block.expected[kept.to_numpy(False)], block.identity))
        for block in _blocks(bench, group):
            summary.add(block)
        count += int(validator.judge(summary, of)[-len(group) :].sum())
    return count


def _blocks(bench: Bench, rows: Sequence[dict[str, Any]]) -> Iterator[Block]:
    schema = bench.corpus.embeddings.schema
    for start in range(0, len(rows), ROWS):
        part = list(rows[start : start + ROWS])
        expected = np.array([bench.rows[row["chunk_id"]]["n_tokens"] for row in part], np.int32)
        yield Block(pa.RecordBatch.from_pylist(part, schema=schema), expected, bench.corpus.model)


def _fit(bench: Bench, probe: TextProbe, block: Block) -> np.ndarray:
    return probe.scores(block, bench.corpus.tokenizer.ids([bench.texts[one] for one in block.ids]))


def print_defects(made: Sequence[Bench], foreign: Encoder) -> None:
    """Print, per defect, what was found at each depth."""
    print("| defect | written | depth | k = 1 | k = 10 | k = 100 | all, 95 % interval | healthy reported | named |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in (*DEFECTS, FOREIGN):
        for consistent in (True, False):
            for depth in ("checksum", "reembed") if consistent and name in PLAUSIBLE else ("checksum",):
                print(_line(made, foreign, name, depth, consistent=consistent), flush=True)


def _line(made: Sequence[Bench], foreign: Encoder, name: str, depth: Any, *, consistent: bool) -> str:
    tallies = {size: Tally() for size in SIZES}
    names: dict[str, int] = defaultdict(int)
    for size in SIZES:
        for one in made:
            for repetition in range(ONES if size == 1 else 1):
                draw = np.random.default_rng([size, repetition, len(name)])
                with tempfile.TemporaryDirectory(dir=one.folder) as trial:
                    corpus = _copy(one, Path(trial))
                    bad = _bad_rows(one, foreign, name, size, draw, consistent=consistent)
                    victims = [row["chunk_id"] for row in bad]
                    corpus.store.upsert(corpus.embeddings, pa.Table.from_pylist(bad, schema=corpus.embeddings.schema))
                    (place,) = audit(corpus, depth, seed=repetition).places
                _count(tallies[size], place, set(victims))
                for finding in place.findings.values():
                    names[finding.drift] += 1
    whole = Tally(*(sum(getattr(one, field) for one in tallies.values()) for field in Tally.__annotations__))
    cells = [f"{one.found}/{one.planted}" for one in tallies.values()]
    named = ", ".join(f"{drift} {count}" for drift, count in sorted(names.items(), key=lambda pair: -pair[1]))
    return (
        f"| {name} | {'consistent' if consistent else 'careless'} | {depth} | {' | '.join(cells)} | "
        f"{rate(whole.found, whole.planted)} | {whole.alarms} of {whole.healthy:,} | {named or '–'} |"
    )


def _bad_rows(
    bench: Bench, foreign: Encoder, name: str, size: int, draw: np.random.Generator, *, consistent: bool
) -> list[dict[str, Any]]:
    """Return `size` rows with bad vectors."""
    ids = sorted(bench.rows)
    needed = size + 1 if name in ONE_TO_ONE else size
    chosen = _alike(bench, needed, draw) if name.startswith("shuffled") else list(draw.choice(ids, needed, False))
    rows = [bench.rows[one] for one in chosen]
    good = [Vectors(np.asarray(row["pooled"], np.float32), _matrix(row)) for row in rows]
    if name == FOREIGN:
        codec = TokenCodec.for_model(bench.corpus.model)
        made = foreign.encode([bench.texts[one] for one in chosen])
        tokens = [codec.encode(TokenCodec.decode(one)) for one in made.tokens]
        bad = [Vectors(pooled, one) for pooled, one in zip(made.pooled, tokens, strict=True)]
    else:
        bad = DEFECTS[name][0](good, draw)
    if name == "repeated batch":
        rows, bad = rows[1:], bad[1:]
    elif name in ONE_TO_ONE:
        rows, bad = rows[:-1], bad[:-1]
    return [_with(row, *vectors, consistent=consistent) for row, vectors in zip(rows, bad, strict=True)]


def _with(row: dict[str, Any], pooled: np.ndarray, tokens: np.ndarray, *, consistent: bool) -> dict[str, Any]:
    changed = row | {"pooled": pooled.tolist(), "tokens": tokens.tobytes()}
    if not consistent:
        return changed
    own = checksum(tokens.tobytes(), np.ascontiguousarray(pooled, np.float32).tobytes())
    return changed | {"n_tokens": len(tokens), "checksum": own}


def _alike(bench: Bench, count: int, draw: np.random.Generator) -> list[str]:
    """Return chunks in an order in which the next one has as many tokens: shuffling others is seen by their number."""
    by_count: dict[int, list[str]] = defaultdict(list)
    for one, row in sorted(bench.rows.items()):
        by_count[row["n_tokens"]].append(one)
    groups = [ids for ids in by_count.values() if len(ids) >= count]
    return [str(one) for one in draw.choice(groups[draw.integers(len(groups))], count, False)]


def _matrix(row: dict[str, Any]) -> np.ndarray:
    return np.frombuffer(row["tokens"], np.int8).reshape(row["n_tokens"], -1)


def _copy(bench: Bench, folder: Path) -> Corpus:
    """Return the corpus over hard links: Lance writes new files and leaves the old ones alone."""
    shutil.copytree(bench.folder / "corpora", folder / "corpora", copy_function=os.link)
    return _open(bench.folder, folder)


def _open(folder: Path, home: Path) -> Corpus:
    return open_corpus(load_settings(folder / "rag.yaml").model_copy(update={"home": home}), "default")


def _count(tally: Tally, place: Place, victims: set[str]) -> None:
    tally.planted += len(victims)
    tally.found += len(victims & place.findings.keys())
    tally.healthy += place.rows - len(victims)
    tally.alarms += len(place.findings.keys() - victims)


def rate(count: int, of: int) -> str:
    """Return a share in percent with its 95 % interval (Clopper and Pearson, Biometrika 26, 1934)."""
    low = beta.ppf(0.025, count, of - count + 1) if count else 0.0
    high = beta.ppf(0.975, count + 1, of - count) if count < of else 1.0
    return f"{100 * count / of:.3g} % ({100 * low:.3g}–{100 * high:.3g})"


if __name__ == "__main__":
    sys.exit(main())
