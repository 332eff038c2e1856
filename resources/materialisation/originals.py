"""The bytes of documents as they were fetched, kept under their hash when settings or the source say so.

A row's `content_hash` names its file. What no row refers to any more is cleared.
"""

from collections.abc import Collection
from pathlib import Path

from resources.corpus import Corpus
from resources.identity import digest
from resources.store.files import write_bytes_atomically


def keep(corpus: Corpus, data: bytes) -> None:
    """Write a document's bytes down, unless they are there."""
    path = _path(corpus, digest(data))
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes_atomically(path, data)


def clear(corpus: Corpus, content_hashes: Collection[str | None]) -> None:
    """Delete the originals that no row refers to."""
    if corpus.store.originals.is_dir():
        wanted = set(content_hashes)
        for path in corpus.store.originals.glob("*/*"):
            if path.name not in wanted and not path.name.startswith("."):
                path.unlink(missing_ok=True)


def _path(corpus: Corpus, content_hash: str) -> Path:
    return corpus.store.originals / content_hash[:2] / content_hash
