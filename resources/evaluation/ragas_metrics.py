"""RAGAS' own context precision and recall, those that need no language model, computed by the `ragas` package itself.

The package is an extra, because importing it takes seconds and it holds other packages at old versions; without it the
answer is a note that says how to install it. Its telemetry is switched off.

Source: Es, James, Espinosa-Anke and Schockaert, "RAGAS: Automated Evaluation of Retrieval Augmented Generation" (2023).
"""

import asyncio
import importlib.util
import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

from resources.identity import digest

PACKAGES = ("ragas", "langchain_community", "rapidfuzz")
SCORES_KEPT = 4096
NAMES = ("ragas_id_precision", "ragas_id_recall", "ragas_text_precision", "ragas_text_recall")

_SCORES: dict[str, list[float]] = {}


@dataclass(frozen=True)
class Contexts:
    """What one query retrieved and what it should have: ids of documents, and texts of passages, best first."""

    retrieved_ids: Sequence[str]
    relevant_ids: Sequence[str]
    retrieved_texts: Sequence[str]
    relevant_texts: Sequence[str]

    @property
    def key(self) -> str:
        """A digest of all of it: what is equal scores the same."""
        parts = (self.retrieved_ids, self.relevant_ids, self.retrieved_texts, self.relevant_texts)
        return digest("contexts", *(text for part in parts for text in (str(len(part)), *part)))


@dataclass(frozen=True)
class RagasFigures:
    """Means by name over `queries` queries; none of them, and a note that says why, when `ragas` cannot be used."""

    queries: int
    note: str = ""
    means: dict[str, float] = field(default_factory=dict)


def unavailable() -> str:
    """Return which packages RAGAS lacks here and how to install them, or nothing. Imports none of them."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    return _note(f"not installed: {', '.join(missing)}") if missing else ""


def measure(contexts: Sequence[Contexts]) -> RagasFigures:
    """Return the mean of each RAGAS metric, 0 … 1.

    `ragas_id_precision`: retrieved documents that are relevant; `ragas_id_recall`: relevant documents retrieved
    (`IDBasedContextPrecision`, `IDBasedContextRecall`). `ragas_text_precision`: mean precision at the retrieved
    passages that read like a relevant one; `ragas_text_recall`: relevant passages that a retrieved one reads like
    (`NonLLMContextPrecisionWithReference`, `NonLLMContextRecall`: Levenshtein similarity of at least 0.5). A query
    that retrieved nothing counts as 0, where RAGAS would return no number.
    """
    note = unavailable()
    if note or not contexts:
        return RagasFigures(0, note)
    os.environ["RAGAS_DO_NOT_TRACK"] = "true"
    keys = [one.key for one in contexts]
    new = {key: one for key, one in zip(keys, contexts, strict=True) if key not in _SCORES}
    try:
        scores = asyncio.run(_score(list(new.values())))
    except ImportError as error:  # an installed package may still not fit the others
        return RagasFigures(0, _note(str(error)))
    known = _SCORES | dict(zip(new, scores, strict=True))
    _remember(known)
    rows = [known[key] for key in keys]
    columns = zip(*rows, strict=True)
    return RagasFigures(len(rows), "", {name: sum(one) / len(rows) for name, one in zip(NAMES, columns, strict=True)})


def _remember(scores: dict[str, list[float]]) -> None:
    """Keep the newest scores: from one snapshot to the next, most queries find the same passages."""
    for key in list(scores)[:-SCORES_KEPT]:
        del scores[key]
    _SCORES.clear()
    _SCORES.update(scores)


async def _score(contexts: Sequence[Contexts]) -> list[list[float]]:
    from ragas import SingleTurnSample

    with warnings.catch_warnings():
        # Their announced new home, ragas.metrics.collections, does not have these four yet.
        warnings.simplefilter("ignore", DeprecationWarning)
        from ragas.metrics import (
            IDBasedContextPrecision,
            IDBasedContextRecall,
            NonLLMContextPrecisionWithReference,
            NonLLMContextRecall,
        )
    metrics = (
        IDBasedContextPrecision(),
        IDBasedContextRecall(),
        NonLLMContextPrecisionWithReference(),
        NonLLMContextRecall(),
    )
    rows = []
    for one in contexts:
        if not one.retrieved_ids or not one.retrieved_texts:
            rows.append([0.0] * len(metrics))
            continue
        sample = SingleTurnSample(
            retrieved_context_ids=list(one.retrieved_ids),
            reference_context_ids=list(one.relevant_ids),
            retrieved_contexts=list(one.retrieved_texts),
            reference_contexts=list(one.relevant_texts),
        )
        scores = [float(await metric.single_turn_ascore(sample)) for metric in metrics]
        rows.append([0.0 if math.isnan(score) else score for score in scores])
    return rows


def _note(reason: str) -> str:
    return f"RAGAS context precision and recall were left out ({reason}). Install: pip install 'rag-assets[ragas]'"
