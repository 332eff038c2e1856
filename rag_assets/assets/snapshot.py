"""What queries read. The only asset that moves live."""

from rag_assets.assets.shapes import single
from resources.materialisation.snapshot import make_snapshot

snapshot = single(
    "snapshot",
    make_snapshot,
    deps=["ragas_report"],
    description="The numbered manifest of everything that was audited together; the highest number is live.",
    kinds={"json"},
    code_version="1",
)
