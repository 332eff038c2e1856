"""Retrieval metrics per query, through the `ir_measures` library (trec_eval's definitions).

No retrieval happens here.
"""

from collections.abc import Mapping, Sequence

import ir_measures
from ir_measures import RR, P, R, nDCG

MEASURES = {"ndcg@10": nDCG @ 10, "mrr@10": RR @ 10, "recall@100": R @ 100, "p@5": P @ 5}
DEPTH = 100

Judgments = Mapping[str, Mapping[str, int]]
Rankings = Mapping[str, Sequence[str]]


def per_query(judgments: Judgments, rankings: Rankings) -> dict[str, dict[str, float]]:
    """Return each judged query's metrics by name, 0 … 1.

    `judgments`: grade by document id by query id; grade 1 and up is relevant, and nDCG takes the grade as gain.
    `rankings`: distinct document ids, best first, by query id; a query without one scores 0 throughout.
    """
    scores = {query: dict.fromkeys(MEASURES, 0.0) for query in judgments}
    run = {
        query: {document: -float(rank) for rank, document in enumerate(rankings.get(query, ()))} for query in judgments
    }
    qrels = {query: dict(grades) for query, grades in judgments.items()}
    names = {str(measure): name for name, measure in MEASURES.items()}
    for found in ir_measures.iter_calc(list(MEASURES.values()), qrels, run):
        scores[found.query_id][names[str(found.measure)]] = float(found.value)
    return scores


def means(scores: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of each metric over the queries; 0 when there are none."""
    return {name: sum(one[name] for one in scores.values()) / max(len(scores), 1) for name in MEASURES}
