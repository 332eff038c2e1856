"""The deep audit of stored vectors as checks of `token_embeddings`: one for each drift type, one that embeds again.

They cost more than a run that changes nothing, so they are judged only where a run asks for checks and materialises
nothing: `RunRequest(asset_selection=[], asset_check_keys=[…], partition_key=…)`, a schedule, or "Execute" in the UI.
What they prove bad is marked, and embedded again by the next run.
"""

from collections.abc import Iterator
from typing import Literal

import dagster as dg

from rag_assets.checks.shapes import ids_metadata
from rag_assets.corpora import CorporaResource
from rag_assets.partitions import CORPUS
from resources.reconciliation.vectors import CHECKSUM_CHECKS, REEMBED_CHECK

ASSET = dg.AssetKey("token_embeddings")


def _spec(name: str, description: str) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(name, asset=ASSET, description=description, partitions_def=CORPUS)


SPECS = [
    *(_spec(f"no_{drift}", f"Deep audit: no chunk of which this holds: {text}.") for drift, text in CHECKSUM_CHECKS),
    _spec(REEMBED_CHECK, "Deep audit: a sample of chunks, embedded again, gives the vectors that are stored."),
]


@dg.multi_asset_check(name="deep_audit_token_embeddings", specs=SPECS, can_subset=True)
def deep_audit_token_embeddings(
    context: dg.AssetCheckExecutionContext, corpora: CorporaResource
) -> Iterator[dg.AssetCheckResult]:
    """Audit at the depth that the selected checks need, mark what is bad, and say what was found."""
    if context.job_def.asset_layer.executable_asset_keys:
        context.log.info("not asked for by itself, so the vectors are not audited in depth")
        return
    from resources.reconciliation.audit.look import audit
    from resources.reconciliation.audit.marks import record

    selected = {key.name: key for key in context.selected_asset_check_keys}
    depth: Literal["checksum", "reembed"] = "reembed" if REEMBED_CHECK in selected else "checksum"
    with corpora.writing(context) as (corpus, writer):
        found = audit(corpus, depth)
        record(writer, corpus, found.issues, found.live)
    for name, key in selected.items():
        issues = [issue for issue in found.issues if name in (f"no_{issue.type}", REEMBED_CHECK)]
        bad = sorted({one for issue in issues for one in issue.ids})
        yield dg.AssetCheckResult(
            asset_key=key.asset_key,
            check_name=name,
            passed=not issues,
            severity=dg.AssetCheckSeverity.ERROR,
            metadata={
                "depth": depth,
                "rows_audited": sum(place.rows for place in found.places),
                "embedded_again": sum(place.embedded for place in found.places),
                "where": ", ".join(sorted({issue.where for issue in issues})) or "nowhere",
                **ids_metadata(bad),
            },
        )
