"""Follows changes of one asset to those after it, as the assets' automation conditions say.

Not here: the condition itself, which the assets carry (`rag_assets.automation`).
"""

import dagster as dg

from resources.settings import Settings
from sensors.graph import ASSETS, asset_key, status


def propagation_sensor(settings: Settings) -> dg.SensorDefinition:
    """Return the sensor that evaluates the assets' automation conditions."""
    return dg.AutomationConditionSensorDefinition(
        "propagation",
        target=dg.AssetSelection.assets(*(asset_key(settings, name) for name in ASSETS)),
        minimum_interval_seconds=settings.automation.propagation.seconds,
        default_status=status(settings.automation.propagation.enabled),
        description="Materialises what comes after an asset that was materialised by hand and changed.",
    )
