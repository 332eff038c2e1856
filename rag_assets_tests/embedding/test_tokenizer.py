"""The tokenizer counts what the model reads, points into the original text, and stays small on huge texts."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_assets_tests.models import copy_default_model
from resources.embedding.checkpoint import DEFAULT_MODEL, open_checkpoint
from resources.embedding.tokenizer import PIECE_CHARACTERS, load_tokenizer
from resources.errors import ModelError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(DEFAULT_MODEL)


def test_ids_are_those_of_the_models_own_tokenizer(tokenizer):
    from transformers import AutoTokenizer

    reference = AutoTokenizer.from_pretrained(str(open_checkpoint(DEFAULT_MODEL).path))
    texts = ["", "Hello, naïve Straße!", "中文 and 🙂 emoji", "a [SEP] b", "snake_case_name = 0x1F", "word " * 400]
    assert tokenizer.ids(texts) == reference(texts, truncation=False)["input_ids"]
    assert tokenizer.count(texts).tolist() == [len(one) for one in tokenizer.ids(texts)]


@given(st.text(st.characters(codec=None), max_size=300))
def test_spans_lie_in_the_text_in_order_and_agree_with_count(text):
    tokenizer = load_tokenizer(DEFAULT_MODEL)
    spans = tokenizer.spans(text)
    assert spans.dtype == np.int32 and spans.shape == (len(spans), 2)
    assert len(spans) + tokenizer.special_tokens == tokenizer.count([text])[0]
    assert (spans >= 0).all() and (spans <= len(text)).all() and (spans[:, 0] < spans[:, 1]).all()
    assert (spans[1:, 0] >= spans[:-1, 0]).all()


def test_spans_of_words_are_the_words(tokenizer):
    text = "Hello naïve \U0001f642 world"
    assert [text[start:end] for start, end in tokenizer.spans(text)] == ["Hello", "naïve", "\U0001f642", "world"]


def test_cutting_a_large_text_into_pieces_changes_no_token(tokenizer):
    text = "The quick brown fox, quite naïvely, jumped. " * (3 * PIECE_CHARACTERS // 44)
    whole = tokenizer._backend.encode(text, add_special_tokens=False)
    assert np.array_equal(tokenizer.spans(text), np.array(whole.offsets))


@pytest.mark.parametrize(
    "text", ["x" * (5 * PIECE_CHARACTERS // 2), " " * (2 * PIECE_CHARACTERS), "é" * PIECE_CHARACTERS]
)
def test_a_text_without_words_is_tokenised_too(tokenizer, text):
    assert len(tokenizer.spans(text)) + tokenizer.special_tokens == tokenizer.count([text])[0]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads a process's peak memory from Linux's /proc")
def test_a_large_text_is_tokenised_in_bounded_memory():
    """10 MB of text need about 140 MB, most of it the interpreter and the spans; in one piece they take 1.6 GB."""
    code = (
        "from resources.embedding.tokenizer import load_tokenizer\n"
        "tokenizer = load_tokenizer('all-MiniLM-L6-v2')\n"
        "print(len(tokenizer.spans('A sentence of some words. ' * 400_000)))\n"
        "print(*[line for line in open('/proc/self/status') if line.startswith('VmHWM')])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    tokens, peak = done.stdout.splitlines()[:2]
    assert int(tokens) == 6 * 400_000
    assert int(peak.split()[1]) < 300 * 1024


def test_loading_imports_neither_torch_nor_transformers():
    code = (
        "import sys; from resources.embedding.identity import model_identity; model_identity('all-MiniLM-L6-v2')\n"
        "print({'torch', 'transformers', 'huggingface_hub'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_directory_without_a_tokenizer_is_a_model_error(tmp_path):
    model = copy_default_model(tmp_path / "model")
    (model / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"tokenizer\.json is missing"):
        load_tokenizer(str(model))
