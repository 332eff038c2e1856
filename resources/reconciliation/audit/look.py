"""The audit: read every stored vector of candidate and live, doubt some, prove or acquit them, and name what is bad.

Two depths. `checksum` reads every vector, a few hundred rows at a time, and embeds again only what a statistical
validator doubts. `reembed` also embeds a sample: mostly the rows whose vectors fit their text least, some at random;
it goes on for as long as it finds something. Nothing is written here (`marks`), nothing is repaired.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from time import process_time
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resources.chunking.base import embedding_input
from resources.corpus import Corpus
from resources.embedding.encoder import load_encoder
from resources.embedding.identity import ModelIdentity, model_identity
from resources.embedding.tokenizer import load_tokenizer
from resources.errors import ModelError
from resources.observability.progress import track
from resources.reconciliation.audit.block import COLUMNS, ROWS, Block
from resources.reconciliation.audit.calibrate import fit
from resources.reconciliation.audit.calibration import Calibration, calibration_of
from resources.reconciliation.audit.catalogue import vector_validators
from resources.reconciliation.audit.inquiry import SAMPLED, Finding, Inquiry
from resources.reconciliation.audit.proof import Evidence, Witness
from resources.reconciliation.audit.summary import Summary
from resources.reconciliation.audit.text import TextProbe
from resources.reconciliation.drift import DriftIssue, Severity
from resources.reconciliation.vectors import grouped
from resources.store.snapshots import Manifest
from resources.store.tables import CHUNKS, Table, token_embeddings

Depth = Literal["checksum", "reembed"]
SAMPLE = 0.02
READ_ROWS = 2048


@dataclass
class Place:
    """A version of a token_embeddings table, whom it serves, and what was found there.

    `doubted` counts, per statistical validator, the rows that it doubted; `seconds` is the processor time of each step.
    """

    where: Literal["candidate", "live", "both"]
    table: Table
    version: int
    chunks_version: int
    model: ModelIdentity
    rows: int = 0
    tokens: int = 0
    embedded: int = 0
    embedded_tokens: int = 0
    findings: dict[str, Finding] = field(default_factory=dict)
    doubted: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))


@dataclass(frozen=True)
class Audit:
    """What was looked at and what is bad."""

    depth: Depth
    places: tuple[Place, ...]
    live: Manifest | None

    @property
    def issues(self) -> list[DriftIssue]:
        """What is bad, as drift, the worst first: critical where live serves it."""
        return self.drift()

    def drift(self, *, sampled: bool | None = None, known: Container[str] = ()) -> list[DriftIssue]:
        """Return the issues, only those that the sample of `reembed` found or did not, without the `known` chunks."""
        candidate, live = (
            {
                key: one
                for place in self.places
                if place.where in (where, "both")
                for key, one in place.findings.items()
                if sampled in (None, one.validator == SAMPLED) and key not in known
            }
            for where in ("candidate", "live")
        )
        names = [{key: one.drift for key, one in found.items()} for found in (candidate, live)]
        issues = []
        for bad in grouped(*names):
            severity = Severity.CRITICAL if bad.where != "candidate" else candidate[bad.ids[0]].severity
            issues.append(
                DriftIssue(bad.drift, severity, bad.where, len(bad.ids), tuple(bad.ids), bad.action, bad.description)
            )
        return sorted(issues, key=lambda issue: -issue.severity)


def audit(corpus: Corpus, depth: Depth = "checksum", *, sample: float = SAMPLE, seed: int | None = None) -> Audit:
    """Audit the vectors of candidate and live, each version once.

    `sample` is the share of all tokens that `reembed` may embed again while it finds nothing; `seed` fixes which rows
    are drawn at random. Raises StoreError when a table cannot be read, ModelError when live's model is not to be had.
    """
    draw = random.Random(seed)
    live = corpus.store.snapshots.live()
    found = _places(corpus, live)
    for place in found:
        _Look(corpus, place, depth, sample, draw).run()
    return Audit(depth, tuple(found), live)


def _places(corpus: Corpus, live: Manifest | None) -> list[Place]:
    store = corpus.store
    newest = store.version(corpus.embeddings)
    places = [Place("candidate", corpus.embeddings, newest, store.version(CHUNKS), corpus.model)] if newest else []
    if live is None or not live.embeddings_version:
        return places
    table = token_embeddings(live.model_fingerprint, live.dimension)
    if places and (table.name, live.embeddings_version) == (corpus.embeddings.name, newest):
        places[0].where = "both"
        return places
    model = corpus.model if live.model_fingerprint == corpus.model.fingerprint else model_identity(live.model)
    if model.fingerprint != live.model_fingerprint:
        raise ModelError(
            f"corpus {corpus.name}: snapshot {live.number} was embedded by another version of {live.model} than the "
            "one installed, so its vectors cannot be audited; restore that model, or materialise the corpus again"
        )
    return [*places, Place("live", table, live.embeddings_version, live.chunks_version, model)]


class _Look:
    """One audit of one place."""

    def __init__(self, corpus: Corpus, place: Place, depth: Depth, sample: float, draw: random.Random) -> None:
        self.corpus, self.place, self.depth, self.sample = corpus, place, depth, sample
        self.calibration: Calibration = calibration_of(
            place.model, corpus.store.audits, lambda: fit(load_encoder(place.model.name))
        )
        self.chunks = corpus.store.rows(CHUNKS, ("chunk_id", "tokens"), version=place.chunks_version)
        self.inquiry = Inquiry(self._embed_again, lambda one: self._tokens[one], draw)
        place.findings, place.doubted = self.inquiry.findings, self.inquiry.doubted
        self.texts: dict[str, str] = {}
        self.tokenizer = load_tokenizer(place.model.name)

    def run(self) -> None:
        """Read everything, then settle what is doubted, then sample."""
        summary = Summary(self.calibration)
        scores: list[np.ndarray] = []
        probe = TextProbe.of(self.place.model, self.calibration) if self.depth == "reembed" else None
        with track(f"audit of {self.place.where} vectors", self.chunks.num_rows) as progress:
            for block in self._blocks():
                self._judge(block)
                summary.add(block)
                if probe is not None:
                    scores.append(self._fit(block, probe))
                progress.advance(len(block))
        self._judge_whole(summary)
        self.inquiry.settle()
        if probe is not None and len(summary):
            budget = self.sample * self.place.tokens
            self.inquiry.sample(summary.ids.to_pylist(), np.concatenate(scores), budget)

    def _blocks(self) -> Iterator[Block]:
        ids, tokens = self.chunks["chunk_id"].combine_chunks(), self.chunks["tokens"].to_numpy()
        started = process_time()
        for batch in _gathered(self.corpus.store.batches(self.place.table, COLUMNS, version=self.place.version)):
            at = pc.index_in(batch.column("chunk_id"), ids)
            known = batch.filter(pc.is_valid(at))
            expected = tokens[at.drop_null().to_numpy()]
            self.place.seconds["read"] += process_time() - started
            if self.depth == "reembed":
                self._read_texts(known.column("chunk_id").to_pylist())
            for start in range(0, known.num_rows, ROWS):
                rows = known.slice(start, ROWS)
                yield Block(rows, expected[start : start + ROWS], self.place.model)
                self.place.rows += rows.num_rows
                self.place.tokens += int(expected[start : start + ROWS].sum())
            started = process_time()

    def _judge(self, block: Block) -> None:
        started = process_time()
        if block.shaped.any():
            _ = block.token_norms, block.token_means, block.norms
        self.place.seconds["decode"] += process_time() - started
        for one in vector_validators():
            if not one.table:
                started = process_time()
                self.inquiry.note(one, [block.ids[row] for row in np.flatnonzero(one.judge(block, self.calibration))])
                self.place.seconds[one.name] += process_time() - started

    def _judge_whole(self, summary: Summary) -> None:
        for one in vector_validators():
            if one.table and len(summary):
                started = process_time()
                rows = np.flatnonzero(one.judge(summary, self.calibration))
                self.inquiry.note(one, summary.ids.take(pa.array(rows)).to_pylist() if len(rows) else [])
                self.place.seconds[one.name] += process_time() - started

    def _embed_again(self, chunk_ids: Sequence[str]) -> list[Evidence]:
        started = process_time()
        evidence = self._witness.examine(chunk_ids)
        self.place.seconds["embed again"] += process_time() - started
        self.place.embedded += len(chunk_ids)
        self.place.embedded_tokens += sum(self._tokens[one] for one in chunk_ids)
        return evidence

    @cached_property
    def _witness(self) -> Witness:
        place = self.place
        encoder = self.corpus.encoder if place.model == self.corpus.model else load_encoder(place.model.name)
        return Witness(self.corpus, encoder, self.calibration, place.table, place.version, place.chunks_version)

    @cached_property
    def _tokens(self) -> dict[str, int]:
        return dict(zip(self.chunks["chunk_id"].to_pylist(), self.chunks["tokens"].to_pylist(), strict=True))

    def _fit(self, block: Block, probe: TextProbe) -> np.ndarray:
        """Return how well each row's token vectors fit its text."""
        started = process_time()
        ids = self.tokenizer.ids([self.texts[one] for one in block.ids])
        scores = probe.scores(block, ids)
        self.place.seconds["text probe"] += process_time() - started
        return scores

    def _read_texts(self, chunk_ids: list[str]) -> None:
        """Read the texts of one batch, all at once: reading few rows at random costs nearly as much as many."""
        started = process_time()
        columns = ("chunk_id", "heading", "text")
        rows = self.corpus.store.take(CHUNKS, columns, chunk_ids, version=self.place.chunks_version)
        pairs = zip(rows["chunk_id"].to_pylist(), rows["heading"].to_pylist(), rows["text"].to_pylist(), strict=True)
        self.texts = {chunk_id: embedding_input(heading, text) for chunk_id, heading, text in pairs}
        self.place.seconds["read texts"] += process_time() - started


def _gathered(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Join small batches, of which a table that was written in many small commits has many."""
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        waiting.append(batch)
        if sum(one.num_rows for one in waiting) >= READ_ROWS:
            yield pa.concat_batches(waiting)
            waiting = []
    if waiting:
        yield pa.concat_batches(waiting)
