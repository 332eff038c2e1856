"""The evaluation of the candidate, before it is published."""

from rag_assets.assets.shapes import single
from resources.materialisation.report import make_report

ragas_report = single(
    "ragas_report",
    make_report,
    deps=["dense_index", "bm25_index"],
    description="nDCG@10, MRR@10, R@100, P@5 and RAGAS context precision and recall of every pipeline on the "
    "candidate, as table, JSON and HTML.",
    kinds={"python"},
    code_version="1",
)
