"""What an evaluation holds. Not here: how it comes about and where it is written (`report`)."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from resources.evaluation.metrics import MEASURES

PER_QUERY = pa.schema(
    [
        ("query_id", pa.string()),
        ("text", pa.string()),
        ("pipeline", pa.string()),
        *((name, pa.float64()) for name in MEASURES),
        ("relevant", pa.list_(pa.string())),
        ("retrieved", pa.list_(pa.string())),
    ]
)


@dataclass(frozen=True)
class Evaluation:
    """`per_query`: one row per query and pipeline, with the ids of the relevant and the 100 retrieved documents.

    `means`: by pipeline, each metric's mean, `latency_ms` (p50, p95) and, where RAGAS is installed, its four.
    `latencies`: milliseconds of single queries, encoding included, k = 10. `left_out`: queries that no document is
    relevant for.
    """

    queries: int
    left_out: int
    per_query: pa.Table
    means: dict[str, dict[str, Any]]
    latencies: dict[str, list[float]]
    ragas_queries: int
    ragas_note: str

    def as_json(self) -> dict[str, Any]:
        """Return the figures as plain values: `queries`, `pipelines` with their metrics, and how RAGAS went."""
        return {
            "queries": self.queries,
            "left_out": self.left_out,
            "pipelines": self.means,
            "ragas": {"queries": self.ragas_queries, "note": self.ragas_note},
        }
