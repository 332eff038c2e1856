"""Keeps Dagster's own freshness honest: an asset that needs no materialisation is not late.

Dagster calls an asset fresh when it was materialised lately, but a corpus that agrees with its sources is never
materialised again. So when every corpus was found to agree, the newest materialisation of each asset is said once more,
with its version and figures and without a run, twice in the strictest `freshness.warn`. Not here: how fresh one corpus
is (`resources.reconciliation.freshness`).
"""

from datetime import UTC, datetime

import dagster as dg

from resources.settings import Settings
from sensors.graph import ASSETS, asset_key


def is_due(settings: Settings, confirmed: datetime | None, now: datetime) -> bool:
    """Whether the last confirmation is half of the strictest `freshness.warn` ago."""
    return confirmed is None or now - confirmed >= settings.strictest_freshness.warn / 2


def confirmations(instance: dg.DagsterInstance, settings: Settings, now: datetime) -> list[dg.AssetMaterialization]:
    """Return what says once more that each asset is as it was last materialised, where that was long enough ago."""
    said = []
    for name in ASSETS:
        event = instance.get_latest_materialization_event(asset_key(settings, name))
        if event is None or event.asset_materialization is None:
            continue
        if is_due(settings, datetime.fromtimestamp(event.timestamp, UTC), now):
            last = event.asset_materialization
            said.append(
                dg.AssetMaterialization(
                    asset_key=last.asset_key,
                    partition=last.partition,
                    description="Every corpus was looked at, and nothing differs.",
                    metadata=last.metadata,
                    tags=last.tags,
                )
            )
    return said
