"""Where sentences begin."""

from itertools import pairwise

import pytest

from resources.chunking.packing import LINE, PARAGRAPH, SENTENCE
from resources.chunking.sentences import sentence_boundaries


def split(text: str, rank: int = SENTENCE) -> list[str]:
    found = sentence_boundaries(text)
    cuts = [int(offset) for offset, own in zip(found.offsets, found.ranks, strict=True) if own >= rank]
    return [text[start:end].strip() for start, end in pairwise(cuts)]


@pytest.mark.parametrize(
    "sentences",
    [
        ["Dr. Smith went to Washington, D.C. on Jan. 5th.", "He said it was fine."],
        ["See Fig. 3 (Jones et al. 2002) for details.", "It costs $3.14 today!"],
        ["Use os.path.join here.", "J. R. Tolkien wrote it."],
        ["“Really?”", "Yes (I think so.)", "The end…", "Or not?!"],
        ["1. First of all.", "In 1999.", "Then more."],
        ["你好。", "世界！", "再见。"],
        ["Items:", "- one", "- two", "3) three"],
    ],
)
def test_sentences_begin_where_a_reader_would_begin_them(sentences: list[str]) -> None:
    joint = "\n" if sentences[0] == "Items:" else "" if "你" in sentences[0] else " "
    assert split(joint.join(sentences)) == sentences


def test_a_wrapped_sentence_stays_whole() -> None:
    assert split("This sentence goes\non over lines.\nThis is another.") == [
        "This sentence goes\non over lines.",
        "This is another.",
    ]


def test_a_small_letter_makes_a_full_stop_doubtful() -> None:
    text = "all is lower case. even this one."
    assert split(text) == [text]
    assert split(text, LINE) == ["all is lower case.", "even this one."]


def test_blank_lines_part_paragraphs() -> None:
    assert split("One. Two.\n \t\nThree\n\n\nFour", PARAGRAPH) == ["One. Two.", "Three", "Four"]
