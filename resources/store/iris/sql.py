"""Every SQL text that is sent to IRIS, and the layout of our tables there. Nothing is executed here.

A table of the corpus is two tables: the current rows, each with the number of the commit that brought it
(`valid_from`), and `…History`, which holds the rows that were replaced or deleted, with the commit that did so
(`valid_to`). Version N is: current rows with valid_from ≤ N, and history rows with valid_from ≤ N < valid_to.

Names follow iris-vector-rag's current shape where it has one. Every string column is `COLLATE %EXACT`: IRIS would
compare without case and trailing blanks. Large values are streams (LONGVARCHAR, LONGVARBINARY), which cannot be
compared. No name is a reserved word, no value stands in a text, and no text has more than 500 parameters in a list.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from resources.store.tables import CHUNKS, DOCUMENTS, EMBEDDINGS, QUARANTINE, Table

KEY_BYTES = 400
"""Of a key in UTF-8: a key is part of a subscript, and IRIS holds at most 511 bytes of them."""

IN_SIZES = (1, 8, 64, 500)
"""How many parameters a list has: few sizes, so that the server keeps few prepared statements."""

_KEY = f"VARCHAR({KEY_BYTES}) COLLATE %EXACT"
_STRING = "VARCHAR(250000) COLLATE %EXACT"
_TEXT = "LONGVARCHAR"
_KINDS = {pa.string(): _STRING, pa.large_string(): _TEXT, pa.int32(): "INTEGER", pa.int64(): "BIGINT"}
_GROUPS = {"document_id", "table"}
_LARGE = {("documents", "metadata"), ("chunks", "text")}

_TABLE_NAMES = {
    DOCUMENTS.name: "SourceDocuments",
    CHUNKS.name: "DocumentChunks",
    QUARANTINE.name: "RagAssetsQuarantine",
}
_COLUMN_NAMES = {
    "documents": {
        "document_id": "doc_id", "source": "source_name", "key": "source_key", "version": "source_version",
        "status": "parse_status", "bytes": "byte_count", "characters": "character_count", "text": "text_content",
        "checksum": "source_checksum", "url": "source_url",
    },
    "chunks": {
        "document_id": "doc_id", "ordinal": "chunk_index", "of": "chunk_count", "start": "start_offset",
        "end": "end_offset", "text": "chunk_text", "tokens": "token_count",
    },
    "quarantine": {"table": "table_name", "id": "item_id"},
    EMBEDDINGS: {"n_tokens": "token_count", "tokens": "token_matrix", "pooled": "pooled_bytes",
                         "checksum": "row_checksum"},
}  # fmt: skip
VECTOR = "chunk_embedding"


@dataclass(frozen=True)
class Column:
    """A column as Arrow knows it (`field`) and as IRIS does (`name`, `kind`)."""

    field: pa.Field
    name: str
    kind: str

    @property
    def is_stream(self) -> bool:
        """Whether it cannot be compared, and comes as an object to be read."""
        return self.kind.startswith("LONG")


@dataclass(frozen=True)
class Layout:
    """A table of the corpus in IRIS. `vector`: how many components its vector for searching in SQL has, if any."""

    schema: str
    table: Table
    bare_name: str
    columns: tuple[Column, ...]
    vector: int | None

    @property
    def name(self) -> str:
        """The current rows."""
        return f"{self.schema}.{self.bare_name}"

    @property
    def history(self) -> str:
        """The rows of older versions."""
        return f"{self.name}History"

    @cached_property
    def key(self) -> str:
        """The key column's name."""
        return self.column(self.table.key).name

    def column(self, name: str) -> Column:
        """Return the column that Arrow calls so."""
        return next(one for one in self.columns if one.field.name == name)

    @cached_property
    def _all(self) -> str:
        return ", ".join(one.name for one in self.columns)

    def create(self) -> list[str]:
        """Return the statements that make both tables; each may fail because it is there already."""
        lines = [f"{one.name} {one.kind}{' NOT NULL' if one.name == self.key else ''}" for one in self.columns]
        body = ", ".join([*lines, "valid_from BIGINT NOT NULL"])
        vector = f", {VECTOR} VECTOR(FLOAT, {self.vector})" if self.vector else ""
        made = [
            f"CREATE TABLE {self.name} ({body}{vector}, PRIMARY KEY ({self.key}))",
            f"CREATE TABLE {self.history} ({body}, valid_to BIGINT NOT NULL, PRIMARY KEY ({self.key}, valid_from))",
        ]
        groups = [one.name for one in self.columns if one.field.name in _GROUPS and one.name != self.key]
        return made + [f"CREATE INDEX {self.bare_name}_{one} ON TABLE {self.name} ({one})" for one in groups]

    def create_vector_index(self) -> str:
        """Return the statement that makes the index for searching in SQL."""
        options = "Distance='DotProduct', M=16, efConstruction=200"
        return f"CREATE INDEX {self.bare_name}_hnsw ON TABLE {self.name} ({VECTOR}) AS HNSW({options})"

    def put(self) -> str:
        """Insert or replace one row: its columns, the number of the commit, and its vector as text."""
        names = f"{self._all}, valid_from" + (f", {VECTOR}" if self.vector else "")
        values = ", ".join(["?"] * (len(self.columns) + 1) + ["TO_VECTOR(?, FLOAT)"] * bool(self.vector))
        return f"INSERT OR UPDATE INTO {self.name} ({names}) VALUES ({values})"

    def keep(self, where: str) -> str:
        """Copy current rows to the history: the number of the commit, then what `where` asks for."""
        return (
            f"INSERT INTO {self.history} ({self._all}, valid_from, valid_to) "
            f"SELECT {self._all}, valid_from, CAST(? AS BIGINT) FROM {self.name} WHERE {where}"
        )

    def delete(self, where: str) -> str:
        """Delete current rows."""
        return f"DELETE FROM {self.name} WHERE {where}"

    def of_keys(self, size: int) -> str:
        """Return the condition that the key is one of `size` parameters."""
        return f"{self.key} IN ({', '.join('?' * size)})"

    def of_group(self, column: str) -> str:
        """Return the condition that a row is of a group (1 parameter) and older than a commit (1 parameter)."""
        return f"{self.column(column).name} = ? AND valid_from < ?"

    def page(self, columns: Sequence[Column], rows: int, *, after: bool) -> str:
        """Select current rows with their keys and commits, by key, at most `rows`; `after`: above 1 parameter."""
        above = f" WHERE {self.key} > ?" if after else ""
        return f"SELECT TOP {rows} {self._some(columns)}, valid_from FROM {self.name}{above} ORDER BY {self.key}"

    def history_page(self, columns: Sequence[Column], rows: int, *, after: bool, until: bool) -> str:
        """Select history rows of a version (given twice), by key; `after`, `until`: 1 more parameter each."""
        bounds = "".join([f" AND {self.key} > ?" * after, f" AND {self.key} <= ?" * until])
        return (
            f"SELECT TOP {rows} {self._some(columns)}, valid_from FROM {self.history} "
            f"WHERE valid_from <= ? AND valid_to > ?{bounds} ORDER BY {self.key}"
        )

    def rows_of(self, columns: Sequence[Column], size: int) -> str:
        """Select current rows of `size` keys, with keys and commits."""
        return f"SELECT {self._some(columns)}, valid_from FROM {self.name} WHERE {self.of_keys(size)}"

    def history_of(self, columns: Sequence[Column], size: int) -> str:
        """Select the history rows of a version (given twice) of `size` keys."""
        return (
            f"SELECT {self._some(columns)}, valid_from FROM {self.history} "
            f"WHERE valid_from <= ? AND valid_to > ? AND {self.of_keys(size)}"
        )

    def _some(self, columns: Sequence[Column]) -> str:
        return ", ".join([self.key, *(one.name for one in columns)])

    def old_keys(self, rows: int, kept: int) -> str:
        """Select keys of the history that ended at or before a commit, and that `kept` versions (given twice) lack."""
        return f"SELECT TOP {rows} {self.key} FROM {self.history} WHERE {_old(kept)}"

    def forget(self, size: int, kept: int) -> str:
        """Delete such history of `size` keys."""
        return f"DELETE FROM {self.history} WHERE {self.of_keys(size)} AND {_old(kept)}"

    def clear(self) -> list[str]:
        """Delete every row of both tables."""
        return [f"DELETE FROM {self.name}", f"DELETE FROM {self.history}"]

    def drop(self) -> list[str]:
        """Delete both tables."""
        return [f"DROP TABLE {self.name}", f"DROP TABLE {self.history}"]

    def sizes(self) -> list[str]:
        """Return the statements that each count the characters or bytes of one large column."""
        large = [one.name for one in self.columns if one.is_stream]
        return [
            f"SELECT SUM(CHARACTER_LENGTH({one})) FROM {place}" for one in large for place in (self.name, self.history)
        ]


@dataclass(frozen=True)
class FileTables:
    """Files as rows: one for each file with the mark of its last writing, and its content in pieces under that mark."""

    schema: str

    def create(self) -> list[str]:
        """Return the statements that make both tables."""
        return [
            f"CREATE TABLE {self.schema}.RagAssetsFiles (file_path {_KEY} NOT NULL, byte_count BIGINT NOT NULL, "
            "written BIGINT NOT NULL, PRIMARY KEY (file_path))",
            f"CREATE TABLE {self.schema}.RagAssetsPieces (file_path {_KEY} NOT NULL, written BIGINT NOT NULL, "
            "piece_number INTEGER NOT NULL, content LONGVARBINARY NOT NULL, "
            "PRIMARY KEY (file_path, written, piece_number))",
        ]

    def add(self) -> str:
        """Insert a file: bytes, mark, path; refused when there is one."""
        return f"INSERT INTO {self.schema}.RagAssetsFiles (byte_count, written, file_path) VALUES (?, ?, ?)"

    def change(self) -> str:
        """Give a file another size and mark; its row is locked until the commit."""
        return f"UPDATE {self.schema}.RagAssetsFiles SET byte_count = ?, written = ? WHERE file_path = ?"

    def lock(self) -> str:
        """Lock a file's row until the commit."""
        return f"UPDATE {self.schema}.RagAssetsFiles SET byte_count = byte_count WHERE file_path = ?"

    def one(self) -> str:
        """Select a file's size and mark."""
        return f"SELECT byte_count, written FROM {self.schema}.RagAssetsFiles WHERE file_path = ?"

    def all(self, *, below: bool) -> str:
        """Select path, size and mark of files, in order; `below`: between two paths."""
        where = " WHERE file_path > ? AND file_path < ?" if below else ""
        return f"SELECT file_path, byte_count, written FROM {self.schema}.RagAssetsFiles{where} ORDER BY file_path"

    def put_piece(self) -> str:
        """Insert a piece: path, mark, number, content."""
        return (
            f"INSERT INTO {self.schema}.RagAssetsPieces (file_path, written, piece_number, content) VALUES (?, ?, ?, ?)"
        )

    def piece(self) -> str:
        """Select one piece."""
        return (
            f"SELECT content FROM {self.schema}.RagAssetsPieces "
            "WHERE file_path = ? AND written = ? AND piece_number = ?"
        )

    def drop_pieces(self) -> str:
        """Delete the pieces of a file."""
        return f"DELETE FROM {self.schema}.RagAssetsPieces WHERE file_path = ?"

    def drop(self) -> str:
        """Delete a file's row."""
        return f"DELETE FROM {self.schema}.RagAssetsFiles WHERE file_path = ?"


def layout(schema: str, table: Table) -> Layout:
    """Return how a table lies in IRIS. A model's token embeddings have a table of their own, named for the model."""
    stage, _, fingerprint = table.name.partition("/")
    name = _TABLE_NAMES.get(table.name, f"DocumentTokenEmbeddings_{fingerprint}")
    names = _COLUMN_NAMES[stage]
    columns = tuple(Column(one, names.get(one.name, one.name), _kind(table, stage, one)) for one in table.schema)
    vector = table.schema.field("pooled").type.list_size if stage == EMBEDDINGS else None
    return Layout(schema, table, name, columns, vector)


def _kind(table: Table, stage: str, field: pa.Field) -> str:
    if field.name == table.key or field.name in _GROUPS:
        return _KEY
    if (stage, field.name) in _LARGE or field.type == pa.list_(pa.string()):
        return _TEXT
    if pa.types.is_binary(field.type) or pa.types.is_fixed_size_list(field.type):
        return "LONGVARBINARY"
    return _KINDS[field.type]


def _old(kept: int) -> str:
    return "valid_to <= ?" + " AND (valid_from > ? OR valid_to <= ?)" * kept


def in_size(wanted: int) -> int:
    """Return how many parameters a list of so many values is given; the last value fills it up."""
    return next(size for size in IN_SIZES if size >= wanted)


READ_COMMITTED = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED"
TABLES = "SELECT TABLE_NAME FROM INFORMATION_SCHEMA.TABLES WHERE UPPER(TABLE_SCHEMA) = ?"


@dataclass(frozen=True)
class Registry:
    """The tables of our own that every corpus has: which corpus this is, the versions of its tables, their labels."""

    schema: str

    def create(self) -> list[str]:
        """Return the statements that make them; the one that says whose schema it is comes last."""
        return [
            f"CREATE TABLE {self.schema}.RagAssetsTables (table_name {_KEY} NOT NULL, "
            "current_version BIGINT NOT NULL, oldest_version BIGINT NOT NULL, PRIMARY KEY (table_name))",
            f"CREATE TABLE {self.schema}.RagAssetsLabels (table_name {_KEY} NOT NULL, label_name VARCHAR(100) "
            "COLLATE %EXACT NOT NULL, labelled_version BIGINT NOT NULL, PRIMARY KEY (table_name, label_name))",
            f"CREATE TABLE {self.schema}.RagAssetsCorpus (corpus_name {_KEY} NOT NULL, "
            "schema_version INTEGER NOT NULL, PRIMARY KEY (corpus_name))",
        ]

    def claim(self) -> str:
        """Say whose schema it is: corpus and schema version."""
        return f"INSERT INTO {self.schema}.RagAssetsCorpus (corpus_name, schema_version) VALUES (?, ?)"

    def marker(self) -> str:
        """Select whose schema it is."""
        return f"SELECT corpus_name, schema_version FROM {self.schema}.RagAssetsCorpus"

    def add_table(self) -> str:
        """Register a table that was made."""
        return (
            f"INSERT INTO {self.schema}.RagAssetsTables (table_name, current_version, oldest_version) VALUES (?, 1, 1)"
        )

    def versions(self) -> str:
        """Select the newest and the oldest version of a table that can be read."""
        return f"SELECT current_version, oldest_version FROM {self.schema}.RagAssetsTables WHERE table_name = ?"

    def known(self) -> str:
        """Select the names of all registered tables."""
        return f"SELECT table_name FROM {self.schema}.RagAssetsTables"

    def next_version(self) -> str:
        """Take the next version of a table: its row is locked until the commit, so writers of a table take turns."""
        return f"UPDATE {self.schema}.RagAssetsTables SET current_version = current_version + 1 WHERE table_name = ?"

    def forget(self) -> str:
        """Say which is the oldest version of a table that can be read, besides those that are kept."""
        return f"UPDATE {self.schema}.RagAssetsTables SET oldest_version = ? WHERE table_name = ?"

    def label(self) -> str:
        """Let a label of a table name a version."""
        return (
            f"INSERT OR UPDATE INTO {self.schema}.RagAssetsLabels (table_name, label_name, labelled_version) "
            "VALUES (?, ?, ?)"
        )

    def labels(self) -> str:
        """Select a table's labels and the versions that they name."""
        return f"SELECT label_name, labelled_version FROM {self.schema}.RagAssetsLabels WHERE table_name = ?"

    def state(self) -> list[str]:
        """Select what differs whenever a table or a label was written, in order."""
        return [
            f"SELECT table_name, current_version, oldest_version FROM {self.schema}.RagAssetsTables "
            "ORDER BY table_name",
            f"SELECT table_name, label_name, labelled_version FROM {self.schema}.RagAssetsLabels "
            "ORDER BY table_name, label_name",
        ]

    def drop_table(self) -> str:
        """Take a table out of the register."""
        return f"DELETE FROM {self.schema}.RagAssetsTables WHERE table_name = ?"

    def drop_labels(self) -> str:
        """Delete a table's labels."""
        return f"DELETE FROM {self.schema}.RagAssetsLabels WHERE table_name = ?"
