"""The evaluation as one HTML file that needs nothing else: what it shows, and in which order.

The look is the template's.

Not here: the figures (`outcome`) and how a plot is drawn (`plots`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from resources.evaluation.gate import bootstrap_interval
from resources.evaluation.metrics import MEASURES
from resources.evaluation.outcome import Evaluation
from resources.evaluation.plots import histograms, latency_strips, metric_bars
from resources.evaluation.ragas_metrics import NAMES

MAIN = "hybrid"
SHOWN = 10
LABELS = {
    "ndcg@10": "nDCG@10",
    "mrr@10": "MRR@10",
    "recall@100": "R@100",
    "p@5": "P@5",
    "ragas_id_precision": "id precision",
    "ragas_id_recall": "id recall",
    "ragas_text_precision": "text precision",
    "ragas_text_recall": "text recall",
}

Rows = Mapping[str, Mapping[str, Mapping[str, Any]]]


def render(evaluation: Evaluation, live: Evaluation | None) -> str:
    """Return the page; with `live`, its figures stand beside the candidate's."""
    means = {name: {LABELS[one]: values[one] for one in MEASURES} for name, values in evaluation.means.items()}
    rows = _by_pipeline(evaluation)
    main = MAIN if MAIN in means else next(iter(means), "")
    ragas = {
        name: {LABELS[one]: values[one] for one in NAMES}
        for name, values in evaluation.means.items()
        if all(one in values for one in NAMES)
    }
    plots = {}
    if evaluation.queries:
        ndcg = {name: [row["ndcg@10"] for row in of.values()] for name, of in rows.items()}
        plots = {
            "metrics": Markup(metric_bars(means, list(next(iter(means.values()))))),
            "distribution": Markup(histograms(ndcg, "nDCG@10 of a query")),
            "latency": Markup(latency_strips(evaluation.latencies)),
        }
        if ragas:
            plots["ragas"] = Markup(metric_bars(ragas, list(next(iter(ragas.values())))))
    environment = Environment(
        loader=PackageLoader("resources.evaluation"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("report.html.j2").render(
        evaluation=evaluation,
        main=main,
        means=means,
        ragas=ragas,
        plots=plots,
        worst=_worst(rows, main),
        comparison=_comparison(rows, _by_pipeline(live)) if live else [],
        changed=_changed(rows, _by_pipeline(live), main) if live else [],
    )


def _by_pipeline(evaluation: Evaluation) -> Rows:
    """Return the per-query rows by pipeline and query id."""
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in evaluation.per_query.to_pylist():
        found.setdefault(row["pipeline"], {})[row["query_id"]] = row
    return found


def _worst(rows: Rows, main: str) -> list[dict[str, Any]]:
    """Return the queries that `main` answers worst, with every pipeline's nDCG and the rank of the first relevant."""
    lowest = sorted(rows.get(main, {}).values(), key=lambda row: (row["ndcg@10"], row["mrr@10"], row["query_id"]))
    return [
        {
            "row": row,
            "ndcg": {name: of[row["query_id"]]["ndcg@10"] for name, of in rows.items()},
            "rank": _first_rank(row["retrieved"], row["relevant"]),
        }
        for row in lowest[:SHOWN]
    ]


def _first_rank(retrieved: Sequence[str], relevant: Sequence[str]) -> int | None:
    wanted = set(relevant)
    return next((rank for rank, document in enumerate(retrieved, 1) if document in wanted), None)


def _comparison(rows: Rows, live: Rows) -> list[dict[str, Any]]:
    """Return, per pipeline and metric, both means over the queries that both were asked, and the paired difference."""
    lines = []
    for name in rows:
        shared = sorted(set(rows[name]) & set(live.get(name, {})))
        for metric in MEASURES if shared else ():
            new, old = (np.array([side[name][query][metric] for query in shared]) for side in (rows, live))
            lines.append(
                {
                    "pipeline": name,
                    "metric": LABELS[metric],
                    "queries": len(shared),
                    "candidate": float(new.mean()),
                    "live": float(old.mean()),
                    "difference": float((new - old).mean()),
                    "interval": bootstrap_interval(new - old),
                }
            )
    return lines


def _changed(rows: Rows, live: Rows, main: str) -> list[dict[str, Any]]:
    """Return the queries whose nDCG@10 moved most against live."""
    moved = [
        {"row": row, "live": old["ndcg@10"], "difference": row["ndcg@10"] - old["ndcg@10"]}
        for query, row in rows.get(main, {}).items()
        if (old := live.get(main, {}).get(query)) and row["ndcg@10"] != old["ndcg@10"]
    ]
    return sorted(moved, key=lambda one: (-abs(one["difference"]), one["row"]["query_id"]))[:SHOWN]
