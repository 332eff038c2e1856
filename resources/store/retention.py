"""What of a corpus nobody needs any more: snapshots beyond those that are kept, and the parts that only they named.

Everything follows from what the store holds now, so a collection that was killed is finished by the next one. Manifests
go first: what a manifest names is never taken from under it. Which snapshots are kept is decided by `kept_snapshots`
alone. Not here: what the candidate needs, which takes a look at it (`resources.materialisation.retention`).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath

from resources.errors import ManifestDamagedError
from resources.store.base import CorpusStore
from resources.store.snapshots import Manifest, Snapshots
from resources.store.tables import CHUNKS, DOCUMENTS, EMBEDDINGS, QUARANTINE, Table, token_embeddings
from resources.store.writer import CorpusWriter

ORIGINALS = "originals"


@dataclass(frozen=True)
class Needs:
    """What the candidate needs: the table it embeds into, index generations, reports (None: every report)."""

    embeddings: Table
    indexes: Collection[str] = ()
    reports: Collection[str] | None = ()


@dataclass(frozen=True)
class Garbage:
    """What nobody needs. `versions` by table; `keep`: the versions that stay besides the newest, by table."""

    snapshots: tuple[int, ...] = ()
    versions: dict[str, tuple[int, ...]] = field(default_factory=dict)
    tables: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()
    reports: tuple[str, ...] = ()
    originals: tuple[str, ...] = ()
    keep: dict[Table, frozenset[int]] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """How many there are of each kind."""
        versions = sum(map(len, self.versions.values()))
        kinds = ("snapshots", "tables", "indexes", "reports", "originals")
        return {"versions": versions} | {kind: len(getattr(self, kind)) for kind in kinds}


def kept_snapshots(
    snapshots: Snapshots,
    *,
    keep: int,
    grace: timedelta,
    hold: Collection[int] = (),
    now: datetime | None = None,
) -> list[Manifest]:
    """Return the snapshots to keep, newest first, live before all.

    The newest of each of the last `keep` contents: a removal or an unpinning serves the same content under a new
    number. Then those that were live within `grace`, which a running query may still read, and those on `hold`. An
    older manifest that is damaged can serve nobody and is not kept; ManifestDamagedError when it is live's, or held.
    """
    now, contents, kept = now or datetime.now(UTC), set[str](), list[Manifest]()
    replaced: datetime | None = None
    for number in reversed(snapshots.numbers()):
        try:
            manifest = snapshots.read(number)
        except ManifestDamagedError:
            if not kept or number in hold:
                raise
            continue
        wanted = manifest.content not in contents and len(contents) < keep
        if wanted or replaced is None or now - replaced < grace or number in hold:
            kept.append(manifest)
        if wanted:
            contents.add(manifest.content)
        replaced = datetime.fromisoformat(manifest.created)
    return kept


def find_garbage(store: CorpusStore, kept: Sequence[Manifest], needs: Needs) -> Garbage:
    """Return what neither the `kept` snapshots nor the candidate need. Reads names, and one column where originals are
    kept.
    """
    keep = _named_versions(kept, needs.embeddings)
    versions = {}
    for table, named in keep.items():
        there = store.versions(table)
        if old := tuple(one for one in there[:-1] if one not in named):
            versions[table.name] = old
    known = {table.name for table in keep}
    indexes = {*needs.indexes, *(name for one in kept for name in (one.dense, one.bm25))}
    reports = needs.reports
    return Garbage(
        snapshots=tuple(sorted(set(store.snapshots.numbers()) - {one.number for one in kept})),
        versions=versions,
        tables=tuple(one for one in store.tables() if one.startswith(f"{EMBEDDINGS}/") and one not in known),
        indexes=tuple(one for one in store.indexes.names() if one not in indexes),
        reports=()
        if reports is None
        else tuple(one for one in store.reports.names() if one not in {*reports, *(one.report for one in kept)}),
        originals=_unneeded_originals(store, keep[DOCUMENTS]),
        keep=keep,
    )


def remove(writer: CorpusWriter, garbage: Garbage) -> None:
    """Remove what was found, as long as the writer has the lease: manifests before the parts that they name."""
    store = writer.store
    for number in garbage.snapshots:
        writer.retire(number)
    for table, named in garbage.keep.items():
        if table.name in garbage.versions:
            writer.forget_versions(table, keep=named)
    for name in garbage.tables:
        writer.drop(name)
    for folders, names in ((store.indexes, garbage.indexes), (store.reports, garbage.reports)):
        for name in names:
            writer.delete_folder(folders, name)
    for path in garbage.originals:
        writer.delete_file(path)


def _named_versions(kept: Sequence[Manifest], candidate: Table) -> dict[Table, frozenset[int]]:
    """Return the versions of each table that snapshots name, for every table that is to stay."""
    embeddings = {candidate} | {token_embeddings(one.model_fingerprint, one.dimension) for one in kept}
    named = {
        DOCUMENTS: frozenset(one.documents_version for one in kept),
        CHUNKS: frozenset(one.chunks_version for one in kept),
        QUARANTINE: frozenset[int](),
    }
    for table in embeddings:
        mine = (one for one in kept if token_embeddings(one.model_fingerprint, one.dimension) == table)
        named[table] = frozenset(one.embeddings_version for one in mine)
    return named


def _unneeded_originals(store: CorpusStore, versions: frozenset[int]) -> tuple[str, ...]:
    files = store.files.list(ORIGINALS)
    if not files:
        return ()
    needed = set(store.rows(DOCUMENTS, ("content_hash",))["content_hash"].to_pylist())
    for version in versions:
        needed.update(store.rows(DOCUMENTS, ("content_hash",), version=version)["content_hash"].to_pylist())
    return tuple(path for path in files if PurePosixPath(path).name not in needed)
