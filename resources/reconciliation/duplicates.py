"""Documents of equal or nearly equal text. Pure functions on Arrow tables.

Equal ones are indexed once, as the one with the lowest id, while each keeps its row: its place and who may read it.
Only documents with the same readers count as equal, so that nobody is shown a copy that is not theirs to see.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator
from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

BANDS = 4
NEAR = 3
WORDS = 4
MOST_CHARACTERS = 1_000_000
_BLOCK = 1 << 14


def distinct(readable: pa.Table, *, apart: Collection[str] = ()) -> pa.Table:
    """Return one row for each text and its readers (document_id, source, text_hash, principals), the lowest id's.

    `apart`: sources whose documents stay as they are, because judgments name them one by one.
    """
    alone = pc.is_in(readable["source"], pa.array(list(apart), pa.string()))
    others = readable.filter(pc.invert(alone))
    keyed = others.select(["document_id", "text_hash"]).append_column("readers", _readers(others["principals"]))
    first = keyed.group_by(["text_hash", "readers"]).aggregate([("document_id", "min")])["document_id_min"]
    if len(first) == others.num_rows:
        return readable
    return readable.filter(pc.or_(alone, pc.is_in(readable["document_id"], first.combine_chunks())))


def representatives(documents: pa.Table, searchable: pa.Table) -> dict[str, str]:
    """Return, for each document whose text and readers a searchable one has, the id of that one; its own for itself."""
    found: dict[tuple[str | None, str], str] = {}
    for one, text, readers in _keys(searchable):
        found.setdefault((text, readers), one)
    own = set(searchable["document_id"].to_pylist())
    return {
        one: one if one in own else found[text, readers]
        for one, text, readers in _keys(documents)
        if one in own or (text is not None and (text, readers) in found)
    }


def _keys(documents: pa.Table) -> Iterator[tuple[str, str | None, str]]:
    columns = (documents["document_id"], documents["text_hash"], _readers(documents["principals"]))
    yield from zip(*(column.to_pylist() for column in columns), strict=True)


def _readers(principals: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a list of principals as one text, another one where it is null than where it is empty."""
    joined = pc.binary_join(principals.cast(pa.list_(pa.string())), "\n")
    return pc.fill_null(pc.binary_join_element_wise("only", joined, ":"), "all")


def simhash(text: str) -> int:
    """Return 64 bits that differ in few places for texts with mostly the same words in the same order.

    Charikar, "Similarity estimation techniques from rounding algorithms", STOC 2002, over runs of four words, of the
    first million characters.
    """
    words = text[:MOST_CHARACTERS].lower().split()
    runs = {" ".join(words[at : at + WORDS]) for at in range(max(1, len(words) - WORDS + 1))}
    hashes = np.fromiter((_hash(run) for run in runs), np.uint64, len(runs))
    balance = np.zeros(64, np.int64)
    for start in range(0, len(hashes), _BLOCK):
        bits = np.unpackbits(hashes[start : start + _BLOCK].view(np.uint8).reshape(-1, 8), axis=1)
        balance += 2 * bits.sum(axis=0, dtype=np.int64) - len(bits)
    return int(np.packbits(balance > 0).view(np.int64)[0])


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def near_pairs(documents: pa.Table) -> list[tuple[str, str]]:
    """Return pairs of ids whose simhashes differ in at most 3 of 64 bits and whose text_hash differs.

    Manku, Jain and Das Sarma, "Detecting near-duplicates for web crawling", WWW 2007: two such hashes agree in at
    least one of four bands of 16 bits. Columns: document_id, text_hash, simhash; rows without a simhash are left out.
    """
    known = documents.filter(pc.is_valid(documents["simhash"]))
    ids, texts = known["document_id"].to_pylist(), known["text_hash"].to_pylist()
    values = [value & (1 << 64) - 1 for value in known["simhash"].to_pylist()]
    bands: dict[tuple[int, int], list[int]] = defaultdict(list)
    pairs = set()
    for row, value in enumerate(values):
        for band in range(BANDS):
            place = (band, value >> 16 * band & 0xFFFF)
            for other in bands[place]:
                if texts[other] != texts[row] and (values[other] ^ value).bit_count() <= NEAR:
                    pairs.add(tuple(sorted((ids[other], ids[row]))))
            bands[place].append(row)
    return sorted(pairs)
