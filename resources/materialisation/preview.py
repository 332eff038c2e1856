"""What a few documents of each source would become, and what all of them would cost. Nothing is written."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from resources.chunking.base import chunk_document, embedding_input
from resources.corpus import Corpus
from resources.parsing.base import READABLE, RawDocument
from resources.parsing.pool import parser_pool
from resources.reconciliation.listing import document_id
from resources.sources.base import FetchFailure, Source, SourceItem
from resources.sources.fetching import fetch_all, list_source

TIMED_CHUNKS = 16
SHOWN_CHARACTERS = 300
POOLED_BYTES = 4


@dataclass(frozen=True)
class Preview:
    """One document as it would be: its outcome, the beginning of its text, and its chunks."""

    document_id: str
    status: str
    reason: str | None
    title: str | None
    media_type: str
    bytes: int
    characters: int
    beginning: str
    chunks: tuple[str, ...]


def preview(corpus: Corpus, sources: Sequence[Source], documents: int) -> tuple[list[Preview], dict[str, Any]]:
    """Return previews of up to `documents` documents of each source, spread over its listing, and an estimate for all.

    SourceError when one of the sources cannot be listed.
    """
    listed = {source.name: list_source(source) for source in sources}
    jobs = [(source, _spread(listed[source.name], documents)) for source in sources]
    raws: list[RawDocument] = []
    found: list[Preview] = []
    for source, item, fetched in fetch_all(jobs):
        one = document_id(source, item.key)
        if isinstance(fetched, FetchFailure):
            found.append(Preview(one, "unread", fetched.reason, None, "", 0, 0, "", ()))
        else:
            raws.append(replace(fetched, key=one))
    with parser_pool(corpus.settings.parsing) as pool:
        for parsed in pool.parse(raws):
            ok = parsed.status in READABLE
            chunks = chunk_document(parsed.title or "", parsed.text, corpus.tokenizer, corpus.settings.chunking)
            found.append(
                Preview(
                    parsed.key,
                    parsed.status,
                    parsed.reason,
                    parsed.title,
                    parsed.media_type,
                    parsed.bytes,
                    len(parsed.text),
                    " ".join(parsed.text[: 2 * SHOWN_CHARACTERS].split())[:SHOWN_CHARACTERS],
                    tuple(embedding_input(one.heading, one.text) for one in chunks) if ok else (),
                )
            )
    return sorted(found, key=lambda one: one.document_id), _estimate(corpus, listed, found)


def _spread(items: list[SourceItem], count: int) -> list[SourceItem]:
    step = max(1, len(items) // count)
    return list(islice(items[::step], count))


def _estimate(corpus: Corpus, listed: dict[str, list[SourceItem]], found: list[Preview]) -> dict[str, Any]:
    """Extrapolate from the previewed documents: by bytes where the listing has sizes, by number otherwise."""
    items = [item for one in listed.values() for item in one]
    chunks = [text for one in found for text in one.chunks]
    looked_at = sum(one.bytes for one in found)
    total = sum(item.size or 0 for item in items)
    sized = all(item.size is not None for item in items) and looked_at > 0
    share = total / looked_at if sized else len(items) / max(1, len(found))
    expected = round(len(chunks) * share)
    seconds, tokens = _time_a_chunk(corpus, chunks)
    per_chunk = tokens * corpus.model.token_dimension + POOLED_BYTES * corpus.model.dimension
    return {
        "documents": len(items),
        "bytes": total if sized else None,
        "chunks": expected,
        "hours": round(expected * seconds / 3600, 2),
        "stored_bytes": round(expected * per_chunk + sum(map(len, chunks)) * share),
        "previewed": len(found),
    }


def _time_a_chunk(corpus: Corpus, chunks: list[str]) -> tuple[float, float]:
    """Return the seconds that embedding a chunk takes here, and its mean number of tokens; zero without chunks."""
    step = max(1, len(chunks) // TIMED_CHUNKS)
    sample = chunks[::step][:TIMED_CHUNKS]
    if not sample:
        return 0.0, 0.0
    encoder = corpus.encoder
    encoder.encode(sample[:1])
    started = time.perf_counter()
    encoder.encode(sample)
    seconds = (time.perf_counter() - started) / len(sample)
    return seconds, float(corpus.tokenizer.count(sample).mean())
