"""The BM25 index: a generation of tantivy segments over the chunks' headings and texts.

Here: building a generation from the last one, opening it, and searching it with anything a person types. Not here:
how text becomes terms (`segments`), how folders come into being (`generation`), fusion, and query rewriting.
"""

import shutil
import tempfile
import weakref
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import tantivy
from tantivy import Occur, Query

from resources.errors import IndexDamagedError, StoreError
from resources.identity import digest
from resources.index import entries, generation
from resources.index.entries import Mask, Part, Scored
from resources.index.generation import Manifest, PartRecord, Previous
from resources.index.segments import ANALYSIS_VERSION, FIELDS, FOLDER, Fetch, analyser, write_segments

KIND = "bm25"
SCHEMA = pa.schema({"chunk_id": pa.string(), "document_id": pa.string()})
SPARE_RESULTS = 8


@dataclass(frozen=True)
class Bm25Parameters:
    """How texts are indexed; a change of any of these builds the index anew.

    `language`: whose stemming and stop words apply (a name that tantivy knows). `dead_share`: removed chunks still
    count in BM25's document frequencies and mean length; when more than this share of the rows is dead, the index is
    built anew, so that no statistic is ever further off.
    """

    language: str = "english"
    dead_share: float = 0.05


def plan(table: pa.Table, parameters: Bm25Parameters = Bm25Parameters()) -> Manifest:
    """Return the manifest, parts and files left out, of a generation of these entries; its name is the folder's."""
    identity = entries.digests(entries.canonical(table, SCHEMA))
    return Manifest(
        kind=KIND,
        count=len(table),
        ids_digest=identity.ids,
        rows_digest=identity.rows,
        fingerprint=digest(KIND, ANALYSIS_VERSION, version("tantivy")),
        parameters=asdict(parameters),
        parts=(),
    )


def build_bm25(
    indexes: Path,
    table: pa.Table,
    fetch: Fetch,
    *,
    previous: Path | None,
    parameters: Bm25Parameters = Bm25Parameters(),
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Return the folder of the generation that holds exactly the entries `table` (chunk_id, document_id).

    A healthy generation of that content is returned as it is. Otherwise the segments of `previous` are hard-linked
    into a new folder, chunks that are gone are deleted and new ones added in one commit. `fetch` is called with at
    most 8,192 chunk ids, in the order of the table, and yields batches of (chunk_id, heading, text) in any order.
    `progress` is told rows written and rows to write.

    Raises StoreError (a text is missing, a chunk id repeats, files cannot be written), LeaseHeldError (another
    process keeps building).
    """
    wanted = entries.canonical(table, SCHEMA)
    manifest = plan(wanted, parameters)
    with generation.drafting(indexes, KIND) as draft:
        if not generation.verify(indexes / manifest.name):
            return indexes / manifest.name
        base = generation.reusable(previous, manifest)
        if base is not None and base.sound != base.manifest.files.keys():
            base = None
        before = [entries.read_part(base.path, record.name) for record in base.manifest.parts] if base else []
        after, added = entries.keep(before, wanted)
        written = sum(len(part.rows) for part in after)
        if base is None or written + len(added) - len(wanted) > parameters.dead_share * written:
            base, before, after, added, written = None, [], [], wanted, 0
        records = _write_entries(draft, base, after, added)
        gone = np.flatnonzero(_live(before) & ~_live(after)).tolist()

        def advance(rows: int) -> None:
            if progress is not None:
                progress(rows, len(added))

        write_segments(draft, base, gone, added["chunk_id"], written, fetch, parameters.language, advance)
        return generation.publish(draft, indexes, manifest.model_copy(update={"parts": records}), base)


def _opened(folder: Path) -> tantivy.Index:
    index = tantivy.Index.open(str(folder))
    index.config_reader("manual")
    return index


def _linked(folder: Path) -> Path:
    """Return a temporary folder of links to the files: tantivy puts a lock file beside the segments even to read them,
    which a read-only file system refuses.
    """
    links = Path(tempfile.mkdtemp(prefix="rag-assets-bm25-"))
    for file in folder.iterdir():
        if file.suffix != ".lock":
            (links / file.name).symlink_to(file.absolute())
    return links


class Bm25Index:
    """An open generation. Reads are safe from any number of threads; the files are mapped, not loaded."""

    def __init__(self, manifest: Manifest, parts: list[Part], index: tantivy.Index) -> None:
        self.manifest = manifest
        self._parts = parts
        self._identities = entries.Identities(parts)
        self._visible = _live(parts)
        self._count = int(self._visible.sum())
        self._schema = index.schema
        self._searcher: tantivy.Searcher | None = index.searcher()
        self._analyser = analyser(manifest.parameters["language"])

    @classmethod
    def open(cls, path: Path, removed_documents: Collection[str] = ()) -> "Bm25Index":
        """Map the generation at `path`; the chunks of `removed_documents` are as good as not there.

        IndexDamagedError when files are missing, of the wrong length or unreadable (`generation.verify` reads bytes).
        """
        manifest = generation.read_manifest(path)
        if manifest.kind != KIND:
            raise IndexDamagedError(f"index {path} is of kind {manifest.kind}, not {KIND}")
        generation.require_whole(path, manifest)
        parts = entries.hide([entries.read_part(path, record.name) for record in manifest.parts], removed_documents)
        try:
            return cls(manifest, parts, _opened(path / FOLDER))
        except ValueError as error:
            if "Lockfile" not in str(error):
                raise IndexDamagedError(f"index {path} cannot be opened ({error}): rebuild the index") from error
        links = _linked(path / FOLDER)
        opened = cls(manifest, parts, _opened(links))
        weakref.finalize(opened, shutil.rmtree, links, ignore_errors=True)
        return opened

    def search(self, query: str, k: int) -> list[Scored]:
        """Return the k chunks with the highest BM25 score, best first, equal scores by chunk id.

        The score is the sum of the scores of heading and text (Robertson's BM25, k1 = 1.2, b = 0.75). The query is
        plain text without operators. The list is shorter than k only when fewer chunks share a term with it.
        """
        found = self._query(query)
        if k < 1 or found is None or not self._count:
            return []
        if self._count == len(self._visible):
            scores, rows = self._run(found, k)
            return self._identities.scored(rows, scores)
        limit = k + SPARE_RESULTS
        while True:
            scores, rows = self._run(found, limit)
            visible = self._visible[rows]
            if visible.sum() >= k or len(rows) < limit:
                break
            limit *= 4
        return self._identities.scored(rows[visible][:k], scores[visible][:k])

    def entries(self) -> pa.Table:
        """Return the live entries (chunk_id, document_id), in no particular order."""
        return entries.living(self._parts, SCHEMA)

    def holds(self, place: int, chunk: Mapping[str, Any]) -> bool:
        """Say whether entry number `place` of `entries()` is indexed under every term of the heading and the text."""
        row = int(np.flatnonzero(self._visible)[place])
        required = [Query.term_query(self._schema, "row", row)]
        for field in FIELDS:
            required += [self._term_query(field, term) for term in set(self._analyser.analyze(chunk[field]))]
        scores, _ = self._run(Query.boolean_query([(Occur.Must, query) for query in required]), limit=1)
        return len(scores) > 0

    def close(self) -> None:
        """Let go of the segments once the searches under way are done; later ones fail."""
        self._searcher = None

    def _run(self, query: Query, limit: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Return scores and rows, best first; among them rows that are not visible."""
        searcher = self._searcher
        if searcher is None:
            raise StoreError("the BM25 index is closed: open the snapshot again")
        hits = searcher.search(query, limit, count=False).hits
        rows = searcher.fast_field_values("row", [address for _, address in hits])
        return np.array([score for score, _ in hits], np.float32), np.array(rows, np.int64)

    def _query(self, text: str) -> Query | None:
        # A lone surrogate cannot be a term, and tantivy refuses the whole text for it.
        terms = Counter(self._analyser.analyze(text.encode("utf-8", "replace").decode()))
        clauses = [
            (Occur.Should, Query.boost_query(query, float(times)) if times > 1 else query)
            for term, times in terms.items()
            for query in (self._term_query(field, term) for field in FIELDS)
        ]
        return Query.boolean_query(clauses) if clauses else None

    def _term_query(self, field: str, term: str) -> Query:
        return Query.term_query(self._schema, field, term, index_option="freq")


def self_query(index: Bm25Index, sample: pa.RecordBatch) -> list[str]:
    """Return the chunks of `sample` (chunk_id, heading, text) that a query for all of their terms does not find.

    The query asks for the terms under that chunk's id, because BM25 may well rank copies and shorter texts above it.
    """
    places = pc.index_in(sample.column("chunk_id"), value_set=index.entries()["chunk_id"]).to_pylist()
    return [
        chunk["chunk_id"]
        for place, chunk in zip(places, sample.to_pylist(), strict=True)
        if place is None or not index.holds(place, chunk)
    ]


def _write_entries(
    draft: Path, base: Previous | None, parts: Sequence[Part], added: pa.Table
) -> tuple[PartRecord, ...]:
    """Write the entries: rows keep their number for as long as the segments do, new ones are appended.

    The last parts are joined with the new one while they are no larger, so that there are O(log n) of them.
    """
    parts, tail = list(parts), [Part(added, np.ones(len(added), dtype=np.bool_))] if len(added) else []
    rows = len(added)
    while parts and tail and len(parts[-1].rows) <= max(rows, entries.SMALL_PART_ROWS):
        tail.insert(0, parts.pop())
        rows += len(tail[0].rows)
    records, start = [], 0
    for part in parts:
        records.append(_record(part, start))
        start += len(part.rows)
    for record, part in zip(records, parts, strict=True):
        if base is not None:
            generation.link(base, f"{record.name}.arrow", draft)
        entries.write_live(draft, record.name, part.live)
    if tail:
        joined = Part(pa.concat_tables([part.rows for part in tail]), np.concatenate([part.live for part in tail]))
        records.append(_record(joined, start))
        entries.write_part(draft, records[-1].name, joined)
    return tuple(records)


def _record(part: Part, start: int) -> PartRecord:
    return PartRecord(name=f"rows-{start}-{start + len(part.rows)}", rows=len(part.rows), live=int(part.live.sum()))


def _live(parts: Sequence[Part]) -> Mask:
    return np.concatenate([np.zeros(0, dtype=np.bool_), *(part.live for part in parts)])
