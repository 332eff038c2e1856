"""The bytes of documents as they were fetched, kept under their hash when settings or the source say so.

A row's `content_hash` names its file. What no row of a kept snapshot refers to is cleared away with the snapshots
(`retention`).
"""

from collections.abc import Collection
from pathlib import PurePosixPath

from resources.corpus import Corpus
from resources.identity import digest
from resources.store.retention import ORIGINALS as FOLDER


def keep(corpus: Corpus, data: bytes) -> None:
    """Write a document's bytes down, unless they are there."""
    content_hash = digest(data)
    corpus.store.files.create(f"{FOLDER}/{content_hash[:2]}/{content_hash}", data)


def clear(corpus: Corpus, content_hashes: Collection[str | None]) -> None:
    """Delete the originals that no row refers to."""
    wanted, files = set(content_hashes), corpus.store.files
    for path in files.list(FOLDER):
        if PurePosixPath(path).name not in wanted:
            files.delete(path)
