"""Whether anything that a look reads may have changed since the last one, for the price of listing files.

A mark covers every file of the corpus's folder: name, inode, size, time of the last change of content and of the inode.
Equal marks mean that nothing was written, so the store still holds what the last look read there. Only bits that rot in
place escape a mark, and they escape a scan too; reading every byte is what deep audits are for. Left out are the lease,
which beats, and what a look itself touches. Not here: remembering marks (the sensor does, for as long as it lives).
"""

import os
from collections.abc import Iterator
from pathlib import Path

from resources.corpus import Corpus
from resources.identity import digest, set_digest
from resources.reconciliation.freshness import NAME as AGREED
from resources.reconciliation.listing import read_listing
from resources.reconciliation.memory import LOCK

LEFT_OUT = {"lease", AGREED, LOCK}


def store_mark(folder: Path) -> str | None:
    """Return the mark of the files under a corpus's folder, which is on a local file system.

    None when it cannot be taken, because there is no folder or it is being written to: then only a look can tell.
    """
    try:
        return set_digest(_entries(folder))
    except OSError:
        return None


def _entries(folder: Path) -> Iterator[str]:
    pending = [str(folder)]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.name in LEFT_OUT:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                else:
                    stat = entry.stat(follow_symlinks=False)
                    yield f"{entry.path}:{stat.st_ino}:{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ctime_ns}"


def listing_mark(corpus: Corpus) -> str:
    """Return the mark of what the sources list now. Raises SourceError when one cannot be listed."""
    listing = read_listing(corpus)
    pairs = zip(listing.table["document_id"].to_pylist(), listing.table["version"].to_pylist(), strict=True)
    return digest(*sorted(listing.empty), set_digest(f"{one}\0{version}" for one, version in pairs))
