"""What is fitted on a model's own output: shipped for the default model, fitted once and kept for any other."""

from pydoc_data.topics import topics

import numpy as np
import pytest

from rag_assets_tests.models import save_second_model
from resources.embedding.checkpoint import DEFAULT_MODEL
from resources.embedding.codec import TokenCodec
from resources.embedding.encoder import load_encoder
from resources.embedding.identity import model_identity
from resources.errors import StoreError
from resources.reconciliation.audit.calibrate import fit
from resources.reconciliation.audit.calibration import calibration_of, cosines, read_calibration


@pytest.fixture(scope="module")
def second(tmp_path_factory):
    encoder = load_encoder(save_second_model(tmp_path_factory.mktemp("models") / "second"))
    return encoder, fit(encoder, 100)


def never():
    raise AssertionError("it is there, so it must not be fitted")


def test_the_default_model_comes_with_one(tmp_path):
    identity = model_identity(DEFAULT_MODEL)
    shipped = calibration_of(identity, tmp_path, never)
    assert shipped.fingerprint == identity.fingerprint
    assert shipped.relation.shape == (identity.dimension, identity.token_dimension) == shipped.own.shape
    assert 0.8 < shipped.relation_min < 0.93 and not list(tmp_path.iterdir())


def test_another_models_is_kept_and_fitted_again_only_when_its_file_is_damaged(second, tmp_path):
    encoder, fitted = second
    asked = []

    def fit_now():
        asked.append(1)
        return fitted

    for _ in range(2):
        got = calibration_of(encoder.identity, tmp_path, fit_now)
        assert len(asked) == 1 and abs(got.relation_min - fitted.relation_min) < 1e-6
    (file,) = tmp_path.iterdir()
    assert file.stem == encoder.identity.fingerprint
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(StoreError, match="cannot be read"):
        read_calibration(file)
    calibration_of(encoder.identity, tmp_path, fit_now)
    assert len(asked) == 2


def test_a_folder_that_cannot_be_written_costs_only_the_fit(second, tmp_path):
    encoder, fitted = second
    (tmp_path / "file").write_text("no folder")
    assert calibration_of(encoder.identity, tmp_path / "file", lambda: fitted) is fitted


def test_the_relation_tells_own_from_other_vectors(second):
    encoder, fitted = second
    texts = [text[:300] for text in topics.values()][:60]
    made = encoder.encode(texts)
    means = np.stack([TokenCodec.decode(one).mean(axis=0) for one in made.tokens])
    predicted = made.pooled @ fitted.relation + fitted.relation_bias
    own, others = cosines(predicted, means), cosines(np.roll(predicted, 1, axis=0), means)
    assert (own >= fitted.relation_min).mean() > 0.9
    # This model's vectors share a large mean, so the threshold alone misses most; each text still prefers its own.
    assert (own > others).mean() > 0.95
