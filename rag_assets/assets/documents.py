"""The parsed documents of a corpus: one row for every document its sources list, whatever became of it."""

from rag_assets.assets.shapes import staged
from resources.materialisation import documents as stage
from resources.store.tables import DOCUMENTS

documents = staged(
    "documents",
    stage,
    schema=DOCUMENTS.schema,
    description="What the sources list, fetched and parsed: text, metadata, content hash and outcome (ok, "
    "empty, failed, unread) of every document.",
    kinds={"lance", "python"},
    code_version="1",
)
