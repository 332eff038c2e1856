"""The code location: everything Dagster knows of rag-assets. `build_defs` is the one way definitions are made."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

warnings.filterwarnings("ignore", category=dg.PreviewWarning)
warnings.filterwarnings("ignore", category=dg.BetaWarning)

from rag_assets.assets import chunks, documents, indexes, ragas_report, snapshot, token_embeddings  # noqa: E402
from rag_assets.automation import FOLLOW  # noqa: E402
from rag_assets.checks import indexes as index_checks  # noqa: E402
from rag_assets.checks import publishing, tables, vectors  # noqa: E402
from rag_assets.corpora import CorporaResource  # noqa: E402
from rag_assets.executors import executor_for  # noqa: E402
from rag_assets.jobs import search_ready  # noqa: E402
from resources.observability.logging import configure_logging  # noqa: E402
from resources.settings import Settings, load_settings  # noqa: E402
from sensors.definitions import build_sensors  # noqa: E402
from sensors.schedules import build_schedules  # noqa: E402

ASSET_MODULES = [documents, chunks, token_embeddings, indexes, ragas_report, snapshot]
CHECK_MODULES = [tables, index_checks, publishing, vectors]


def build_defs(settings: Settings, *, resource_overrides: Mapping[str, Any] | None = None) -> dg.Definitions:
    """Return the definitions for these settings. `resource_overrides` replaces resources by name (`corpora`)."""
    prefix = list(settings.asset_key_prefix) or None
    limits = settings.strictest_freshness  # Dagster judges an asset as a whole, not a partition of it
    freshness = dg.FreshnessPolicy.time_window(fail_window=limits.fail, warn_window=limits.warn)

    def kept_true(spec: dg.AssetSpec) -> dg.AssetSpec:
        follow = FOLLOW if spec.deps else None
        return spec.replace_attributes(freshness_policy=freshness, automation_condition=follow)

    assets = [
        asset.map_asset_specs(kept_true)
        for asset in dg.load_assets_from_modules(ASSET_MODULES, key_prefix=prefix)
        if isinstance(asset, dg.AssetsDefinition)
    ]
    corpora = CorporaResource(config=str(settings.path or ""), home=str(settings.home))
    return dg.Definitions(
        assets=assets,
        asset_checks=list(dg.load_asset_checks_from_modules(CHECK_MODULES, asset_key_prefix=prefix)),
        jobs=[search_ready],
        sensors=build_sensors(settings),
        schedules=build_schedules(settings),
        resources={"corpora": corpora, **(resource_overrides or {})},
        executor=executor_for(settings, _workers(assets)),
    )


def _workers(assets: Sequence[dg.AssetsDefinition]) -> dict[str, str]:
    """Return which op does the work of which asset: the one that does a shard, or the only one."""
    workers = {}
    for asset in assets:
        name = asset.key.path[-1]
        ops = [op.name for op in asset.node_def.iterate_op_defs()]
        workers.update({op: name for op in ops if len(ops) == 1 or op == f"do_{name}"})
    return workers


@dg.definitions
def defs() -> dg.Definitions:
    """What Dagster loads: `-m rag_assets.definitions`."""
    configure_logging()
    return build_defs(load_settings())
