"""The passages that are embedded, indexed and cited."""

from rag_assets.assets.shapes import staged
from resources.materialisation import chunks as stage
from resources.store.tables import CHUNKS

chunks = staged(
    "chunks",
    stage,
    dep="documents",
    schema=CHUNKS.schema,
    description="Passages of the documents that fit the embedding model, with offsets; ids derive from "
    "document and text, so an edit leaves the others alone.",
    kinds={"lance", "python"},
    code_version="1",
)
