"""No wrong vector passes the gate, and each refusal names the chunk."""

import numpy as np
import pytest

from resources.embedding.checkpoint import DEFAULT_MODEL
from resources.embedding.encoder import EncodedBatch, load_encoder
from resources.embedding.vectors import checksum, validate
from resources.errors import VectorError

TEXTS = ["The with statement wraps a block.", "A generator yields values.", "Names refer to objects."]
IDS = ["first", "second", "third"]


@pytest.fixture
def batch():
    encoded = load_encoder(DEFAULT_MODEL).encode(TEXTS)
    return EncodedBatch([one.copy() for one in encoded.tokens], encoded.pooled.copy())


def check(batch):
    encoder = load_encoder(DEFAULT_MODEL)
    validate(IDS, batch, encoder.tokenizer.count(TEXTS), encoder.identity)


def test_what_the_encoder_returns_is_valid(batch):
    check(batch)


def not_a_number(batch):
    batch.pooled[1, 5] = np.nan


def infinite(batch):
    batch.pooled[1, 5] = np.inf


def not_unit(batch):
    batch.pooled[1] *= 1.01


def zero(batch):
    batch.pooled[1] = 0


def one_token_short(batch):
    batch.tokens[1] = batch.tokens[1][:-1]


def padded(batch):
    batch.tokens[1] = np.vstack([batch.tokens[1], batch.tokens[1][-1:]])


def of_another_width(batch):
    batch.tokens[1] = batch.tokens[1][:, :32]


def floats(batch):
    batch.tokens[1] = batch.tokens[1].astype(np.float32)


def with_a_zero_token(batch):
    batch.tokens[1][2] = 0


@pytest.mark.parametrize(
    "damage",
    [not_a_number, infinite, not_unit, zero, one_token_short, padded, of_another_width, floats, with_a_zero_token],
)
def test_a_wrong_vector_is_refused_by_name(batch, damage):
    damage(batch)
    with pytest.raises(VectorError, match="chunk second: "):
        check(batch)


def test_a_pooled_vector_of_another_dimension_is_refused(batch):
    with pytest.raises(VectorError, match=r"chunk first: .*383"):
        check(batch._replace(pooled=batch.pooled[:, :383]))


def test_vectors_that_do_not_pair_up_with_chunks_are_refused(batch):
    with pytest.raises(VectorError, match=r"3 chunks .* 2 token matrices"):
        check(batch._replace(tokens=batch.tokens[:2]))


def test_the_checksum_sees_every_bit_and_every_border(batch):
    tokens, pooled = batch.tokens[0].tobytes(), batch.pooled[0].tobytes()
    whole = checksum(tokens, pooled)
    assert len(whole) == 16 and int(whole, 16) >= 0
    assert checksum(tokens, pooled) == whole
    flipped = bytes([tokens[0] ^ 1]) + tokens[1:]
    others = {checksum(flipped, pooled), checksum(pooled, tokens), checksum(tokens + pooled[:1], pooled[1:])}
    assert len(others | {whole}) == 4
