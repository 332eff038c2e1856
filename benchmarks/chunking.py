"""Chunking strategies compared by what the default model then finds of the passages that answer a question.

    python -m benchmarks.chunking DIRECTORY

The directory has the BEIR layout, with the passages' offsets in each query's metadata (`references`). Recall, precision
and IoU of characters are those of Smith and Troynikov, "Evaluating Chunking Strategies for Retrieval", Chroma technical
report, 2024 (https://github.com/brandonstarxel/chunking_evaluation), over the five best chunks of the whole corpus.
Two columns are ours: recall within 1,000 tokens, because five small chunks are less to read than five large ones, and
how many chunks an inserted sentence changes, because each has to be embedded again. The result is docs/chunking.md.
"""

import argparse
import json
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resources.chunking.base import Chunk, chunk_document, embedding_input
from resources.chunking.settings import ChunkingSettings
from resources.embedding.encoder import Encoder, load_encoder

GRID = [
    ("fixed", 200, 0),
    ("fixed", 200, 30),
    ("sentence", 128, 0),
    ("sentence", 200, 0),
    ("sentence", 200, 30),
    ("sentence", 254, 0),
    ("markdown", 200, 30),
]
TOP = 5
READ_TOKENS = 1000
INSERTED = " This sentence was not here before, and it moves all that follows by a few words."
EDITS = 4
EDITED_CHARACTERS = 100_000


@dataclass(frozen=True)
class Question:
    """A query and the [start, end) ranges of one document that answer it; the ranges do not overlap."""

    text: str
    document: str
    passages: list[tuple[int, int]]


def load(path: Path) -> tuple[dict[str, tuple[str, str]], list[Question]]:
    """Return title and text by document id, and the questions."""
    documents = {}
    for line in (path / "corpus.jsonl").open(encoding="utf-8"):
        record = json.loads(line)
        documents[record["_id"]] = (record["title"], record["text"])
    questions = []
    for line in (path / "queries.jsonl").open(encoding="utf-8"):
        record = json.loads(line)
        passages = merged([(one["start"], one["end"]) for one in record["metadata"]["references"]])
        questions.append(Question(record["text"], record["metadata"]["corpus_id"], passages))
    return documents, questions


def merged(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the union of ranges as disjoint ranges."""
    union: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if union and start <= union[-1][1]:
            union[-1] = (union[-1][0], max(end, union[-1][1]))
        else:
            union.append((start, end))
    return union


def score(question: Question, found: list[tuple[str, Chunk]]) -> tuple[float, float, float]:
    """Return recall, precision and IoU in characters; text retrieved twice counts twice as retrieved."""
    parts = [
        (max(start, chunk.start), min(end, chunk.end))
        for document, chunk in found
        if document == question.document
        for start, end in question.passages
        if start < chunk.end and chunk.start < end
    ]
    hit = sum(end - start for start, end in merged(parts))
    wanted = sum(end - start for start, end in question.passages)
    retrieved = sum(chunk.end - chunk.start for _, chunk in found)
    return hit / wanted, hit / retrieved, hit / (retrieved + wanted - hit)


def chunks_changed(documents: dict[str, tuple[str, str]], encoder: Encoder, settings: ChunkingSettings) -> float:
    """Return how many chunks are new, on average, after a sentence is inserted at a random place of a document."""
    changed = []
    for title, text in documents.values():
        text = text[:EDITED_CHARACTERS]
        before = {chunk.text for chunk in chunk_document(title, text, encoder.tokenizer, settings)}
        places = random.Random(title)
        for _ in range(EDITS):
            place = text.index(" ", places.randrange(len(text) * 9 // 10))
            edited = text[:place] + INSERTED + text[place:]
            after = chunk_document(title, edited, encoder.tokenizer, settings)
            changed.append(sum(chunk.text not in before for chunk in after))
    return float(np.mean(changed))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--model", default="all-MiniLM-L6-v2")
    arguments = parser.parse_args()
    documents, questions = load(arguments.path)
    encoder = load_encoder(arguments.model)
    asked = encoder.encode_queries([question.text for question in questions]).pooled
    known: dict[str, np.ndarray] = {}
    columns = "strategy tokens overlap chunks mean_tokens recall precision IoU recall_in_1,000_tokens edit"
    print(f"| {columns.replace(' ', ' | ').replace('_', ' ')} |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for strategy, tokens, overlap in GRID:
        settings = ChunkingSettings(strategy=strategy, tokens=tokens, overlap=overlap)
        chunks = [
            (document, chunk)
            for document, (title, text) in documents.items()
            for chunk in chunk_document(title, text, encoder.tokenizer, settings)
        ]
        inputs = [embedding_input(chunk.heading, chunk.text) for _, chunk in chunks]
        new = sorted(set(inputs) - known.keys())
        if new:
            known.update(zip(new, encoder.encode(new).pooled, strict=True))
        best = np.argsort(-(asked @ np.stack([known[one] for one in inputs]).T), axis=1, kind="stable")
        scores, within = [], []
        for question, ranking in zip(questions, best, strict=True):
            scores.append(score(question, [chunks[one] for one in ranking[:TOP]]))
            read = np.cumsum([chunks[one][1].tokens for one in ranking[:50]])
            within.append(
                score(question, [chunks[one] for one in ranking[: np.searchsorted(read, READ_TOKENS, "right")]])[0]
            )
        means = " | ".join(f"{100 * value:.1f}" for value in [*np.mean(scores, axis=0), np.mean(within)])
        size = np.mean([chunk.tokens for _, chunk in chunks])
        changed = chunks_changed(documents, encoder, settings)
        print(
            f"| {strategy} | {tokens} | {overlap} | {len(chunks):,} | {size:.0f} | {means} | {changed:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
