"""Token vectors (late interaction) and the pooled vector of every chunk."""

from rag_assets.assets.shapes import staged
from resources.materialisation import token_embeddings as stage
from resources.store.tables import token_embeddings as table

token_embeddings = staged(
    "token_embeddings",
    stage,
    dep="chunks",
    schema=table("FINGERPRINT", 384).schema,
    description="Compact token vectors and the pooled vector of every chunk, from one forward pass; one table "
    "per model, so that a model change builds beside what is live.",
    kinds={"lance", "pytorch"},
    code_version="1",
)
