"""The tables of a corpus: names, key columns and Arrow schemas. No reading and no writing.

Every row carries the fingerprint of what it was made from; stale means that fingerprints differ.
"""

from dataclasses import dataclass

import pyarrow as pa

SCHEMA_VERSION = 2
READABLE_BY = 2
"""The oldest software, by the schema version it knows, that can serve what this one publishes."""
EMBEDDINGS = "token_embeddings"


@dataclass(frozen=True)
class Table:
    """A table of a corpus: `name` is its path within the corpus, `key` the column that identifies a row."""

    name: str
    key: str
    schema: pa.Schema

    @property
    def stage(self) -> str:
        """The asset that owns this table."""
        return self.name.split("/")[0]


def _column(name: str, kind: pa.DataType, description: str = "", *, nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"description": description} if description else None)


DOCUMENTS = Table(
    "documents",
    "document_id",
    pa.schema(
        [
            _column("document_id", pa.string(), "SOURCE:KEY"),
            _column("source", pa.string(), "name of the source in rag.yaml"),
            _column("key", pa.string(), "the source's own name for the document"),
            _column("version", pa.string(), "the source's own: changes whenever the content may have changed"),
            _column("fingerprint", pa.string(), "source options + parser and its version"),
            _column(
                "status",
                pa.string(),
                "ok | partial (some pages failed, the text of the rest) | empty (valid, without text) | "
                "failed (cannot be parsed) | hostile (refused) | unread (could not be fetched) | "
                "forgotten (given up by a person)",
            ),
            _column("reason", pa.string(), "why it is not ok", nullable=True),
            _column("media_type", pa.string()),
            _column("bytes", pa.int64()),
            _column("characters", pa.int64()),
            _column("text_hash", pa.string(), "of title and text; null unless ok or partial", nullable=True),
            _column("title", pa.string(), nullable=True),
            _column("text", pa.large_string(), nullable=True),
            _column("metadata", pa.string(), "JSON", nullable=True),
            _column("failure", pa.string(), "class of the last failure; null when there was none", nullable=True),
            _column("attempts", pa.int32(), "failed in a row", nullable=True),
            _column("next_try", pa.string(), "ISO time; null: when it or its parser changes", nullable=True),
            _column("modified", pa.string(), "ISO time, by its source", nullable=True),
            _column("checksum", pa.string(), "by its source: equal means equal bytes", nullable=True),
            _column("content_hash", pa.string(), "of the bytes", nullable=True),
            _column("url", pa.string(), "where a person finds it", nullable=True),
            _column("principals", pa.list_(pa.string()), "who may read it; null: all of the corpus", nullable=True),
            _column("simhash", pa.int64(), "of the text's words; near means alike", nullable=True),
        ]
    ),
)

CHUNKS = Table(
    "chunks",
    "chunk_id",
    pa.schema(
        [
            _column("chunk_id", pa.string(), "digest of document id, heading and text"),
            _column("document_id", pa.string(), "the document it was cut from"),
            _column("ordinal", pa.int32(), "0 … of-1 within the document"),
            _column("of", pa.int32()),
            _column("start", pa.int64(), "characters into the document's text"),
            _column("end", pa.int64()),
            _column("heading", pa.string(), "document title, or section path"),
            _column("text", pa.string()),
            _column("text_hash", pa.string(), "of the embedding input: heading and text"),
            _column("tokens", pa.int32(), "of the embedding input, special tokens included"),
            _column("document_hash", pa.string(), "the document's text_hash it was cut from"),
            _column("fingerprint", pa.string(), "chunker settings + tokenizer"),
        ]
    ),
)

QUARANTINE = Table(
    "quarantine",
    "row_id",
    pa.schema(
        [
            _column("row_id", pa.string(), "TABLE/ID"),
            _column("table", pa.string()),
            _column("id", pa.string()),
            _column("reason", pa.string()),
        ]
    ),
)


def token_embeddings(fingerprint: str, dimension: int) -> Table:
    """Return the table of the model with this fingerprint, whose pooled vectors have `dimension` components."""
    return Table(
        f"{EMBEDDINGS}/{fingerprint}",
        "chunk_id",
        pa.schema(
            [
                _column("chunk_id", pa.string()),
                _column("text_hash", pa.string(), "of the embedding input it was made from"),
                _column("fingerprint", pa.string(), "model weights, pooling, tokenizer, projection"),
                _column("n_tokens", pa.int32()),
                _column("tokens", pa.binary(), "n_tokens × token dimension int8 values"),
                _column("pooled", pa.list_(pa.float32(), dimension), "one vector of the model's dimension"),
                _column("checksum", pa.string(), "of tokens and pooled"),
            ]
        ),
    )
