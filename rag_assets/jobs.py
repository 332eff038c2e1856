"""The jobs that people and schedules start: named selections of assets, nothing else."""

import dagster as dg

from rag_assets.partitions import CORPUS
from sensors.graph import JOB

search_ready = dg.define_asset_job(
    JOB,
    selection=dg.AssetSelection.all(),
    partitions_def=CORPUS,
    description="Carry a corpus from its sources to a published snapshot; does nothing where nothing differs.",
)
