"""BERT's forward pass, computed from the weights file itself.

Most sentence encoders are BERTs, and `transformers` takes seconds to import: too long for a command that encodes one
question. Other architectures go through it (`encoder`). Not here: tokenising, pooling, batching, threads.

Source: Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding" (2019).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resources.errors import ModelError

if TYPE_CHECKING:
    import torch

Affine = tuple["torch.Tensor", "torch.Tensor"]


@dataclass(frozen=True)
class _Layer:
    """Weight and bias of each step; queries, keys and values are computed by one product."""

    qkv: Affine
    attended: Affine
    attended_norm: Affine
    inner: Affine
    outer: Affine
    outer_norm: Affine


class Bert:
    """A loaded encoder: token ids in, last hidden state out. Threads may share it."""

    def __init__(self, weights: Mapping[str, "torch.Tensor"], config: Mapping[str, Any]) -> None:
        self._heads = int(config["num_attention_heads"])
        self._epsilon = float(config.get("layer_norm_eps", 1e-12))
        self._words = weights["embeddings.word_embeddings.weight"]
        # Every token of a text is of type 0, so its embedding is part of the positions'.
        self._positions = (
            weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
        )
        self._norm = _affine(weights, "embeddings.LayerNorm")
        self._layers = [_layer(weights, f"encoder.layer.{n}") for n in range(int(config["num_hidden_layers"]))]

    def __call__(self, ids: "torch.Tensor", mask: "torch.Tensor") -> "torch.Tensor":
        """Return the last hidden state (b, n, d) of token ids (b, n); `mask` is False where a text is padded."""
        from torch.nn.functional import gelu, layer_norm, linear, scaled_dot_product_attention

        size = self._words.shape[1:]
        # Without padding no mask is needed, and attention is faster.
        padded = None if bool(mask.all()) else mask[:, None, None, :]
        hidden = self._words[ids] + self._positions[: ids.shape[1]]
        hidden = layer_norm(hidden, size, *self._norm, self._epsilon)
        for layer in self._layers:
            qkv = linear(hidden, *layer.qkv).view(*ids.shape, 3, self._heads, -1)
            query, key, value = qkv.permute(2, 0, 3, 1, 4)
            mixed = scaled_dot_product_attention(query, key, value, attn_mask=padded)
            attended = linear(mixed.transpose(1, 2).flatten(2), *layer.attended)
            hidden = layer_norm(attended + hidden, size, *layer.attended_norm, self._epsilon)
            outer = linear(gelu(linear(hidden, *layer.inner)), *layer.outer)
            hidden = layer_norm(outer + hidden, size, *layer.outer_norm, self._epsilon)
        return hidden


def is_bert(config: Mapping[str, Any]) -> bool:
    """Say whether a model with this configuration is computed here."""
    return (
        config.get("model_type") == "bert"
        and config.get("hidden_act") == "gelu"
        and config.get("position_embedding_type", "absolute") == "absolute"
        and not config.get("is_decoder")
    )


def load_bert(path: Path, config: Mapping[str, Any], device: str, dtype: "torch.dtype") -> Bert:
    """Read the weights under `path` (model*.safetensors). ModelError when they are damaged or incomplete."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    weights = {}
    try:
        for file in sorted(path.glob("model*.safetensors")):
            for name, tensor in load_file(file, device=device).items():
                weights[name.removeprefix("bert.")] = tensor.to(dtype)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"the weights under {path} cannot be loaded ({error}); fetch the model again") from error
    try:
        model = Bert(weights, config)
        # Weights of another shape than the configuration says would fail only when the first text comes.
        model(torch.zeros((1, 2), dtype=torch.long, device=device), torch.ones((1, 2), dtype=torch.bool, device=device))
    except KeyError as error:
        raise ModelError(f"the weights under {path} lack {error}; fetch or save the model again") from error
    except RuntimeError as error:
        raise ModelError(f"the weights under {path} do not fit their config.json: {error}") from error
    return model


def _layer(weights: Mapping[str, "torch.Tensor"], name: str) -> _Layer:
    import torch

    own = [_affine(weights, f"{name}.attention.self.{part}") for part in ("query", "key", "value")]
    return _Layer(
        qkv=(torch.cat([weight for weight, _ in own]), torch.cat([bias for _, bias in own])),
        attended=_affine(weights, f"{name}.attention.output.dense"),
        attended_norm=_affine(weights, f"{name}.attention.output.LayerNorm"),
        inner=_affine(weights, f"{name}.intermediate.dense"),
        outer=_affine(weights, f"{name}.output.dense"),
        outer_norm=_affine(weights, f"{name}.output.LayerNorm"),
    )


def _affine(weights: Mapping[str, "torch.Tensor"], name: str) -> Affine:
    return weights[f"{name}.weight"], weights[f"{name}.bias"]
