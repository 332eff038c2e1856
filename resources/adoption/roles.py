"""Which column plays which role: the names that common software uses, what a person says, and a refusal to guess.

Names come from LangChain's PGVector and Qdrant stores, LlamaIndex, Haystack, Supabase's examples, pgai, and the shapes
that iris-vector-rag has given its `RAG` schema. Pure functions; what a table looks like is asked by its own module.
"""

from collections.abc import Mapping, Sequence

from resources.adoption.table import NEEDED, ROLES, Column, Roles
from resources.errors import AdoptionError

NAMES: dict[str, tuple[str, ...]] = {
    "key": ("chunk_id", "id", "doc_id", "uuid", "embedding_uuid", "node_id", "row_id", "custom_id", "langchain_id"),
    "text": (
        "chunk_text", "text_content", "page_content", "content", "chunk", "text", "document", "body", "passage",
        "_node_content.text", "metadata.text",
    ),
    "vector": ("embedding", "chunk_embedding", "vector", "embeddings", "emb", "content_embedding", "text_embedding"),
    "document": (
        "doc_id", "document_id", "source_doc_id", "source_document_id", "ref_doc_id", "source_id", "file_id",
        "metadata_.ref_doc_id", "metadata_.doc_id", "cmetadata.source", "metadata.source", "metadata.doc_id",
        "meta.source_id", "metadata.document_id", "langchain_metadata.source", "source",
    ),
    "ordinal": ("chunk_index", "ordinal", "chunk_seq", "chunk_number", "position", "meta.split_id"),
    "hash": ("content_hash", "text_hash", "content_sha256", "sha256", "md5", "content_md5"),
    "changed": ("updated_at", "modified_at", "last_modified"),
    "embedded": ("embedded_at", "embedding_updated_at", "vectorized_at"),
}  # fmt: skip
"""By role, the most telling first. A role is filled only by a column of the right kind."""

KINDS = {"text": ("text",), "vector": ("vector",), "ordinal": ("number",)}


def map_roles(table: str, columns: Sequence[Column], said: Mapping[str, str]) -> Roles:
    """Return role → column for `table`; `said` is what `--map` gave, and wins.

    Raises AdoptionError, which lists the columns and says which flag to give, when a role that is needed cannot be
    told, or a named column is not there.
    """
    known = {column.name: column for column in columns}
    for role, column in said.items():
        if role not in ROLES:
            raise AdoptionError(f"--map {role}={column}: there is no role {role!r}; roles are {', '.join(ROLES)}")
        if column not in known and column.partition(".")[0] not in known:
            raise AdoptionError(f"--map {role}={column}: {table} has no such column; it has {_listed(columns)}")
    roles = dict(said)
    for role in ROLES:
        if role not in roles and (found := _find(role, columns, roles)) is not None:
            roles[role] = found
    missing = [role for role in NEEDED if role not in roles]
    if missing:
        flags = " ".join(f"--map {role}=COLUMN" for role in missing)
        what = ", ".join(f"{role} ({ROLES[role]})" for role in missing)
        raise AdoptionError(
            f"{table}: cannot tell which column is the {what}; it has {_listed(columns)}. Say so: {flags}"
        )
    return roles


def _find(role: str, columns: Sequence[Column], taken: Roles) -> str | None:
    fitting = {
        column.name: column
        for column in columns
        if column.name not in taken.values() and (role not in KINDS or column.kind in KINDS[role])
    }
    if role == "key" and (keys := [column.name for column in columns if column.is_key]):
        return keys[0]
    if role == "vector" and len(fitting) == 1:
        return next(iter(fitting))
    folded = {name.lower(): name for name in fitting}
    for name in NAMES[role]:
        if name in folded:
            return folded[name]
        whole, _, path = name.partition(".")
        for column in columns:
            if path and column.name.lower() == whole and path in column.keys:
                return f"{column.name}.{path}"
    return None


def _listed(columns: Sequence[Column]) -> str:
    return ", ".join(map(str, columns)) or "no columns"
