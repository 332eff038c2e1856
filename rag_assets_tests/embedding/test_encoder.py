"""One forward pass gives what sentence-transformers gives, in the order asked for, and nothing is cut or made up."""

from concurrent.futures import ThreadPoolExecutor
from pydoc_data.topics import topics

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from rag_assets_tests.models import copy_default_model, save_second_model
from resources.embedding import encoder as module
from resources.embedding.checkpoint import DEFAULT_MODEL, open_checkpoint
from resources.embedding.encoder import Encoder, load_encoder
from resources.embedding.identity import model_identity
from resources.errors import ModelError, VectorError

TEXTS = [topic[: 40 + 45 * number] for number, topic in enumerate(list(topics.values())[:12])] + ["", "one"]


@pytest.fixture(scope="module")
def encoder():
    return load_encoder(DEFAULT_MODEL)


@pytest.fixture(scope="module")
def exact(module_patch):
    """The default model in float32, whatever this machine is best at."""
    import torch

    module_patch.setattr(module, "_placement", lambda: ("cpu", torch.float32))
    return Encoder(model_identity(DEFAULT_MODEL))


@pytest.fixture(scope="module")
def module_patch():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def reference():
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(open_checkpoint(DEFAULT_MODEL).path), device="cpu")


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = a.astype(np.float64), b.astype(np.float64)
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def test_float32_equals_sentence_transformers(exact, reference):
    """Batches are composed alike (one text each), so that nothing but the arithmetic is compared."""
    for text in TEXTS[::3]:
        expected = reference.encode([text])
        tokens = reference.encode([text], output_value="token_embeddings")[0].numpy()
        encoded = exact.encode([text])
        assert np.abs(encoded.pooled - expected).max() < 1e-6
        difference = encoded.tokens[0].astype(int) - exact.codec.encode(tokens)
        assert np.abs(difference).max() <= 1  # the last bit of a float decides which way a tie is rounded
        assert (difference != 0).mean() < 1e-3


def test_the_machines_own_format_agrees_with_sentence_transformers(encoder, reference):
    encoded = encoder.encode(TEXTS)
    assert cosines(encoded.pooled, reference.encode(TEXTS)).min() >= 0.999
    tokens = [one.numpy() for one in reference.encode(TEXTS, output_value="token_embeddings")]
    expected = np.concatenate([encoder.codec.project(one) for one in tokens])
    assert cosines(np.concatenate(encoded.tokens), expected).min() >= 0.999


def test_order_is_kept_and_batch_composition_does_not_matter(encoder):
    together, alone = encoder.encode(TEXTS), [encoder.encode([text]) for text in TEXTS]
    assert [len(one) for one in together.tokens] == encoder.tokenizer.count(TEXTS).tolist()
    assert cosines(together.pooled, np.concatenate([one.pooled for one in alone])).min() >= 0.999
    for ours, theirs in zip(together.tokens, alone, strict=True):
        assert cosines(ours, theirs.tokens[0]).min() >= 0.999


def test_no_texts_are_no_vectors(encoder):
    assert encoder.encode([]).pooled.shape == (0, 384)
    assert encoder.encode_queries([]).truncated == []


def test_a_batch_holds_a_bounded_number_of_padded_tokens():
    lengths = [3, 200, 7, 256, *[100] * 300, 256, 4]
    batches = list(module._batches(lengths, 1536))
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    assert max(len(batch) * max(lengths[index] for index in batch) for batch in batches) <= 1536
    assert len(batches) <= sum(lengths) / 1536 + 4


def test_a_text_longer_than_the_model_reads_is_an_error_and_is_named(encoder):
    longest = "word " * (encoder.identity.max_tokens - encoder.tokenizer.special_tokens)
    assert len(encoder.encode([longest]).tokens[0]) == encoder.identity.max_tokens
    with pytest.raises(VectorError, match="text 1 has 257 tokens"):
        encoder.encode(["short", longest + "more"])


def test_a_long_query_is_cut_and_says_so(encoder):
    queries = encoder.encode_queries(["word " * 500, "what is a coroutine?"])
    assert queries.truncated == [True, False]
    assert [len(one) for one in queries.tokens] == [256, encoder.tokenizer.count(["what is a coroutine?"])[0]]
    assert cosines(queries.pooled[:1], encoder.encode(["word " * 254]).pooled).min() >= 0.999


def test_a_query_and_a_passage_share_one_space(encoder):
    text = "A coroutine can suspend itself."
    query, passage = encoder.encode_queries([text]), encoder.encode([text])
    assert np.array_equal(query.pooled, passage.pooled)
    assert cosines(query.tokens[0], passage.tokens[0]).min() >= 0.999


def test_threads_share_one_encoder(encoder):
    expected = encoder.encode(TEXTS)
    with ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(lambda _: load_encoder(DEFAULT_MODEL), range(8)))
        encoded = list(pool.map(encoder.encode, [TEXTS] * 4))
    assert all(one is encoder for one in loaded)
    for one in encoded:
        assert np.array_equal(one.pooled, expected.pooled)
        assert all(map(np.array_equal, one.tokens, expected.tokens))


def test_another_model_has_other_vectors_and_keeps_its_dimension(encoder, tmp_path):
    second = load_encoder(save_second_model(tmp_path / "second"))
    assert second is not encoder
    encoded = second.encode(TEXTS)
    assert {one.shape[1] for one in encoded.tokens} == {384}
    assert cosines(encoded.pooled, encoder.encode(TEXTS).pooled).max() < 0.99


def test_another_architecture_is_run_by_transformers(tmp_path, module_patch):
    import torch
    from transformers import AutoModel, RobertaConfig, RobertaModel

    model = copy_default_model(tmp_path / "model")
    torch.manual_seed(1)
    sizes = {"vocab_size": 30_522, "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    RobertaModel(RobertaConfig(**sizes, intermediate_size=96, pad_token_id=0)).save_pretrained(model)
    module_patch.setattr(module, "_placement", lambda: ("cpu", torch.float32))
    loaded = load_encoder(str(model))
    encoded = loaded.encode(TEXTS)
    theirs = AutoModel.from_pretrained(str(model))
    for text, tokens in zip(TEXTS, encoded.tokens, strict=True):
        ids = torch.tensor(loaded.tokenizer.ids([text]))
        states = theirs(ids).last_hidden_state[0].detach().numpy()
        assert cosines(tokens, loaded.codec.project(states)).min() > 0.999


def test_weights_of_another_shape_than_the_configuration_are_a_model_error(tmp_path):
    model = copy_default_model(tmp_path / "model")
    tensors = load_file(model / "model.safetensors")
    tensors["encoder.layer.0.output.dense.weight"] = tensors["encoder.layer.0.output.dense.weight"][:, :100].copy()
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="do not fit"):
        load_encoder(str(model))


def test_weights_that_lack_a_parameter_are_never_filled_at_random(tmp_path):
    model = copy_default_model(tmp_path / "model")
    tensors = load_file(model / "model.safetensors")
    del tensors["encoder.layer.3.output.dense.weight"]
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lack .*encoder\.layer\.3\.output\.dense\.weight"):
        load_encoder(str(model))


def test_cut_off_weights_are_a_model_error(tmp_path):
    weights = copy_default_model(tmp_path / "model") / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1_000_000])
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_encoder(str(weights.parent))


def test_numbers_that_are_not_finite_name_their_text(tmp_path):
    """Weights with an infinity in the embedding of one word spoil the texts that hold the word."""
    model = copy_default_model(tmp_path / "model")
    tensors = load_file(model / "model.safetensors")
    word = load_encoder(DEFAULT_MODEL).tokenizer.ids(["poison"])[0][1]
    tensors["embeddings.word_embeddings.weight"][word] = np.inf
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
    spoiled = load_encoder(str(model))
    spoiled.encode(["wholesome"])
    with pytest.raises(VectorError, match=r"text 1: .* not finite"):
        spoiled.encode(["wholesome", "poison"])
