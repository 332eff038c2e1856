"""How well stored token vectors fit their text, without running the model: which rows to doubt first.

A token's last hidden state still resembles its static (input) embedding. A linear map, fitted once per model, predicts
the stored vector of each token from the static embeddings of that token and of its whole text; the score of a chunk is
the mean cosine between prediction and truth. Costs a table look-up and 2 × t multiplications a token. Not here: any
verdict, for a low score proves nothing.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from resources.embedding.identity import ModelIdentity
from resources.errors import ModelError
from resources.reconciliation.audit.block import Block
from resources.reconciliation.audit.calibration import Calibration, cosines

INPUT_EMBEDDINGS = re.compile(r"(^|\.)(word_embeddings|tok_embeddings|embed_tokens|wte)\.weight$")


def static_embeddings(identity: ModelIdentity) -> np.ndarray:
    """Return the model's input embeddings, float32 (vocabulary, d). ModelError when its files hold none by a known
    name.
    """
    from safetensors import safe_open

    for file in sorted(identity.path.glob("model*.safetensors")):
        with safe_open(str(file), framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118
                if INPUT_EMBEDDINGS.search(name):
                    table: np.ndarray = tensors.get_tensor(name).float().numpy()
                    return table
    raise ModelError(f"model {identity.name}: no input embeddings among the weights under {identity.path}")


@dataclass(frozen=True)
class TextProbe:
    """`own` and `context`, float32 (vocabulary, t): what each token contributes to the prediction of itself, and to
    that of any token in its text.
    """

    own: np.ndarray
    context: np.ndarray

    @classmethod
    def of(cls, identity: ModelIdentity, calibration: Calibration) -> "TextProbe":
        """Multiply the vocabulary once: 0.1 s for the default model."""
        table = static_embeddings(identity)
        return cls(table @ calibration.own + calibration.text_bias, table @ calibration.context)

    def scores(self, block: Block, ids: Sequence[Sequence[int]]) -> np.ndarray:
        """Return the mean cosine of prediction and stored token vectors per row, (n,); -1 where the number of token
        vectors is not that of the text's token ids.
        """
        lengths = np.array([len(one) for one in ids])
        fitting = lengths[block.shaped] == block.declared[block.shaped]
        flat = np.array([one for row in np.flatnonzero(block.shaped)[fitting] for one in ids[row]], np.intp)
        counts = lengths[block.shaped][fitting]
        starts = np.cumsum(counts) - counts
        stored = block.token_vectors
        if not fitting.all():
            stored = stored[np.repeat(fitting, block.declared[block.shaped])]
        out = np.full(len(fitting), -1.0, np.float32)
        if len(counts):
            context = np.add.reduceat(self.context[flat], starts, axis=0) / counts[:, None]
            predicted = self.own[flat] + np.repeat(context, counts, axis=0)
            out[fitting] = np.add.reduceat(cosines(predicted, stored), starts) / counts
        return block.spread(out, -1.0)
