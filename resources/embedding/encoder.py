"""Runs the model: texts in, token vectors and pooled vectors out of one forward pass.

Chunks are never truncated or padded into being: what does not fit is an error. The compact form of token vectors is
`codec`'s, and whether a batch may be stored is decided by `vectors`.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from resources.embedding.codec import TokenCodec
from resources.embedding.identity import ModelIdentity, model_identity
from resources.embedding.tokenizer import load_tokenizer
from resources.errors import ModelError, VectorError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

BATCH_TOKENS = 8192
_LOADING = threading.Lock()


class EncodedBatch(NamedTuple):
    """Per text, in the order given: stored token vectors, int8 (n_i, token_dimension), and pooled, float32 (b, d)."""

    tokens: list[np.ndarray]
    pooled: np.ndarray


class QueryEncoding(NamedTuple):
    """Per query: pooled float32 (q, d), projected tokens float32 (n_i, token_dimension), and whether it was cut."""

    pooled: np.ndarray
    tokens: list[np.ndarray]
    truncated: list[bool]


class Encoder:
    """A loaded model. Threads may share it: nothing in it changes after loading."""

    def __init__(self, identity: ModelIdentity) -> None:
        self.identity = identity
        self.tokenizer = load_tokenizer(identity.name)
        self.codec = TokenCodec.for_model(identity)
        self._model = _load_model(identity)

    def encode(self, texts: Sequence[str]) -> EncodedBatch:
        """Encode passages. Raises VectorError naming the first text that is longer than the model reads."""
        ids = self.tokenizer.ids(texts)
        for index, one in enumerate(ids):
            if len(one) > self.identity.max_tokens:
                raise VectorError(
                    f"text {index} has {len(one)} tokens, and model {self.identity.name} reads at most "
                    f"{self.identity.max_tokens}: cut it into smaller chunks"
                )
        return EncodedBatch(*self._forward(ids, self.codec.encode))

    def encode_queries(self, texts: Sequence[str]) -> QueryEncoding:
        """Encode questions, which people type: one that is too long is cut, and `truncated` says so."""
        ids = self.tokenizer.ids(texts)
        tokens, pooled = self._forward([self.tokenizer.truncated(one) for one in ids], self.codec.project)
        return QueryEncoding(pooled, tokens, [len(one) > self.identity.max_tokens for one in ids])

    def _forward(
        self, ids: list[list[int]], keep: Callable[[np.ndarray], np.ndarray]
    ) -> tuple[list[np.ndarray], np.ndarray]:
        """Return what `keep` makes of each text's last hidden state, float32 (n_i, d), and pooled float32 (b, d)."""
        tokens: list[np.ndarray] = [np.empty(0)] * len(ids)
        pooled = np.empty((len(ids), self.identity.dimension), np.float32)
        for batch in _batches([len(one) for one in ids]):
            states, pooled[batch] = self._run([ids[index] for index in batch])
            for index, state in zip(batch, states, strict=True):
                if not np.isfinite(state).all():
                    raise VectorError(f"text {index}: model {self.identity.name} returned numbers that are not finite")
                tokens[index] = keep(state)
        return tokens, pooled

    def _run(self, ids: list[list[int]]) -> tuple[list[np.ndarray], np.ndarray]:
        """One forward pass over one padded batch: last hidden states without the padding, and pooled vectors."""
        import torch

        lengths = torch.tensor([len(one) for one in ids])
        padded = torch.nn.utils.rnn.pad_sequence(
            [torch.tensor(one) for one in ids], batch_first=True, padding_value=self._model.config.pad_token_id or 0
        )
        mask = torch.arange(padded.shape[1]) < lengths[:, None]
        device = self._model.device
        with torch.inference_mode():
            output = self._model(input_ids=padded.to(device), attention_mask=mask.to(device, torch.long))
            hidden = output.last_hidden_state.float()
            pooled = _pool(hidden, mask.to(device), self.identity).cpu().numpy()
            states = hidden.cpu().numpy()
        return [state[:length] for state, length in zip(states, lengths.tolist(), strict=True)], pooled


def load_encoder(model: str) -> Encoder:
    """Return the encoder of `model` (as `model_identity` takes it), loaded once per process and content.

    Raises ModelError when the weights are damaged or do not cover every parameter of the model.
    """
    with _LOADING:
        return _load(model_identity(model))


@cache
def _load(identity: ModelIdentity) -> Encoder:
    return Encoder(identity)


def _load_model(identity: ModelIdentity) -> "PreTrainedModel":
    from safetensors import SafetensorError
    from transformers import AutoModel
    from transformers.utils import logging

    device, dtype = _placement()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        model, report = AutoModel.from_pretrained(
            str(identity.path), dtype=dtype, local_files_only=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"model {identity.name} cannot be loaded from {identity.path}: {error}") from error
    # transformers fills parameters that the files lack with random numbers; only BERT's pooler is never used here.
    missing = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
    if missing:
        raise ModelError(
            f"model {identity.name}: the weights under {identity.path} lack {len(missing)} parameters, first "
            f"{missing[0]}; fetch or save the model again"
        )
    loaded: PreTrainedModel = model.eval().to(device)
    return loaded


def _placement() -> tuple[str, "torch.dtype"]:
    """Return the device, and the fastest number format on it that keeps token vectors within a cosine of 0.999."""
    import torch

    if torch.cuda.is_available():
        return "cuda", torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    cpu = torch.cpu.get_capabilities()
    return "cpu", torch.bfloat16 if cpu.get("avx512_bf16") or cpu.get("amx_bf16") else torch.float32


def _pool(hidden: "torch.Tensor", mask: "torch.Tensor", identity: ModelIdentity) -> "torch.Tensor":
    """Return (b, d) from (b, n, d), computed as sentence-transformers' Pooling and Normalize modules do."""
    import torch

    if identity.pooling == "cls":
        pooled = hidden[:, 0]
    else:
        weights = mask[:, :, None].to(hidden.dtype)
        pooled = (hidden * weights).sum(1) / weights.sum(1)
    return torch.nn.functional.normalize(pooled, dim=1) if identity.normalised else pooled


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield the indices of texts of similar length, at most BATCH_TOKENS padded tokens together, longest first."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda one: -lengths[one]):
        if batch and (len(batch) + 1) * lengths[batch[0]] > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
