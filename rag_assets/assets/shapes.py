"""The two shapes of an asset: `staged` (plan → map → seal) where work is heavy, `single` (one step) where it is not.

Outputs carry no data, only the number of the shard in the mapping key: every step reads its work from the store, so
that steps may run in one process or as pods on many machines. Not here: what any asset does.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import dagster as dg
import pyarrow as pa

from rag_assets.corpora import CorporaResource
from rag_assets.partitions import CORPUS
from resources.corpus import Corpus
from resources.materialisation.base import Materialised, MetricValue, Stage
from resources.store.writer import CorpusWriter

GROUP = "knowledge_base"
Make = Callable[[Corpus, CorpusWriter], Materialised]


def staged(name: str, stage: Stage, *, dep: str | None = None, schema: pa.Schema, **spec: Any) -> dg.AssetsDefinition:
    """Define a partitioned asset made in shards by `stage`. `spec`: description, kinds, code_version."""
    upstream = {"upstream": dg.In(dg.Nothing)} if dep else {}

    @dg.op(
        name=f"plan_{name}",
        ins=upstream,
        out=dg.DynamicOut(dg.Nothing),
        description="Look, and cut the difference into shards.",
    )
    def plan(context: dg.OpExecutionContext, corpora: CorporaResource) -> Iterator[dg.DynamicOutput[None]]:
        with corpora.writing(context) as (corpus, writer):
            shards = stage.plan(corpus, writer)
        context.log.info(f"{shards} shards of work" if shards else "nothing to do")
        for shard in range(shards):
            yield dg.DynamicOutput(None, mapping_key=f"{shard}_of_{shards}")

    @dg.op(
        name=f"do_{name}",
        ins={"start": dg.In(dg.Nothing)},
        out=dg.Out(dg.Nothing),
        description="Do one shard of the difference.",
    )
    def do(context: dg.OpExecutionContext, corpora: CorporaResource) -> None:
        shard, _, shards = str(context.get_mapping_key()).partition("_of_")
        with corpora.writing(context, shards=int(shards)) as (corpus, writer):
            stage.do(corpus, writer, int(shard), int(shards))

    @dg.op(
        name=f"seal_{name}",
        ins={"done": dg.In(dg.Nothing)},
        out=dg.Out(dg.Nothing),
        description="Verify that nothing is left.",
    )
    def seal(context: dg.OpExecutionContext, corpora: CorporaResource) -> Iterator[dg.Output[None]]:
        with corpora.writing(context) as (corpus, writer):
            made = stage.seal(corpus, writer)
        yield dg.Output(None, metadata=_figures(made), data_version=dg.DataVersion(made.data_version))

    common = {"name": name, "partitions_def": CORPUS, "group_name": GROUP, "metadata": _definition(schema), **spec}

    def source() -> Any:
        return seal(plan().map(do).collect())

    def derived(upstream: Any) -> Any:
        return seal(plan(upstream).map(do).collect())

    asset: dg.AssetsDefinition
    if dep is None:
        asset = dg.graph_asset(**common)(source)
    else:
        asset = dg.graph_asset(ins={"upstream": dg.AssetIn(key=dep, dagster_type=dg.Nothing)}, **common)(derived)
    return asset


def single(name: str, make: Make, *, deps: Sequence[str], **spec: Any) -> dg.AssetsDefinition:
    """Define a partitioned asset made in one step by `make`. `spec`: description, kinds, code_version."""

    def asset(context: dg.AssetExecutionContext, corpora: CorporaResource) -> dg.MaterializeResult[None]:
        with corpora.writing(context.op_execution_context) as (corpus, writer):
            made = make(corpus, writer)
        return dg.MaterializeResult(metadata=_figures(made), data_version=dg.DataVersion(made.data_version))

    upstream = [dg.AssetKey(dep) for dep in deps]
    define = dg.asset(name=name, deps=upstream, partitions_def=CORPUS, group_name=GROUP, **spec)
    made: dg.AssetsDefinition = define(asset)
    return made


def _figures(made: Materialised) -> dict[str, Any]:
    return {"dagster/row_count": made.rows, **{name: _shown(value) for name, value in made.metrics.items()}}


def _shown(value: MetricValue) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    return dg.MetadataValue.path(value) if isinstance(value, str) and value.startswith("/") else value


def _definition(schema: pa.Schema) -> dict[str, Any]:
    """Return the column schema as the UI shows it."""
    columns = [
        dg.TableColumn(
            field.name,
            str(field.type),
            description=(field.metadata or {}).get(b"description", b"").decode() or None,
            constraints=dg.TableColumnConstraints(nullable=field.nullable, unique=position == 0),
        )
        for position, field in enumerate(schema)
    ]
    return {"dagster/column_schema": dg.TableSchema(columns=columns)}
