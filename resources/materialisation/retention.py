"""Keeping a corpus small: clearing away what nobody needs any more, and compacting tables of many small commits.

Part of publishing, which makes both needful and holds the lease anyway; and by hand. Which snapshots are kept, and what
they need: `resources.store.retention`. Here: what the candidate needs besides.
"""

from dataclasses import dataclass
from pathlib import Path

from resources.corpus import Corpus
from resources.errors import SourceError
from resources.materialisation.base import writing_by_hand
from resources.reconciliation.generations import KINDS
from resources.reconciliation.observe import SystemState
from resources.reconciliation.questions import report_folder
from resources.store.retention import Garbage, Needs, find_garbage, kept_snapshots, remove
from resources.store.snapshots import Manifest
from resources.store.tables import CHUNKS, DOCUMENTS, QUARANTINE, Table
from resources.store.writer import CorpusWriter


@dataclass(frozen=True)
class Cleaned:
    """What a command cleared away, or would. `kept`: snapshots that stay; `waiting`: tables to be compacted by the next
    run, because the candidate has changes that are not published; `freed`: bytes.
    """

    garbage: Garbage
    kept: tuple[int, ...]
    compacted: tuple[str, ...]
    waiting: tuple[str, ...]
    freed: int = 0


def collect(corpus: Corpus, writer: CorpusWriter, needs: Needs, keep: int | None = None) -> Garbage:
    """Clear away what neither the kept snapshots nor the candidate need, and return what it was.

    `keep` stands in for the setting `retention.snapshots`. Nothing goes while all of the corpus is on hold.
    """
    garbage = _find(corpus, needs, keep)
    remove(writer, garbage)
    return garbage


def retain(corpus: Corpus, manifest: Manifest) -> None:
    """Label the versions that a manifest is going to name, so that no clean-up of the tables takes them away."""
    label = f"snapshot-{manifest.number:08d}"
    for table, version in (
        (DOCUMENTS, manifest.documents_version),
        (CHUNKS, manifest.chunks_version),
        (corpus.embeddings, manifest.embeddings_version),
    ):
        corpus.store.retain(table, version, label)


def compact(corpus: Corpus, writer: CorpusWriter) -> list[str]:
    """Compact the candidate's tables that need it, and return their names. Live goes on reading what it names."""
    due = _due(corpus)
    for table in due:
        writer.compact(table)
    return [table.name for table in due]


def clean(corpus: Corpus, keep: int | None = None, *, dry_run: bool = False) -> Cleaned:
    """Compact what needs it, as long as that can be published at once, and clear away what nobody needs."""
    if dry_run:
        due = tuple(table.name for table in _due(corpus))
        ready = _live_is_newest(corpus) is not None
        kept = tuple(one.number for one in _kept(corpus, keep))
        return Cleaned(_find(corpus, _needs(corpus), keep), kept, due if ready else (), () if ready else due)
    before = corpus.store.size()
    with writing_by_hand(corpus) as writer:
        live = _live_is_newest(corpus)
        compacted = compact(corpus, writer) if live is not None else []
        if live is not None and compacted:
            _publish_compacted(corpus, writer, live)
        garbage = collect(corpus, writer, _needs(corpus), keep)
    waiting = () if live is not None else tuple(table.name for table in _due(corpus))
    kept = tuple(corpus.store.snapshots.numbers()[::-1])
    return Cleaned(garbage, kept, tuple(compacted), waiting, before - corpus.store.size())


def _find(corpus: Corpus, needs: Needs, keep: int | None) -> Garbage:
    kept = _kept(corpus, keep)
    if not kept or corpus.settings.retention.hold is True:
        return Garbage()
    return find_garbage(corpus.store, kept, needs)


def _kept(corpus: Corpus, keep: int | None) -> list[Manifest]:
    settings = corpus.settings.retention
    hold = () if isinstance(settings.hold, bool) else settings.hold
    return kept_snapshots(corpus.store.snapshots, keep=keep or settings.snapshots, grace=settings.grace, hold=hold)


def _needs(corpus: Corpus) -> Needs:
    """Return what the candidate needs; every report, when its questions cannot be had to tell which is its own."""
    state = SystemState(corpus)
    indexes = [path.name for kind in KINDS if isinstance(path := state.index(kind).path, Path)]
    try:
        reports: list[str] | None = [report_folder(corpus, state).name]
    except SourceError:
        reports = None
    return Needs(corpus.embeddings, indexes, reports)


def _due(corpus: Corpus) -> list[Table]:
    tables = (DOCUMENTS, CHUNKS, corpus.embeddings, QUARANTINE)
    return [table for table in tables if corpus.store.needs_compacting(table)]


def _versions(corpus: Corpus) -> dict[str, int]:
    store = corpus.store
    return {
        "documents_version": store.version(DOCUMENTS),
        "chunks_version": store.version(CHUNKS),
        "embeddings_version": store.version(corpus.embeddings),
    }


def _live_is_newest(corpus: Corpus) -> Manifest | None:
    """Return live if it serves the newest version of each table, and no bad vectors that an audit marked there."""
    state = SystemState(corpus)
    live = state.live
    if live is None or live.model_fingerprint != corpus.model.fingerprint or state.bad_in_live:
        return None
    return live if all(getattr(live, name) == number for name, number in _versions(corpus).items()) else None


def _publish_compacted(corpus: Corpus, writer: CorpusWriter, live: Manifest) -> None:
    """Publish live's content in the compacted versions: a pin stays, as do the documents that it hides."""
    manifest = corpus.store.snapshots.successor(live, run=writer.run, **_versions(corpus))
    retain(corpus, manifest)
    writer.publish(manifest)
