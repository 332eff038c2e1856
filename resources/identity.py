"""Identity is content: how hashes, ids and work shards are derived. Pure functions, no I/O.

A digest is the lower-case hexadecimal BLAKE2b hash of its parts, each part prefixed with its length so that
("ab", "c") and ("a", "bc") differ.
"""

import hashlib
from collections.abc import Iterable

DIGEST_BYTES = 16


def digest(*parts: str | bytes) -> str:
    """Return 32 hexadecimal characters that identify the sequence of parts."""
    state = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        state.update(len(data).to_bytes(8, "little"))
        state.update(data)
    return state.hexdigest()


def set_digest(ids: Iterable[str]) -> str:
    """Return the digest of a set of ids, whatever order they come in."""
    state = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for one in sorted(ids):
        state.update(one.encode("utf-8", "surrogatepass"))
        state.update(b"\0")
    return state.hexdigest()


def chunk_id(document_id: str, heading: str, text: str, occurrence: int) -> str:
    """Return the id of a chunk: its document and its content, so an edit elsewhere in the document leaves it alone.

    `occurrence` numbers chunks of identical content within one document, from 0.
    """
    return digest("chunk", document_id, heading, text, str(occurrence))


def shard_of(key: str, shards: int) -> int:
    """Return the work shard (0 … shards-1) a key belongs to; the same in every process."""
    return (
        int.from_bytes(hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little") % shards
    )
