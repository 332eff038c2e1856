"""Whether a candidate answers well enough to replace live. Pure: no store, no retrieval.

It weighs additions and changes. Removals are never its business: both sides are scored on the documents that are still
desired, as if live had lost the others already. Nor does an addition earn credit: a query counts when both sides have a
document that answers it, and answers that only one side can have are left out of both. A new document that answers
nothing stays in, so that a flood of them is noticed.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from resources.errors import SettingsError
from resources.evaluation.metrics import MEASURES, per_query
from resources.sources.base import JudgedQuery

RESAMPLED_AT_A_TIME = 1 << 20
RESAMPLES = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class GateDecision:
    """`compared` queries had an answer on both sides, `excluded` ones have no gold document on both sides.

    `mean_difference`: candidate minus live, and `interval`: its 95 % confidence interval; None when nothing was
    compared.
    """

    publish: bool
    reason: str
    compared: int
    excluded: int
    mean_difference: float | None
    interval: tuple[float, float] | None


def gate(
    candidate: pa.Table,
    live: pa.Table | None,
    desired: Collection[str],
    served: Collection[str],
    judged: Sequence[JudgedQuery],
    *,
    allowed_drop: float,
    metric: str = "ndcg@10",
    pipeline: str = "hybrid",
) -> GateDecision:
    """Decide by the mean difference of `metric` over the queries that both sides were asked, pair by pair.

    `candidate`, `live`: per-query tables of an evaluation (`query_id`, `pipeline`, `retrieved`); None when nothing is
    live. `desired`: the ids of the documents that should be in the corpus, `served`: of
    those that live serves. `judged`: relevant documents by id. A drop
    of more than `allowed_drop` is held back. Raises SettingsError for an unknown metric.
    """
    if metric not in MEASURES:
        raise SettingsError(f"evaluation.metric: unknown metric {metric!r}; there are: {', '.join(MEASURES)}")
    if live is None:
        return GateDecision(True, "nothing is live yet, so there is nothing to compare with", 0, 0, None, None)
    common = set(desired).intersection(served)
    new, old = _retrieved(candidate, pipeline), _retrieved(live, pipeline)
    shared = [one for one in judged if one.query_id in new and one.query_id in old]
    gold = {one.query_id: {key: grade for key, grade in one.relevant.items() if grade > 0} for one in shared}
    judgments = {query: found for query in gold if (found := {k: g for k, g in gold[query].items() if k in common})}
    excluded = len(shared) - len(judgments)
    if not judgments:
        reason = f"no judged query can be compared with live for {pipeline} ({excluded} have no document on both sides)"
        return GateDecision(True, reason, 0, excluded, None, None)
    unfair = {query: set(gold[query]) - common for query in judgments}
    scores = [per_query(judgments, _without(side, unfair, set(desired))) for side in (new, old)]
    differences = np.array([scores[0][query][metric] - scores[1][query][metric] for query in judgments])
    mean = float(differences.mean())
    interval = bootstrap_interval(differences)
    publish = mean >= -allowed_drop
    reason = (
        f"{metric} of {pipeline} {'changes' if publish else 'falls'} by {mean:+.4f} ({interval[0]:+.4f} … "
        f"{interval[1]:+.4f}) over {len(judgments)} queries; a drop of {allowed_drop:g} is allowed"
    )
    return GateDecision(publish, reason, len(judgments), excluded, mean, interval)


def _without(side: Mapping[str, list[str]], unfair: Mapping[str, set[str]], desired: set[str]) -> dict[str, list[str]]:
    """Return the rankings without documents that are not desired any more, and answers that one side cannot have."""
    return {
        query: [one for one in side[query] if one in desired and one not in left_out]
        for query, left_out in unfair.items()
    }


def bootstrap_interval(differences: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return the 95 % percentile interval of the mean under resampling of the queries; the same for the same input.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13.
    """
    generator, count = np.random.default_rng(0), len(differences)
    at_a_time = max(1, RESAMPLED_AT_A_TIME // count)
    blocks = [min(at_a_time, RESAMPLES - start) for start in range(0, RESAMPLES, at_a_time)]
    means = np.concatenate([differences[generator.integers(0, count, (rows, count))].mean(axis=1) for rows in blocks])
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _retrieved(table: pa.Table, pipeline: str) -> Mapping[str, list[str]]:
    rows = table.filter(pc.equal(table["pipeline"], pipeline))
    return dict(zip(rows["query_id"].to_pylist(), rows["retrieved"].to_pylist(), strict=True))
