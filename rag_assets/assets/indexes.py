"""The two indexes, built of the same chunks as one generation each."""

from rag_assets.assets.shapes import single
from resources.materialisation.indexes import make_bm25, make_dense

dense_index = single(
    "dense_index",
    make_dense,
    deps=["token_embeddings"],
    description="FAISS over the pooled vectors: flat while small, IVF with scalar quantisation above; shards "
    "are shared with the last generation.",
    kinds={"faiss"},
    code_version="1",
)

bm25_index = single(
    "bm25_index",
    make_bm25,
    deps=["chunks", "token_embeddings"],
    description="BM25 (tantivy) over heading and text of the same chunks; segments are shared with the last "
    "generation.",
    kinds={"tantivy"},
    code_version="1",
)
