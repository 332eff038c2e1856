"""Rows to put into stores."""

import numpy as np
import pyarrow as pa

from resources.store.tables import CHUNKS, QUARANTINE, token_embeddings

EMBEDDINGS = token_embeddings("0123456789abcdef" * 2, 8)


def rows(pairs: dict[str, str], group: str = "t") -> pa.Table:
    """Return rows of QUARANTINE: key to reason."""
    return pa.table(
        {"row_id": list(pairs), "table": [group] * len(pairs), "id": list(pairs), "reason": list(pairs.values())},
        schema=QUARANTINE.schema,
    )


def held(store, version: int | None = None) -> dict[str, str]:
    """Return what QUARANTINE holds: key to reason; each key must be there once."""
    found = store.rows(QUARANTINE, ("row_id", "reason"), version=version)
    keys = found["row_id"].to_pylist()
    assert len(set(keys)) == len(keys)
    return dict(zip(keys, found["reason"].to_pylist(), strict=True))


def chunks(document: str, texts: list[str], generation: int = 0) -> pa.Table:
    """Return the chunks of a document."""
    return pa.Table.from_pylist(
        [
            {
                "chunk_id": f"{document}/{number}", "document_id": document, "ordinal": number, "of": len(texts),
                "start": 0, "end": len(text), "heading": "", "text": text, "text_hash": text[:9], "tokens": len(text),
                "document_hash": str(generation), "fingerprint": "f",
            }
            for number, text in enumerate(texts)
        ],
        schema=CHUNKS.schema,
    )  # fmt: skip


def embeddings(count: int, *, seed: int = 0, tokens: int = 4) -> pa.Table:
    """Return token embeddings of made-up vectors."""
    random = np.random.default_rng(seed)
    pooled = random.standard_normal((count, 8), dtype=np.float32) * np.float32(1e-5)
    return pa.table(
        {
            "chunk_id": [f"chunk-{number:06d}" for number in range(count)],
            "text_hash": ["h"] * count,
            "fingerprint": ["0123456789abcdef" * 2] * count,
            "n_tokens": [tokens] * count,
            "tokens": [random.integers(-128, 128, tokens * 4, dtype=np.int8).tobytes() for _ in range(count)],
            "pooled": pa.FixedSizeListArray.from_arrays(pooled.reshape(-1), 8),
            "checksum": [str(number) for number in range(count)],
        },
        schema=EMBEDDINGS.schema,
    )
