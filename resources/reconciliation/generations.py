"""Which generation of each index comes nearest to the candidate, and how it differs.

Manifests and entries are read, and the lengths of files; what the files hold is for `indexes` to audit.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa

from resources.alignment import Keyed
from resources.corpus import Corpus
from resources.errors import IndexDamagedError
from resources.index import bm25, dense, entries, generation
from resources.reconciliation.diff import IndexDiff, index_diff, nothing_indexed
from resources.store.snapshots import Manifest

KINDS = ("dense", "bm25")


@dataclass(frozen=True)
class IndexState:
    """The generation that comes nearest to the candidate (None: there is none), how it differs, and what is wrong with
    its files.
    """

    path: Path | None
    diff: IndexDiff
    problems: tuple[str, ...] = ()

    @property
    def is_sound(self) -> bool:
        """Whether the generation is there, whole, and holds exactly the candidate's chunks."""
        return self.path is not None and not self.problems and not self.diff.ids


def observe_index(corpus: Corpus, kind: str, live: Manifest | None, wanted: Keyed) -> IndexState:
    """Return an index as far as it serves `wanted`: what was built for it, else what live has."""
    plan = partial(plan_index, corpus, kind)
    served = corpus.store.indexes.fetch(getattr(live, kind)) if live is not None else None
    found = _look_at(corpus, served, wanted, plan(wanted.rows.slice(0, 0))) if served is not None else None
    if found is not None and not found.diff.ids:
        return found
    if not wanted.rows["checksum"].null_count:
        built = corpus.store.indexes.fetch(plan(wanted.rows).name)
        if built.exists() and built != served:
            return _look_at(corpus, built, wanted, plan(wanted.rows))
    return found or IndexState(None, nothing_indexed(wanted))


def plan_index(corpus: Corpus, kind: str, wanted: pa.Table) -> generation.Manifest:
    """Return the manifest, files left out, that an index of these chunks has by the present settings."""
    if kind == "dense":
        return dense.plan(wanted, fingerprint=corpus.model.fingerprint, dimension=corpus.model.dimension)
    return bm25.plan(wanted)


def _look_at(corpus: Corpus, path: Path, wanted: Keyed, planned: generation.Manifest) -> IndexState:
    """Compare a generation with what is wanted; one made otherwise than planned holds nothing of use.

    A copy here of what the store has lost does not make it sound.
    """
    try:
        manifest = generation.read_manifest(path)
        generation.require_whole(path, manifest)
        if (manifest.kind, manifest.fingerprint, manifest.parameters) != (
            planned.kind,
            planned.fingerprint,
            planned.parameters,
        ):
            return IndexState(None, nothing_indexed(wanted))
        held = entries.read_live(path, [part.name for part in manifest.parts])
        diff = index_diff(wanted, Keyed.by("chunk_id", held))
        return IndexState(path, diff, () if diff.ids else tuple(corpus.store.indexes.lacks(path.name)))
    except IndexDamagedError as error:
        return IndexState(path, nothing_indexed(wanted), (str(error),))
