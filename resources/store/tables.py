"""The tables of a corpus: names, key columns and Arrow schemas. No reading and no writing.

Every row carries the fingerprint of what it was made from; stale means that fingerprints differ.
"""

from dataclasses import dataclass

import pyarrow as pa

SCHEMA_VERSION = 1


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


def _required(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


DOCUMENTS = Table(
    "documents",
    "document_id",
    pa.schema(
        [
            _required("document_id", pa.string()),  # SOURCE:KEY
            _required("source", pa.string()),
            _required("key", pa.string()),
            _required("version", pa.string()),  # the source's own: changes whenever the content may have changed
            _required("fingerprint", pa.string()),  # source options + parser and its version
            _required("status", pa.string()),  # ok | empty | failed | unread
            pa.field("reason", pa.string()),
            _required("media_type", pa.string()),
            _required("bytes", pa.int64()),
            _required("characters", pa.int64()),
            pa.field("text_hash", pa.string()),  # of title and text; null unless ok
            pa.field("title", pa.string()),
            pa.field("text", pa.large_string()),
            pa.field("metadata", pa.string()),  # JSON
        ]
    ),
)

CHUNKS = Table(
    "chunks",
    "chunk_id",
    pa.schema(
        [
            _required("chunk_id", pa.string()),
            _required("document_id", pa.string()),
            _required("ordinal", pa.int32()),  # 0 … of-1 within the document
            _required("of", pa.int32()),
            _required("start", pa.int64()),  # characters into the document's text
            _required("end", pa.int64()),
            _required("heading", pa.string()),
            _required("text", pa.string()),
            _required("text_hash", pa.string()),  # of the embedding input: heading and text
            _required("tokens", pa.int32()),  # of the embedding input, special tokens included
            _required("document_hash", pa.string()),  # the document's text_hash it was cut from
            _required("fingerprint", pa.string()),  # chunker settings + tokenizer
        ]
    ),
)

QUARANTINE = Table(
    "quarantine",
    "row_id",
    pa.schema(
        [
            _required("row_id", pa.string()),  # TABLE/ID
            _required("table", pa.string()),
            _required("id", pa.string()),
            _required("reason", pa.string()),
        ]
    ),
)


def token_embeddings(fingerprint: str, dimension: int) -> Table:
    """Return the table of one model: `tokens` holds n_tokens × token dimension int8 values, `pooled` one float32
    vector.
    """
    return Table(
        f"token_embeddings/{fingerprint}",
        "chunk_id",
        pa.schema(
            [
                _required("chunk_id", pa.string()),
                _required("text_hash", pa.string()),
                _required("fingerprint", pa.string()),
                _required("n_tokens", pa.int32()),
                _required("tokens", pa.binary()),
                _required("pooled", pa.list_(pa.float32(), dimension)),
                _required("checksum", pa.string()),  # of tokens and pooled
            ]
        ),
    )
