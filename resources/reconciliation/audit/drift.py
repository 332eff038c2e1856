"""The audit as validators of drift: what `analyse` runs at the depths `checksum` and `reembed`.

What an audit has already marked is reported by every scan, so it is left out here.
"""

from collections.abc import Iterator

from resources.reconciliation.audit.look import audit
from resources.reconciliation.drift import DriftIssue, validator
from resources.reconciliation.observe import SystemState


@validator("token_embeddings", depth="checksum")
def stored_vectors(state: SystemState) -> Iterator[DriftIssue]:
    """Read every vector of candidate and live."""
    yield from audit(state.corpus, "checksum").drift(known=_marked(state))


@validator("token_embeddings", depth="reembed")
def sampled_vectors(state: SystemState) -> Iterator[DriftIssue]:
    """Embed a sample of chunks again."""
    yield from audit(state.corpus, "reembed").drift(sampled=True, known=_marked(state))


def _marked(state: SystemState) -> set[str]:
    return {*state.bad_in_candidate, *state.bad_in_live}
