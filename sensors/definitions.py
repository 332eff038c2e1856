"""Every sensor of the code location, switched on or off and timed as the settings say."""

import dagster as dg

from resources.settings import Settings
from sensors.corpora import corpora_sensor
from sensors.dead_runs import dead_runs_sensor
from sensors.drift import drift_sensor
from sensors.failed_checks import failed_checks_sensor
from sensors.failed_runs import failed_runs_sensor
from sensors.propagation import propagation_sensor


def build_sensors(settings: Settings) -> list[dg.SensorDefinition]:
    """Return the sensors."""
    return [
        drift_sensor(settings),
        failed_checks_sensor(settings),
        corpora_sensor(settings),
        failed_runs_sensor(settings),
        dead_runs_sensor(settings),
        propagation_sensor(settings),
    ]
