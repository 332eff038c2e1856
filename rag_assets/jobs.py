"""The jobs that people and schedules start: named selections of assets, nothing else."""

import dagster as dg

from rag_assets.partitions import CORPUS

search_ready = dg.define_asset_job(
    "search_ready",
    selection=dg.AssetSelection.all(),
    partitions_def=CORPUS,
    description="Carry a corpus from its sources to a published snapshot; does nothing where nothing differs.",
)
