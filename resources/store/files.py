"""Small files that are either whole or not there. Used for manifests, leases and remembered targets."""

import os
import tempfile
from pathlib import Path


def write_atomically(path: Path, content: str) -> None:
    """Replace `path` by `content`, so that a reader sees the old file or the new one, also after a crash."""
    temporary = _write_beside(path, content)
    temporary.replace(path)
    sync_folder(path.parent)


def write_bytes_atomically(path: Path, content: bytes) -> None:
    """Replace `path` by `content`, as `write_atomically` does."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    Path(temporary).replace(path)
    sync_folder(path.parent)


def create_exclusively(path: Path, content: str) -> bool:
    """Create `path` with `content` unless it exists; return whether this call created it.

    Atomic on POSIX file systems.
    """
    temporary = _write_beside(path, content)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
    sync_folder(path.parent)
    return True


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_beside(path: Path, content: str) -> Path:
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return Path(temporary)
