"""The audit of a foreign table: every row is read at every depth, which decides how much is embedded again.

`scan`: nothing, `checksum`: what a statistical validator doubts, `reembed`: also the rows that fit their texts least,
and some at random. Vectors are judged by the validators of our own tables, as far as those need no more than a pooled
vector. Without a model, what only a model can tell is said to be unknown, never guessed.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import numpy as np
import pyarrow as pa

from resources.adoption.fit import FEWEST, TextFit
from resources.adoption.proof import ForeignWitness, row_digest
from resources.adoption.rows import Rows
from resources.adoption.table import ForeignTable, Roles
from resources.adoption.unknown import unknown_calibration, unknown_model
from resources.embedding.checkpoint import DEFAULT_MODEL
from resources.embedding.encoder import load_encoder
from resources.embedding.identity import ModelIdentity, model_identity
from resources.embedding.tokenizer import load_tokenizer
from resources.identity import digest
from resources.observability.progress import track
from resources.reconciliation.audit.block import ROWS, Block
from resources.reconciliation.audit.calibrate import fit as fit_calibration
from resources.reconciliation.audit.calibration import Calibration, calibration_of
from resources.reconciliation.audit.catalogue import vector_validators
from resources.reconciliation.audit.inquiry import Finding, Inquiry
from resources.reconciliation.audit.summary import Summary
from resources.reconciliation.drift import Depth, DriftIssue, Severity, holds, issue
from resources.reconciliation.vectors import BadVectors

SAMPLE = 0.02
FEWEST_EMBEDDED = 128
OUTLIER = 3.5
STALE = "{n} rows have the vector of another text than theirs"
OVERLONG = "{n} rows have texts longer than the model reads: nobody finds what their ends say"
DOUBTFUL = "{n} rows have vectors that fit their texts far less than the others do; only the model (--model) can tell"


@dataclass(frozen=True)
class Look:
    """What was read, what is wrong with it, and in `notes` what else was learned or could not be judged.

    `proven`: what embedding again proved, drift type → key → digest of the row.
    """

    rows: int
    documents: int
    issues: tuple[DriftIssue, ...]
    notes: tuple[str, ...]
    embedded: int
    seconds: float
    proven: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Whether nothing worse than LOW was found."""
        return holds(self.issues)


def look(
    table: ForeignTable,
    roles: Roles,
    *,
    model: str | None,
    dimension: int,
    audits: Path,
    depth: Depth = "scan",
    documents: str | None = None,
    proven: Mapping[str, Mapping[str, str]] | None = None,
    seed: int | None = None,
) -> Look:
    """Audit a table; nothing is written but a calibration in `audits`, for a model that has none yet.

    `dimension` is the table's, for when the model is not known; `documents` names the documents' own table;
    `proven` is what an earlier look proved, and holds for rows that are still the same. Raises AdoptionError, or
    ModelError when the model is not to be had.
    """
    return _Look(table, roles, model, dimension, audits, depth, proven or {}, random.Random(seed)).run(documents)


class _Look:
    def __init__(
        self,
        table: ForeignTable,
        roles: Roles,
        model: str | None,
        dimension: int,
        audits: Path,
        depth: Depth,
        proven: Mapping[str, Mapping[str, str]],
        draw: random.Random,
    ) -> None:
        self.table, self.roles, self.depth = table, roles, depth
        self.model: ModelIdentity | None = None
        self.calibration = unknown_calibration(dimension)
        if model:
            self.model, self.calibration = _known(model, audits)
        self.identity = self.model or unknown_model(dimension)
        self.remembered = {key: (drift, one) for drift, rows in proven.items() for key, one in rows.items()}
        self.witness = (
            ForeignWitness(table, roles, load_encoder(self.model.name), self.calibration)
            if self.model and depth != "scan"
            else None
        )
        self.inquiry = Inquiry(self.witness.examine if self.witness else lambda _: [], lambda _: 1, draw)
        self.rows, self.summary = Rows(roles), Summary(self.calibration)
        self.fit = self._text_fit() if depth == "reembed" else None
        self.overlong: list[str] = []
        self.notes: list[str] = []

    def run(self, documents: str | None) -> Look:
        """Read everything, settle what is doubted, then sample."""
        started = perf_counter()
        with track(f"audit of {self.table.name}", self.table.count()) as progress:
            for batch in self.table.scan(self.roles, ROWS):
                self.rows.add(batch)
                self._judge(batch)
                progress.advance(batch.num_rows)
        self._judge_whole()
        doubtful = self._sample() if self.fit is not None and self.fit.rows >= FEWEST else []
        self._say_what_is_unknown()
        named = self.table.document_ids(documents, ROWS) if documents else None
        found = [*self.rows.issues(named), *self._vector_issues(), *_noted(self.overlong, doubtful)]
        return Look(
            len(self.rows),
            self.rows.distinct_documents(),
            tuple(sorted(found, key=lambda one: (-one.severity, one.type))),
            tuple(self.notes),
            self.witness.embedded if self.witness else 0,
            perf_counter() - started,
            self._proven(),
        )

    def _judge(self, batch: pa.RecordBatch) -> None:
        for block in _blocks(batch, self.identity):
            for one in vector_validators():
                if one.exact and not one.table and not one.whole_row:
                    bad = np.flatnonzero(one.judge(block, self.calibration))
                    self.inquiry.note(one, [block.ids[row] for row in bad])
            judged = block.pooled.shape[1] == self.identity.dimension
            if judged and (usable := [row for row in range(len(block)) if self._is_usable(block, row)]):
                part = Block(block.rows.take(pa.array(usable)), block.expected[usable], self.identity)
                self._recall(part)
                self.summary.add(part)
                if self.fit is not None:
                    tokens = self.fit.add(part.rows.column("text").to_pylist(), part.pooled)
                    if self.model is not None:
                        self.overlong += [part.ids[row] for row in np.flatnonzero(tokens > self.model.max_tokens)]

    def _is_usable(self, block: Block, row: int) -> bool:
        return bool(block.rows.column("text")[row].as_py()) and block.ids[row] not in self.inquiry.findings

    def _recall(self, block: Block) -> None:
        """Take over what an earlier look proved of rows that are still the same."""
        for row, key in enumerate(block.ids):
            if key in self.remembered:
                drift, one = self.remembered[key]
                if one == row_digest(block.rows.column("text")[row].as_py(), block.pooled[row]):
                    reason = "proven when it was looked at deeper"
                    self.inquiry.findings[key] = Finding(key, drift, "remembered", reason)

    def _judge_whole(self) -> None:
        for one in vector_validators():
            if one.table and len(self.summary):
                at = np.flatnonzero(one.judge(self.summary, self.calibration))
                self.inquiry.note(one, self.summary.ids.take(pa.array(at)).to_pylist() if len(at) else [])
        if self.witness is not None:
            self.inquiry.settle()
        elif self.model is None:
            # That rows of several texts share a vector to the byte is plain to see, whoever made it.
            for key, by in self.inquiry.doubts.items():
                if by.name == "repeated":
                    self.inquiry.findings[key] = Finding(key, by.drift, by.name, by.description)

    def _sample(self) -> list[str]:
        """Score every row in a second pass; embed the lowest again or, without a model, return the outliers."""
        assert self.fit is not None
        keys: list[str] = []
        scores: list[np.ndarray] = []
        for batch in self.table.scan(self.roles, ROWS):
            for block in _blocks(batch, self.identity):
                if block.pooled.shape[1] == self.identity.dimension:
                    usable = [row for row in range(len(block)) if self._is_usable(block, row)]
                    if usable:
                        texts = block.rows.column("text").take(pa.array(usable)).to_pylist()
                        keys += [block.ids[row] for row in usable]
                        scores.append(self.fit.scores(texts, block.pooled[usable]))
        if not keys:
            return []
        every = np.concatenate(scores)
        if self.witness is not None:
            self.inquiry.sample(keys, every, max(FEWEST_EMBEDDED, SAMPLE * len(keys)))
            return []
        middle = np.median(every)
        deviation = np.median(np.abs(every - middle))
        return [keys[at] for at in np.flatnonzero(0.6745 * (middle - every) > OUTLIER * deviation)]

    def _text_fit(self) -> TextFit:
        words = self.model or model_identity(DEFAULT_MODEL)
        return TextFit(words, load_tokenizer(words.name), self.identity.dimension)

    def _vector_issues(self) -> Iterator[DriftIssue]:
        found: dict[str, list[str]] = {}
        for key, finding in self.inquiry.findings.items():
            found.setdefault(finding.drift, []).append(key)
        for drift, keys in sorted(found.items()):
            bad = BadVectors(drift, "live", sorted(keys))
            what = STALE if drift == "stale_embeddings" else bad.description.replace("chunk", "row")
            yield from issue(drift, Severity.CRITICAL, "live", bad.ids, "embed", what)

    def _say_what_is_unknown(self) -> None:
        if self.model is None:
            self.notes.append(
                f"the model is not known ({self.identity.dimension} dimensions): whether vectors are mock, stale or "
                "of another model is not judged; name it with --model"
            )
        elif self.depth != "reembed":
            self.notes.append(
                "plausible vectors of other texts are found by --depth reembed alone"
                if self.depth == "checksum"
                else "rows are embedded again by --depth checksum and reembed alone; what they proved is remembered"
            )
        if self.rows.has_hashes() is False:
            self.notes.append(f"{self.roles['hash']} is not the hash of the text alone, so it is not judged")

    def _proven(self) -> dict[str, dict[str, str]]:
        digests = self.witness.proven if self.witness else {}
        proven: dict[str, dict[str, str]] = {}
        for key, one in digests.items():
            proven.setdefault(self.inquiry.findings[key].drift, {})[key] = one
        return proven


def _known(model: str, audits: Path) -> tuple[ModelIdentity, Calibration]:
    identity = model_identity(model)
    return identity, calibration_of(identity, audits, lambda: fit_calibration(load_encoder(model)))


def _blocks(batch: pa.RecordBatch, identity: ModelIdentity) -> Iterator[Block]:
    """Yield the rows that have a vector, as blocks of one dimension each, in the form of our own tables."""
    lengths = np.array([len(one) if one.is_valid else -1 for one in batch.column("vector")])
    for length in np.unique(lengths[lengths >= 0]):
        rows = batch.take(pa.array(np.flatnonzero(lengths == length)))
        texts: Sequence[str | None] = rows.column("text").to_pylist()
        blank = np.zeros(len(rows), np.int32)
        columns = {
            "chunk_id": rows.column("key"),
            "text_hash": pa.array([digest(text or "") for text in texts], pa.string()),
            "fingerprint": pa.array([identity.fingerprint] * len(rows), pa.string()),
            "n_tokens": pa.array(blank),
            "tokens": pa.array([b""] * len(rows), pa.binary()),
            "pooled": rows.column("vector"),
            "checksum": pa.nulls(len(rows), pa.string()),
            "text": pa.array([text and text.strip() and text for text in texts], pa.large_string()),
        }
        yield Block(pa.record_batch(columns), blank, identity)


def _noted(overlong: Sequence[str], doubtful: Sequence[str]) -> Iterator[DriftIssue]:
    yield from issue("overlong_texts", Severity.LOW, "live", overlong, "chunk", OVERLONG)
    yield from issue("doubtful_vectors", Severity.LOW, "live", doubtful, "by you: name the model", DOUBTFUL)
