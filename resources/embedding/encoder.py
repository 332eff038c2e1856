"""Runs the model: texts in, token vectors and pooled vectors out of one forward pass.

Chunks are never truncated or padded into being: what does not fit is an error. The compact form of token vectors is
`codec`'s, and whether a batch may be stored is decided by `vectors`.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from resources.embedding.bert import is_bert, load_bert
from resources.embedding.checkpoint import open_checkpoint
from resources.embedding.codec import TokenCodec
from resources.embedding.identity import ModelIdentity, model_identity
from resources.embedding.tokenizer import load_tokenizer
from resources.errors import ModelError, VectorError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    Model = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

# Padded tokens of one forward pass. On a CPU small passes stay in the cache, and each core makes its own.
BATCH_TOKENS = {"cpu": 3072, "cuda": 16_384}
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

    def of(self, numbers: Sequence[int]) -> "QueryEncoding":
        """Return the same for some of the queries."""
        tokens = [self.tokens[number] for number in numbers]
        return QueryEncoding(self.pooled[list(numbers)], tokens, [self.truncated[number] for number in numbers])


class Encoder:
    """A loaded model. Threads may share it: nothing in it changes after loading."""

    def __init__(self, identity: ModelIdentity) -> None:
        self.identity = identity
        self.tokenizer = load_tokenizer(identity.name)
        self.codec = TokenCodec.for_model(identity)
        self._device, dtype = _placement()
        self._model = _load_model(identity, self._device, dtype)

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

        def run(batch: list[int]) -> None:
            states, pooled[batch] = self._run([ids[index] for index in batch])
            ends = np.cumsum([len(ids[index]) for index in batch])
            if not np.isfinite(states).all():
                spoiled = int(np.searchsorted(ends, np.isfinite(states).all(axis=1).argmin(), side="right"))
                raise VectorError(
                    f"text {batch[spoiled]}: model {self.identity.name} returned numbers that are not finite"
                )
            for index, kept in zip(batch, np.split(keep(states), ends[:-1]), strict=True):
                tokens[index] = kept

        batches = list(_batches([len(one) for one in ids], BATCH_TOKENS[self._device]))
        workers = _workers() if self._device == "cpu" and len(batches) > 1 else None
        for _ in map(run, batches) if workers is None else workers.map(run, batches):
            pass
        return tokens, pooled

    def _run(self, ids: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
        """One forward pass over one padded batch: all texts' last hidden states in a row, and pooled vectors."""
        import torch

        lengths = torch.tensor([len(one) for one in ids])
        padded = torch.nn.utils.rnn.pad_sequence([torch.tensor(one) for one in ids], batch_first=True)
        mask = (torch.arange(padded.shape[1]) < lengths[:, None]).to(self._device)
        with torch.inference_mode():
            hidden = self._model(padded.to(self._device), mask).float()
            return hidden[mask].cpu().numpy(), _pool(hidden, mask, self.identity).cpu().numpy()


def load_encoder(model: str) -> Encoder:
    """Return the encoder of `model` (as `model_identity` takes it), loaded once per process and content.

    Raises ModelError when the weights are damaged or do not cover every parameter of the model.
    """
    with _LOADING:
        return _load(model_identity(model))


@cache
def _load(identity: ModelIdentity) -> Encoder:
    return Encoder(identity)


def _load_model(identity: ModelIdentity, device: str, dtype: "torch.dtype") -> "Model":
    config = open_checkpoint(str(identity.path)).config
    if is_bert(config):
        return load_bert(identity.path, config, device, dtype)
    return _load_any(identity, device, dtype)


def _load_any(identity: ModelIdentity, device: str, dtype: "torch.dtype") -> "Model":
    """Load a model of any other architecture by transformers."""
    from safetensors import SafetensorError
    from transformers import AutoModel
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        model, report = AutoModel.from_pretrained(
            str(identity.path), dtype=dtype, local_files_only=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"model {identity.name} cannot be loaded from {identity.path}: {error}") from error
    # transformers fills parameters that the files lack with random numbers; only poolers are never used here.
    missing = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
    if missing:
        raise ModelError(
            f"model {identity.name}: the weights under {identity.path} lack {len(missing)} parameters, first "
            f"{missing[0]}; fetch or save the model again"
        )
    loaded: PreTrainedModel = model.eval().to(device)
    padding = loaded.config.pad_token_id or 0

    def run(ids: "torch.Tensor", mask: "torch.Tensor") -> "torch.Tensor":
        hidden: torch.Tensor = loaded(
            input_ids=ids.masked_fill(~mask, padding), attention_mask=mask.long()
        ).last_hidden_state
        return hidden

    return run


@cache
def _workers() -> ThreadPoolExecutor | None:
    """Return one thread a core; None where there is one.

    A pass on one core wastes no time waiting for another core, and the passes do not need each other.
    """
    import torch

    cores = torch.get_num_threads()
    return ThreadPoolExecutor(cores, "encoder", lambda: torch.set_num_threads(1)) if cores > 1 else None


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


def _batches(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Yield the indices of texts of similar length, at most `most` padded tokens together, longest first."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda one: -lengths[one]):
        if batch and (len(batch) + 1) * lengths[batch[0]] > most:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
