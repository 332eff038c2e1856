"""Tantivy segments: how headings and texts become terms, and how a folder of segments grows by one commit.

Here: the analyser, the schema, writing. Not here: which chunk a row stands for (`entries`), the generation the folder
belongs to, and searching (`bm25`).
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tantivy
from tantivy import Filter, Query

from resources.errors import SettingsError, StoreError
from resources.index import generation
from resources.index.generation import Previous

Fetch = Callable[[list[str]], Iterator[pa.RecordBatch]]

FOLDER = "segments"
FIELDS = ("heading", "text")
ANALYSER = "rag_assets"
ANALYSIS_VERSION = "1"
LONGEST_TERM_BYTES = 80
FETCH_ROWS = 8_192
WRITER_BYTES = 256_000_000


def analyser(language: str) -> tantivy.TextAnalyzer:
    """Return what turns text into terms, for indexing and searching alike; SettingsError for an unknown language.

    Runs of letters and digits, lower case, without stop words, stemmed (Snowball).
    """
    try:
        return (
            tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
            .filter(Filter.remove_long(LONGEST_TERM_BYTES))
            .filter(Filter.lowercase())
            .filter(Filter.stopword(language))
            .filter(Filter.stemmer(language))
            .build()
        )
    except ValueError as error:
        raise SettingsError(f"BM25 has no stemmer and stop words for the language {language!r}: {error}") from error


def _schema() -> tantivy.Schema:
    """Rows are looked up in the entries, so neither ids nor texts are stored, and positions are of no use."""
    builder = tantivy.SchemaBuilder()
    builder.add_unsigned_field("row", indexed=True, fast=True)
    for field in FIELDS:
        builder.add_text_field(field, tokenizer_name=ANALYSER, index_option="freq")
    return builder.build()


def write_segments(
    draft: Path,
    base: Previous | None,
    gone: list[int],
    added: pa.ChunkedArray,
    start: int,
    fetch: Fetch,
    language: str,
    advance: Callable[[int], None],
) -> None:
    """Take over the segments of `base`, delete the rows `gone`, append the chunks `added` from row `start`: one commit.

    `advance` is told the number of chunks appended so far.
    """
    folder = draft / FOLDER
    folder.mkdir()
    if base is not None:
        for file in base.manifest.files:
            if file.endswith(".json"):  # the only files tantivy writes again
                shutil.copyfile(base.path / file, draft / file)
            elif file.startswith(FOLDER):
                generation.link(base, file, draft)
    try:
        index = tantivy.Index(_schema(), path=str(folder))
        index.register_tokenizer(ANALYSER, analyser(language))
        writer = index.writer(WRITER_BYTES, num_threads=1)
        try:
            if gone:
                writer.delete_documents_by_query(Query.term_set_query(index.schema, "row", gone))
            for first in range(0, len(added), FETCH_ROWS):
                wanted = added.slice(first, FETCH_ROWS).combine_chunks()
                for row, heading, text in _texts(fetch, wanted):
                    writer.add_document(
                        tantivy.Document.from_dict(
                            {"row": start + first + row, "heading": heading, "text": text}, index.schema
                        )
                    )
                advance(first + len(wanted))
            writer.commit()
        finally:
            writer.wait_merging_threads()  # whatever happened, its threads must not outlive the draft
    except ValueError as error:
        raise StoreError(f"cannot write the BM25 index in {folder}: {error}") from error
    for lock in folder.glob(".tantivy-*.lock"):
        lock.unlink()


def _texts(fetch: Fetch, wanted: pa.Array) -> Iterator[tuple[int, str, str]]:
    """Yield (position in `wanted`, heading, text) in whatever order they come; StoreError when one does not come."""
    missing = np.ones(len(wanted), dtype=np.bool_)
    for batch in fetch(wanted.to_pylist()):
        place = pc.index_in(batch.column("chunk_id"), value_set=wanted)
        if place.null_count or not missing[place.to_numpy()].all():
            raise StoreError("the store returned a chunk that was not asked for, or one twice: check the fetch")
        missing[place.to_numpy()] = False
        headings, texts = batch.column("heading").to_pylist(), batch.column("text").to_pylist()
        yield from zip(place.to_pylist(), headings, texts, strict=True)
    if missing.any():
        first = wanted[int(missing.argmax())]
        raise StoreError(f"the store lacks the texts of {missing.sum()} chunks, the first is {first}: chunk them again")
