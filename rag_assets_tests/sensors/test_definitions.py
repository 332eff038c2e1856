"""Which sensors there are, how they are switched and timed, and that they name what exists."""

import subprocess
import sys

import dagster as dg

from sensors.graph import ASSETS
from sensors.reports import CHECK_OF, IS_CURRENT, IS_FRESH
from sensors.schedules import AUDITS


def test_settings_switch_and_time_the_sensors(desk):
    desk.configure("{default: {}}", "automation: {dead_runs: {enabled: false, every: 5m}}")
    by_name = {one.name: one for one in desk.definitions.sensors}
    assert by_name["dead_runs"].default_status == dg.DefaultSensorStatus.STOPPED
    assert by_name["dead_runs"].minimum_interval_seconds == 300
    assert all(
        one.default_status == dg.DefaultSensorStatus.RUNNING and one.description
        for name, one in by_name.items()
        if name != "dead_runs"
    )
    assert set(by_name) <= set(type(desk.settings.automation).model_fields)


def test_sensors_name_the_assets_there_are(desk):
    graph = desk.definitions.resolve_asset_graph()
    assert {key.path[-1] for key in graph.materializable_asset_keys} == set(ASSETS)


def test_loading_the_definitions_imports_nothing_heavy():
    heavy = ("torch", "faiss", "transformers", "lance", "great_expectations", "matplotlib")
    code = (
        "import sys; from rag_assets.definitions import defs; defs(); "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_drift_has_a_check_that_exists_and_every_check_that_is_named_does(desk):
    graph = desk.definitions.resolve_asset_graph()
    there = {(key.asset_key.path[-1], key.name) for key in graph.asset_check_keys}
    named = {*CHECK_OF.values(), IS_CURRENT, IS_FRESH}
    named |= {(asset, name) for checks in AUDITS.values() for asset, names in checks.items() for name in names}
    assert named <= there
