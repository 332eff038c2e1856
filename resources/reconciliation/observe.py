"""Observe: read what the sources list, what the candidate and live hold. Everything is read from the store itself.

Only small columns are read (the `scan` depth). Whatever cannot be reached raises; nothing is counted as empty that was
not looked at.
"""

from collections import defaultdict
from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, replace
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from resources.alignment import Keyed
from resources.corpus import Corpus
from resources.errors import IndexDamagedError, ManifestDamagedError, TableDamagedError
from resources.identity import digest, set_digest
from resources.index import generation
from resources.parsing.base import READABLE
from resources.reconciliation.brake import hold_removals
from resources.reconciliation.diff import (
    ChunksDiff,
    DocumentsDiff,
    EmbeddingsDiff,
    chunks_diff,
    documents_diff,
    embeddings_diff,
    taken,
)
from resources.reconciliation.duplicates import distinct, representatives
from resources.reconciliation.generations import KINDS, IndexState, observe_index
from resources.reconciliation.listing import Listing, document_fingerprint, judged_sources, read_listing
from resources.reconciliation.memory import Memory, read_memory
from resources.reconciliation.vectors import drift_of, live_label
from resources.reconciliation.waiting import put_off
from resources.store.damage import Damage
from resources.store.snapshots import Manifest, now
from resources.store.tables import CHUNKS, DOCUMENTS, QUARANTINE, Table, token_embeddings

DOCUMENT_COLUMNS = (
    "document_id",
    "source",
    "version",
    "media_type",
    "status",
    "fingerprint",
    "text_hash",
    "next_try",
    "principals",
)
CHUNK_COLUMNS = ("chunk_id", "document_id", "ordinal", "of", "text_hash", "tokens", "document_hash", "fingerprint")
EMBEDDING_COLUMNS = ("chunk_id", "text_hash", "n_tokens", "checksum")


@dataclass(frozen=True)
class Tables:
    """Small columns of the tables of one place, candidate or live."""

    documents: pa.Table
    chunks: pa.Table
    embeddings: pa.Table


class SystemState:
    """What was found.

    Everything is read on first use, so looking at less costs less; what was read once stays as it was. `live` is None
    when nothing was published, or when its manifest is damaged, which `live_problems` says.
    """

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self._live_manifest_problem = ""
        try:
            self.live: Manifest | None = corpus.store.snapshots.live()
        except ManifestDamagedError as error:
            self.live, self._live_manifest_problem = None, str(error)
        self._damage: dict[str, list[Damage]] = {}
        self._versions: dict[str, int] = {}
        self._listed: Future[Listing] | None = None

    def gather(self) -> None:
        """Read the tables while the sources are listed: each waits for another system."""
        if "listing" not in self.__dict__:
            with ThreadPoolExecutor(1) as thread:
                self._listed = thread.submit(copy_context().run, read_listing, self.corpus)
                _ = self.candidate, self.live_tables

    @cached_property
    def memory(self) -> Memory:
        """What is remembered besides the store: only confirmed removals change what is found."""
        return read_memory(self.corpus.store)

    @cached_property
    def listing(self) -> Listing:
        """What the sources list; SourceError when none can be listed and nothing is stored either."""
        listing = self._listed.result() if self._listed is not None else read_listing(self.corpus)
        if len(listing.unreachable) == len(self.corpus.sources) and not self.candidate.documents.num_rows:
            raise next(iter(listing.unreachable.values()))
        return listing

    @cached_property
    def candidate(self) -> Tables:
        """The newest version of each table."""
        return Tables(
            self._newest(DOCUMENTS, DOCUMENT_COLUMNS),
            self._newest(CHUNKS, CHUNK_COLUMNS),
            self._newest(self.corpus.embeddings, EMBEDDING_COLUMNS),
        )

    @cached_property
    def damage(self) -> dict[str, list[Damage]]:
        """What of the candidate's tables cannot be read, by table; only of tables where something cannot."""
        _ = self.candidate, self._marks
        return {name: found for name, found in self._damage.items() if found}

    def _newest(self, table: Table, columns: tuple[str, ...]) -> pa.Table:
        """Return what can be read of a table: all of it, unless files are damaged."""
        store = self.corpus.store
        self._damage[table.name] = store.damage(table)
        if not self._damage[table.name]:
            try:
                self._versions[table.name] = store.version(table)
                return store.rows(table, columns, version=self._versions[table.name])
            except TableDamagedError:
                self._damage[table.name] = store.damage(table)
        return store.sound_rows(table, columns)

    @cached_property
    def live_tables(self) -> Tables | None:
        """The versions that live names; None when nothing is live, or it cannot be read (`live_problems`)."""
        return self._live[0]

    @cached_property
    def _live(self) -> tuple[Tables | None, str | None]:
        """Live's tables, read again only where the candidate has moved on, or why they cannot be read."""
        live = self.live
        if live is None:
            return None, None
        embeddings = token_embeddings(live.model_fingerprint, live.dimension)
        newest = self.candidate.embeddings if embeddings == self.corpus.embeddings else None
        named = (
            (DOCUMENTS, live.documents_version),
            (CHUNKS, live.chunks_version),
            (embeddings, live.embeddings_version),
        )
        apart = [(table, at) for table, at in named if not self._is_newest(table, at)]
        damaged = [str(one) for table, at in apart for one in self.corpus.store.damage(table, version=at)]
        if damaged:
            return None, f"tables of snapshot {live.number} are damaged: {'; '.join(damaged)}"
        try:
            tables = Tables(
                self._at(DOCUMENTS, live.documents_version, DOCUMENT_COLUMNS, self.candidate.documents),
                self._at(CHUNKS, live.chunks_version, CHUNK_COLUMNS, self.candidate.chunks),
                self._at(embeddings, live.embeddings_version, EMBEDDING_COLUMNS, newest),
            )
        except TableDamagedError as error:
            return None, str(error)
        return tables, None

    def _at(self, table: Table, version: int, columns: tuple[str, ...], newest: pa.Table | None) -> pa.Table:
        if newest is not None and self._is_newest(table, version):
            return newest
        return self.corpus.store.rows(table, columns, version=version)

    def _is_newest(self, table: Table, version: int) -> bool:
        """Whether the candidate was read at this version, and is sound."""
        return self._versions.get(table.name) == version and not self._damage[table.name]

    @property
    def live_damage(self) -> str:
        """What of the tables that live names cannot be read; empty when all can."""
        return self._live[1] or ""

    @cached_property
    def quarantine(self) -> dict[str, frozenset[str]]:
        """Ids of the rows that checks and audits found bad, by table; marks of live: `bad_in_live`."""
        found: dict[str, set[str]] = defaultdict(set)
        for label, marked in self._marks.items():
            found["token_embeddings" if label == self.corpus.embeddings.name else label].update(marked)
        return {table: frozenset(ids) for table, ids in found.items()}

    @cached_property
    def _marks(self) -> dict[str, dict[str, str]]:
        """Quarantined ids and the reason of each, by what the quarantine names them under."""
        rows = self._newest(QUARANTINE, ("table", "id", "reason"))
        found: dict[str, dict[str, str]] = defaultdict(dict)
        for label, row_id, reason in zip(*(rows[name].to_pylist() for name in ("table", "id", "reason")), strict=True):
            found[label][row_id] = reason
        return found

    @cached_property
    def bad_in_candidate(self) -> dict[str, str]:
        """Chunks whose vectors an audit proved bad, chunk id → drift type, and that still have a row."""
        marked = self._marks.get(self.corpus.embeddings.name, {})
        return {one: drift_of(marked[one]) for one in self.embeddings.quarantined if one in marked}

    @cached_property
    def bad_in_live(self) -> dict[str, str]:
        """The same of the version that live serves."""
        if self.live is None:
            return {}
        table = token_embeddings(self.live.model_fingerprint, self.live.dimension)
        marked = self._marks.get(live_label(table.name, self.live.embeddings_version), {})
        return {one: drift_of(reason) for one, reason in marked.items()}

    @cached_property
    def documents(self) -> DocumentsDiff:
        """The candidate's documents against the sources."""
        stored = self.candidate.documents
        by_name = {source.name: source for source in self.corpus.sources}
        pairs = set(zip(stored["source"].to_pylist(), stored["media_type"].to_pylist(), strict=True))
        fingerprints = {
            (name, kind): document_fingerprint(self.corpus, by_name[name], kind)
            for name, kind in pairs
            if name in by_name
        }
        diff = documents_diff(
            self.listing.with_unreachable(stored),
            stored,
            fingerprints=fingerprints,
            target=self.corpus.target.documents,
            protected=self.listing.empty,
        )
        diff = put_off(diff, stored, unreachable=self.listing.unreachable, now=now())
        brake, confirmed = self.corpus.settings.brake, self.memory.confirmed
        gone, held = hold_removals(diff.gone, stored, brake=brake, confirmed=confirmed)
        return replace(diff, gone=gone, held=held)

    @cached_property
    def searchable(self) -> pa.Table:
        """The documents that are to be found: document_id, text_hash; the first of equal ones with equal readers."""
        table = self.candidate.documents
        readable = table.filter(pc.is_in(table["status"], pa.array(READABLE)))
        sound = without(readable, "document_id", self.quarantine.get("documents"))
        return distinct(sound, apart=judged_sources(self.corpus))

    @cached_property
    def stands_for(self) -> dict[str, str]:
        """Each document that can be found, itself or as the equal of another, with the one that is found for it."""
        return representatives(self.candidate.documents, self.searchable)

    @cached_property
    def chunks(self) -> ChunksDiff:
        """The candidate's chunks against its documents and the chunker."""
        return chunks_diff(
            self.searchable.select(["document_id", "text_hash"]), self.candidate.chunks, chunker=self.corpus.chunker
        )

    @cached_property
    def servable(self) -> pa.Table:
        """The chunks that are to be embedded."""
        return without(self.candidate.chunks, "chunk_id", self.quarantine.get("chunks"))

    @cached_property
    def embeddings(self) -> EmbeddingsDiff:
        """The candidate's token embeddings of the desired model against its chunks."""
        bad = self.quarantine.get("token_embeddings", frozenset())
        return embeddings_diff(self._servable, self._embeddings, quarantined=bad)

    @cached_property
    def indexable(self) -> pa.Table:
        """What both indexes are to hold: chunk_id, document_id, and the embedding's checksum (null while it is
        missing).
        """
        return self._indexable.rows

    @cached_property
    def _servable(self) -> Keyed:
        return Keyed.by("chunk_id", self.servable)

    @cached_property
    def _embeddings(self) -> Keyed:
        return Keyed.by("chunk_id", self.candidate.embeddings)

    @cached_property
    def _indexable(self) -> Keyed:
        bad = self.quarantine.get("token_embeddings")
        good = Keyed.by("chunk_id", without(self.servable, "chunk_id", bad)) if bad else self._servable
        checksums = taken(self._embeddings.rows["checksum"], good.ids.places_in(self._embeddings.ids))
        return Keyed(good.rows.select(["chunk_id", "document_id"]).append_column("checksum", checksums), good.ids)

    def index(self, kind: str) -> IndexState:
        """An index as far as it serves the candidate: what was built for it, else what live has."""
        return self._indexes[kind]

    @cached_property
    def _indexes(self) -> dict[str, IndexState]:
        return {kind: observe_index(self.corpus, kind, self.live, self._indexable) for kind in KINDS}

    @cached_property
    def is_complete(self) -> bool:
        """Whether tables and indexes of the candidate agree with each other and with the desired settings."""
        rows = self.embeddings
        wrong = (self.chunks.rechunk, self.chunks.orphans, rows.missing, rows.stale_text, rows.incomplete, rows.orphans)
        return not any(wrong) and all(self.index(kind).is_sound for kind in KINDS)

    @cached_property
    def content(self) -> str:
        """What the candidate would serve; equal to live's `content` when publishing would change nothing."""
        documents = zip(
            self.searchable["document_id"].to_pylist(), self.searchable["text_hash"].to_pylist(), strict=True
        )
        indexes = [path.name for kind in KINDS if (path := self.index(kind).path) is not None]
        return digest(
            "content", set_digest(f"{one}:{text}" for one, text in documents), self.corpus.model.fingerprint, *indexes
        )

    @cached_property
    def hidden(self) -> list[str]:
        """Documents that live hides although they are to be found: removed once, and back again."""
        removed = set(self.live.removed_documents) if self.live is not None else set()
        return sorted(removed.intersection(self.searchable["document_id"].to_pylist())) if removed else []

    @cached_property
    def chunks_digest(self) -> str:
        """The digest of the chunks that both indexes hold."""
        return set_digest(self.indexable["chunk_id"].to_pylist())

    @cached_property
    def live_problems(self) -> list[str]:
        """What of the files that live names is missing or has another length, one line each."""
        problems = [one for one in (self._live_manifest_problem, self.live_damage) if one]
        if self.live is not None:
            for kind in KINDS:
                path = self.corpus.store.indexes.fetch(getattr(self.live, kind))
                try:
                    generation.require_whole(path, generation.read_manifest(path))
                except IndexDamagedError as error:
                    problems.append(str(error))
        return problems

    def report_exists(self, report: str) -> bool:
        """Whether an evaluation report is still there."""
        return (self.corpus.store.reports.fetch(report) / "report.json").is_file()


def without(table: pa.Table, column: str, ids: Collection[str] | None) -> pa.Table:
    """Return the rows whose `column` is not among `ids`."""
    if not ids:
        return table
    return table.filter(pc.invert(pc.is_in(table[column], pa.array(list(ids), pa.string()))))
