"""Token vectors (late interaction) and the pooled vector of every chunk."""

import pyarrow as pa

from rag_assets.assets.shapes import staged
from resources.materialisation import token_embeddings as stage
from resources.store.tables import token_embeddings as table

EXAMPLE = table("FINGERPRINT", 1).schema
POOLED = EXAMPLE.get_field_index("pooled")
SCHEMA = EXAMPLE.set(POOLED, EXAMPLE.field(POOLED).with_type(pa.list_(pa.float32())))
"""The columns whatever the model: the dimension of `pooled` is the model's."""

token_embeddings = staged(
    "token_embeddings",
    stage,
    dep="chunks",
    schema=SCHEMA,
    description="Compact token vectors and the pooled vector of every chunk, from one forward pass; one table "
    "per model, so that a model change builds beside what is live.",
    kinds={"lance", "pytorch"},
    code_version="1",
)
