"""The model's own tokenizer: counts tokens and gives their places in the text, in bounded memory, without torch.

It does not decide where a chunk ends (`resources.chunking`), and truncates only when asked to.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import tokenizers

from resources.embedding.checkpoint import open_checkpoint
from resources.errors import ModelError
from resources.identity import digest

PIECE_CHARACTERS = 1 << 16
BATCH_CHARACTERS = 1 << 20
SURROGATE = re.compile("[\ud800-\udfff]")


class Tokenizer:
    """Tokens of texts of any size. Safe to share between threads.

    `special_tokens` is how many tokens the model adds to every text, `max_tokens` the longest input it reads with
    those included. Texts longer than 65,536 characters are tokenised in pieces cut at whitespace.
    """

    def __init__(self, definition: Path, max_tokens: int) -> None:
        text = definition.read_text("utf-8")
        self._backend = tokenizers.Tokenizer.from_str(text)
        self._backend.no_truncation()
        self._backend.no_padding()
        probe = self._backend.encode("a")
        content = probe.special_tokens_mask.index(0)
        self._before = probe.ids[:content]
        self._after = probe.ids[probe.special_tokens_mask.index(1, content) :] if probe.special_tokens_mask[-1] else []
        self.special_tokens = len(self._before) + len(self._after)
        self.max_tokens = max_tokens
        self.fingerprint = digest("tokenizer", text, str(max_tokens))

    def spans(self, text: str) -> np.ndarray:
        """Return the [start, end) character offsets of the content tokens as int32 (n, 2)."""
        spans = [np.empty((0, 2), np.int32)]
        for _, start, encoding in self._encode([text], offsets=True):
            spans.append(np.array(encoding.offsets, np.int32).reshape(-1, 2) + np.int32(start))
        return np.concatenate(spans)

    def count(self, texts: Sequence[str]) -> np.ndarray:
        """Return the number of tokens of each text, special tokens included, as int32 (n,)."""
        counts = np.full(len(texts), self.special_tokens, np.int32)
        for number, _, encoding in self._encode(texts):
            counts[number] += len(encoding)
        return counts

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return each text's token ids, special tokens included: what the model reads."""
        ids = [list(self._before) for _ in texts]
        for number, _, encoding in self._encode(texts):
            ids[number] += encoding.ids
        return [one + self._after for one in ids]

    def truncated(self, ids: list[int]) -> list[int]:
        """Return the ids of a text cut to `max_tokens`, the closing special tokens kept."""
        if len(ids) <= self.max_tokens:
            return ids
        return ids[: self.max_tokens - len(self._after)] + self._after

    def _encode(self, texts: Sequence[str], *, offsets: bool = False) -> Iterator[tuple[int, int, tokenizers.Encoding]]:
        """Yield (number of the text, where the piece starts in it, the piece's tokens), in order."""
        encode = self._backend.encode_batch if offsets else self._backend.encode_batch_fast
        for batch in _batches(texts):
            numbers, starts, pieces = zip(*batch, strict=True)
            yield from zip(numbers, starts, encode(pieces, add_special_tokens=False), strict=True)


def load_tokenizer(model: str) -> Tokenizer:
    """Return the tokenizer of `model` (as `open_checkpoint` takes it), read once while its file is unchanged."""
    checkpoint = open_checkpoint(model)
    definition = checkpoint.path / "tokenizer.json"
    try:
        changed = definition.stat().st_mtime_ns
    except FileNotFoundError as error:
        raise ModelError(f"model {model}: {definition} is missing; save the model with a fast tokenizer") from error
    return _read(definition, changed, checkpoint.max_tokens)


@cache
def _read(definition: Path, changed: int, max_tokens: int) -> Tokenizer:
    return Tokenizer(definition, max_tokens)


def _batches(texts: Sequence[str]) -> Iterator[list[tuple[int, int, str]]]:
    """Group the pieces of all texts so that one batch holds about a million characters."""
    batch: list[tuple[int, int, str]] = []
    characters = 0
    for number, text in enumerate(texts):
        for start, piece in _pieces(text):
            batch.append((number, start, piece))
            characters += len(piece)
            if characters >= BATCH_CHARACTERS:
                yield batch
                batch, characters = [], 0
    if batch:
        yield batch


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """Cut a text before whitespace, where no tokenizer joins words; without any, in the middle of the run."""
    start = 0
    while start < len(text):
        end = start + PIECE_CHARACTERS
        if end < len(text):
            space = max(text.rfind(" ", start + 1, end), text.rfind("\n", start + 1, end))
            end = space if space > start else end
        # A lone surrogate (from a file name or an argument) has no UTF-8 form; its replacement is one character too.
        yield start, SURROGATE.sub("\ufffd", text[start:end])
        start = end
