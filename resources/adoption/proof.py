"""The proof for foreign rows: which model made them, and whether a row's vector is its text's.

A foreign table has pooled vectors alone, and whoever wrote them cut texts that were too long, as sentence-transformers
does; so the texts are cut here too.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from resources.adoption.table import ForeignTable, Roles
from resources.embedding.encoder import Encoder
from resources.identity import digest
from resources.reconciliation.audit.calibration import Calibration, cosines, rare_share
from resources.reconciliation.audit.proof import IMPLAUSIBLE, SAME_POOLED, Evidence

TRIED = 24
MOST = 0.5
FEWEST_TO_COMPARE = 12
ALIKE = 0.35


@dataclass(frozen=True)
class Recognition:
    """How many of the rows that were tried a model embeds to the same vectors; `median`: the middle cosine."""

    tried: int
    same: int
    median: float

    @property
    def is_sure(self) -> bool:
        """Whether the table is this model's. One row cannot match by accident; that most do makes it the table's."""
        return self.tried > 0 and self.same >= MOST * self.tried


def recognise(rows: pa.RecordBatch, encoder: Encoder) -> Recognition:
    """Embed up to `TRIED` rows with text and a vector of the model's dimension."""
    usable = _usable(rows, encoder.identity.dimension)
    spread: np.ndarray | list[int] = np.unique(np.linspace(0, len(usable) - 1, TRIED).astype(int)) if usable else []
    chosen = [usable[int(at)] for at in spread]
    if not chosen:
        return Recognition(0, 0, 0.0)
    fresh = encoder.encode_queries([text for _, text, _ in chosen]).pooled
    alike = cosines(np.stack([vector for _, _, vector in chosen]), fresh)
    return Recognition(len(chosen), int((alike >= SAME_POOLED).sum()), float(np.median(alike)))


class ForeignWitness:
    """Embeds rows of a foreign table again. `proven`: key → digest of the text and vector that were found bad."""

    def __init__(self, table: ForeignTable, roles: Roles, encoder: Encoder, calibration: Calibration) -> None:
        self._table, self._roles, self._encoder, self._calibration = table, roles, encoder, calibration
        self.embedded = 0
        self.proven: dict[str, str] = {}

    def examine(self, keys: Sequence[str]) -> list[Evidence]:
        """Embed these rows and compare; those without text or vector are left out."""
        rows = _usable(self._table.take(self._roles, keys), self._encoder.identity.dimension)
        if not rows:
            return []
        fresh = self._encoder.encode_queries([text for _, text, _ in rows]).pooled
        stored = np.stack([vector for _, _, vector in rows])
        self.embedded += len(rows)
        own = cosines(stored, fresh)
        plausible = rare_share(stored, self._calibration) <= IMPLAUSIBLE * np.median(
            rare_share(fresh, self._calibration)
        )
        unit = stored / np.linalg.norm(stored, axis=1, keepdims=True)
        others = (unit @ (fresh / np.linalg.norm(fresh, axis=1, keepdims=True)).T).max(axis=1)
        odd = np.flatnonzero(~(own >= SAME_POOLED) & ~plausible)
        foreign = set(odd[_same_similarities(stored[odd], fresh[odd])])
        evidence = []
        for at, (key, text, vector) in enumerate(rows):
            drift = None
            if not own[at] >= SAME_POOLED:
                swapped = "shuffled_vectors" if others[at] >= SAME_POOLED else "stale_embeddings"
                drift = swapped if plausible[at] else "foreign_model_vectors" if at in foreign else "mock_vectors"
                self.proven[key] = row_digest(text, vector)
            evidence.append(Evidence(key, drift, float(own[at])))
        return evidence


def _same_similarities(stored: np.ndarray, fresh: np.ndarray) -> np.ndarray:
    """Tell another model's vectors from no model's: whether a row's similarities to the others rank as its text's do.

    Vectors of two models cannot be compared, their similarities can (Kriegeskorte, Mur and Bandettini,
    "Representational similarity analysis", Frontiers in Systems Neuroscience, 2008). Few rows tell nothing: False.
    """
    count = len(stored)
    if count < FEWEST_TO_COMPARE:
        return np.zeros(count, bool)
    rows = []
    for vectors in (stored, fresh):
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        alike = (unit @ unit.T)[~np.eye(count, dtype=bool)].reshape(count, count - 1)
        ranks = alike.argsort(axis=1).argsort(axis=1).astype(np.float32)
        rows.append(ranks - ranks.mean())
    same: np.ndarray = cosines(*rows) > max(ALIKE, 3 / np.sqrt(count - 1))
    return same


def row_digest(text: str, vector: np.ndarray) -> str:
    """Return what a finding is remembered by: it holds for as long as text and vector are these."""
    return digest("foreign row", text, np.ascontiguousarray(vector, np.float32).tobytes())


def _usable(rows: pa.RecordBatch, dimension: int) -> list[tuple[str, str, np.ndarray]]:
    found = []
    columns = (rows.column(name) for name in ("key", "text", "vector"))
    for key, text, vector in zip(*columns, strict=True):
        if text.is_valid and text.as_py().strip() and vector.is_valid and len(vector) == dimension:
            numbers = vector.values.to_numpy()
            if np.isfinite(numbers).all() and numbers.any():
                found.append((key.as_py(), text.as_py(), numbers))
    return found
