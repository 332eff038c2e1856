"""Chunks: verbatim, complete, within the model's limit, and stable where the text did not change."""

import re
import time
from itertools import pairwise
from typing import Literal

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from resources.chunking.base import Chunk, chunk_document, chunker_fingerprint, embedding_input
from resources.chunking.settings import ChunkingSettings
from resources.embedding.tokenizer import load_tokenizer

Strategy = Literal["fixed", "sentence", "markdown"]
STRATEGIES: tuple[Strategy, ...] = ("fixed", "sentence", "markdown")
TOKENIZER = load_tokenizer("all-MiniLM-L6-v2")

WORDS = st.sampled_from(
    ["the", "fox", "Dr.", "e.g.", "J.", "runs", "3.14", "U.S.", "dogs", "internationalization", "你好", "café", "(why)"]
)
SENTENCE = st.builds(
    lambda words, stop: " ".join(words).capitalize() + stop,
    st.lists(WORDS, min_size=1, max_size=20),
    st.sampled_from([".", "!", "?", "。", ":", ""]),
)
PARAGRAPH = st.lists(SENTENCE, min_size=1, max_size=8).map(" ".join)
BLOCK = st.one_of(
    PARAGRAPH,
    PARAGRAPH.map(lambda text: "## " + text[:50]),
    PARAGRAPH.map(lambda text: f"```\n{text}\n\n# {text}\n```"),
    st.integers(1, 30).map(lambda rows: "| a | b |\n|---|---|\n" + "| cell one | cell two |\n" * rows),
    st.lists(SENTENCE, min_size=1, max_size=9).map(lambda items: "\n".join(f"- {item}" for item in items)),
    st.integers(1, 400).map(lambda length: "x" * length),
    st.integers(1, 200).map(lambda length: "word " * length),
    st.text(max_size=60),
)
DOCUMENT = st.lists(BLOCK, max_size=12).map("\n\n".join)
SETTINGS = st.builds(
    lambda strategy, tokens, share: ChunkingSettings(strategy=strategy, tokens=tokens, overlap=int(tokens * share)),
    st.sampled_from(STRATEGIES),
    st.integers(32, 300),
    st.floats(0, 0.5),
)


def chunks(text: str, title: str | None = None, **options: object) -> list[Chunk]:
    return chunk_document(title, text, TOKENIZER, ChunkingSettings(**options))  # type: ignore[arg-type]


# A control character joins two words to one token: what begins inside it has a token that nobody counted.
JOINED = "The the the the the e.g. e.g..\n\n0\x850\n\nThe the the e.g. e.g.. The."
JOINED_LATE = (
    "The the the the the the the the the the the e.g..\n\n0\x850\n\n"
    "The the the the the e.g. e.g. dr.. The the the the e.g. e.g. 3.14."
)


@example(JOINED, "title " * 300, ChunkingSettings(strategy="fixed", tokens=39, overlap=12))
@example(JOINED_LATE, "title " * 300, ChunkingSettings(strategy="fixed", tokens=46, overlap=14))
@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(DOCUMENT, st.one_of(st.none(), st.text(max_size=80), st.just("title " * 300)), SETTINGS)
def test_chunks_are_verbatim_complete_and_within_the_limit(
    text: str, title: str | None, options: ChunkingSettings
) -> None:
    found = chunk_document(title, text, TOKENIZER, options)
    limit = min(options.tokens, TOKENIZER.max_tokens)
    covered = 0
    counts = TOKENIZER.count([embedding_input(chunk.heading, chunk.text) for chunk in found])
    for number, (chunk, tokens) in enumerate(zip(found, counts, strict=True)):
        assert chunk.ordinal == number
        assert chunk.text == text[chunk.start : chunk.end] == chunk.text.strip() != ""
        assert chunk.tokens == tokens <= limit
        assert not text[covered : chunk.start].strip()
        assert chunk.end > covered
        repeated = text[chunk.start : covered] if number else ""
        assert TOKENIZER.count([repeated])[0] - TOKENIZER.special_tokens <= options.overlap
        covered = chunk.end
    assert not text[covered:].strip()


@settings(max_examples=60, deadline=None)
@given(st.lists(PARAGRAPH, min_size=12, max_size=30), st.data())
def test_an_edit_leaves_most_chunks_alone(paragraphs: list[str], data: st.DataObject) -> None:
    """After an edited paragraph the cuts soon fall where they fell before: at the next paragraphs that end a chunk."""
    place = data.draw(st.integers(0, len(paragraphs) - 1))
    edited = [*paragraphs[:place], paragraphs[place] + " And one more sentence here.", *paragraphs[place + 1 :]]
    options = ChunkingSettings(strategy="sentence", tokens=64, overlap=0)
    before = [chunk.text for chunk in chunk_document(None, "\n\n".join(paragraphs), TOKENIZER, options)]
    after = [chunk.text for chunk in chunk_document(None, "\n\n".join(edited), TOKENIZER, options)]
    known = set(before)
    changed = [number for number, text in enumerate(after) if text not in known]
    assert len(changed) <= max(8, len(after) // 2)
    assert changed == [] or changed[-1] - changed[0] < max(10, len(after) * 2 // 3)


def test_an_edit_in_real_text_costs_a_few_chunks() -> None:
    """The default strategy against the naive one, over the same edits of Python's own documentation."""
    from pydoc_data.topics import topics

    text = topics["specialnames"]
    places = [match.start() for match in re.finditer(r"\n\n", text)][5:-5:12]
    changed: dict[str, list[int]] = {"sentence": [], "fixed": []}
    for strategy, counts in changed.items():
        known = {chunk.text for chunk in chunks(text, strategy=strategy)}
        for place in places:
            edited = text[:place] + " This sentence is new and shifts the rest." + text[place:]
            counts.append(sum(chunk.text not in known for chunk in chunks(edited, strategy=strategy)))
    assert sum(changed["sentence"]) <= 4 * len(places)
    assert sum(changed["sentence"]) * 3 < sum(changed["fixed"])


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("text", ["", " \n\t\n ", "\u3000"])
def test_no_text_has_no_chunks(strategy: Strategy, text: str) -> None:
    assert chunks(text, "Title", strategy=strategy) == []


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_short_document_is_one_chunk(strategy: Strategy) -> None:
    [chunk] = chunks("  One sentence. Another.\n", "A title", strategy=strategy)
    assert (chunk.text, chunk.heading, chunk.start) == ("One sentence. Another.", "A title", 2)
    assert chunk.tokens == TOKENIZER.count(["A title\nOne sentence. Another."])[0]


def test_overlap_repeats_whole_sentences() -> None:
    sentences = [f"This is sentence number {number} of the text." for number in range(40)]
    found = chunks(" ".join(sentences), tokens=64, overlap=20)
    for one, following in pairwise(found):
        assert following.start < one.end
        assert any(following.text.startswith(sentence) for sentence in sentences)
        assert one.text.endswith("of the text.")


def test_paragraphs_are_cut_between_rather_than_within() -> None:
    paragraphs = [" ".join(f"Sentence {number} {part} is here." for part in range(6)) for number in range(12)]
    found = chunks("\n\n".join(paragraphs), tokens=100, overlap=0)
    assert {chunk.text.split("\n\n")[-1] for chunk in found} <= set(paragraphs)


def test_a_sentence_longer_than_the_budget_is_cut_between_words() -> None:
    words = [f"word{number}" for number in range(500)]
    found = chunks(" ".join(words), tokens=64, overlap=0)
    assert " ".join(chunk.text for chunk in found) == " ".join(words)


INSTALL = "Install it with care and patience. " * 20
WINDOWS = "On this system it differs a little. " * 20
MANUAL = f"""# Manual

Intro.

## Install

{INSTALL}

### Windows

{WINDOWS}

```
# not a heading

pip install everything
```

## Use

| option | meaning |
|--------|---------|
| -a     | all     |
| -b     | both    |
"""


def test_markdown_chunks_stand_under_their_section_path() -> None:
    found = chunks(MANUAL, "Manual", strategy="markdown", tokens=128, overlap=0)
    headings = [chunk.heading for chunk in found]
    assert headings[0].startswith("Manual")
    assert "Manual > Install > Windows" in headings
    assert headings[-1].startswith("Manual > Use") or headings[-1] == "Manual"
    assert not any("not a heading" in heading for heading in headings)


def test_markdown_keeps_code_and_tables_whole_when_they_fit() -> None:
    found = chunks(MANUAL, "Manual", strategy="markdown", tokens=128, overlap=0)
    for block in ("```\n# not a heading\n\npip install everything\n```", MANUAL[MANUAL.index("| option") :].strip()):
        assert sum(block in chunk.text for chunk in found) == 1


def test_a_table_that_does_not_fit_is_cut_between_rows() -> None:
    table = "| name | value |\n|---|---|\n" + "".join(f"| entry {number} | {number * 7} |\n" for number in range(100))
    found = chunks(table, strategy="markdown", tokens=100, overlap=0)
    assert len(found) > 5
    assert all(chunk.text.startswith("| ") and chunk.text.endswith(" |") for chunk in found)


def test_a_long_section_path_keeps_its_ends_and_its_share() -> None:
    levels = "".join(f"{'#' * level} {'Very long heading of a chapter ' * 3}{level}\n\n" for level in range(1, 7))
    found = chunks(levels + "The text itself. " * 50, "Handbook", strategy="markdown", tokens=120, overlap=0)
    assert found[-1].heading.startswith(("Handbook > Very long", "Very long"))
    assert TOKENIZER.count([found[-1].heading])[0] <= 120 // 4 + TOKENIZER.special_tokens + 2


def test_a_fingerprint_changes_with_every_setting_and_only_where_it_matters() -> None:
    options = [
        ChunkingSettings(),
        ChunkingSettings(strategy="fixed"),
        ChunkingSettings(tokens=128),
        ChunkingSettings(overlap=0),
    ]
    assert len({chunker_fingerprint(one, TOKENIZER) for one in options}) == 4
    beyond = [ChunkingSettings(tokens=tokens) for tokens in (TOKENIZER.max_tokens, TOKENIZER.max_tokens + 100)]
    assert len({chunker_fingerprint(one, TOKENIZER) for one in beyond}) == 1


@pytest.mark.parametrize(
    "wrong", [{"tokens": 8}, {"overlap": -1}, {"tokens": 64, "overlap": 33}, {"strategy": "magic"}, {"size": 1}]
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ChunkingSettings(**wrong)  # type: ignore[arg-type]


HOSTILE = {
    "one word": "x" * 400_000,
    "dots": "." * 30_000,
    "dots apart": ". " * 20_000,
    "quotes": '."' * 20_000,
    "open quotes": "“A. " * 25_000,
    "blank lines": "a\n\n\n" * 25_000,
    "blanks": "a" + " " * 400_000 + "b",
    "spaced lines": " \n" * 50_000 + "x",
    "Chinese": "你好世界。" * 20_000,
    "bullets": "- \n" * 30_000,
    "hashes": "# " * 20_000,
    "headings": "# a\n" * 25_000,
    "deeper headings": "".join(f"{'#' * (number % 6 + 1)} {number}\n" for number in range(15_000)),
    "long heading": "# " + "heading " * 15_000 + "\n\ntext",
    "fences": "```\n" * 25_000,
    "pipes": "|-" * 20_000,
    "invisible": "\u200b" * 30_000,
    "emoji": "🏳️‍🌈" * 20_000,
}


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_are_cut_in_bounded_time_and_size(name: str, strategy: Strategy) -> None:
    text = HOSTILE[name]
    started = time.process_time()
    found = chunks(text, name, strategy=strategy)
    assert time.process_time() - started < 20
    assert max(len(chunk.text) for chunk in found) <= 64 * TOKENIZER.max_tokens
    assert all(chunk.tokens <= 200 for chunk in found)
    assert "".join(text.split()) == "".join(
        "".join(chunk.text.split()) for chunk in chunks(text, name, strategy=strategy, overlap=0)
    )


def test_a_large_document_takes_time_in_proportion() -> None:
    from pydoc_data.topics import topics

    page = "\n\n".join(topics.values())
    small, large = page[:250_000], (page * 3)[:1_000_000]
    seconds = []
    for text in (small, large):
        started = time.process_time()
        found = chunks(text)
        seconds.append(time.process_time() - started)
        assert found[-1].end == len(text.rstrip())
    assert seconds[1] < 4 * 2.5 * seconds[0] + 0.5


def test_five_megabytes_are_chunked_in_bounded_time() -> None:
    from pydoc_data.topics import topics

    text = ("\n\n".join(topics.values()) * 12)[:5_000_000]
    started = time.process_time()
    found = chunks(text, strategy="markdown")
    assert time.process_time() - started < 60
    assert found[-1].end == len(text.rstrip())
