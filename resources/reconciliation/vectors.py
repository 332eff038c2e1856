"""Stored vectors that are proven not to be their texts': the drift types, and where they are. No vector is read here.

The audit proves (`audit`), a mark in the quarantine remembers (`audit.marks`), and both speak of it in these words.
"""

from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

DESCRIPTIONS = {
    "wrong_dimension": "{n} chunks have vectors of another dimension than the model's",
    "incomplete_token_embeddings": "{n} chunks have another number of token vectors than tokens",
    "non_finite_vectors": "{n} chunks have vectors with numbers that are not finite",
    "zero_vectors": "{n} chunks have zero vectors",
    "constant_vectors": "{n} chunks have vectors of one and the same number",
    "truncated_vectors": "{n} chunks have vectors that were cut short and filled up with zeros",
    "denormalised_vectors": "{n} chunks have vectors that are not of unit length",
    "bit_rot": "{n} chunks have vectors that are not what their checksums say",
    "repeated_batch": "{n} chunks share a vector with chunks of other texts",
    "mock_vectors": "{n} chunks have vectors that are no text's",
    "shuffled_vectors": "{n} chunks have the vectors of other texts",
    "foreign_model_vectors": "{n} chunks have vectors of another model than their fingerprint says",
    "low_diversity": "{n} chunks have vectors that hardly differ although their texts do",
}
CHECKSUM_CHECKS = tuple((drift, text.removeprefix("{n} ")) for drift, text in DESCRIPTIONS.items())
"""What the deep audit checks one by one: drift type and description; the check is called `no_TYPE`."""
REEMBED_CHECK = "sample_embeds_alike"
"""The check that embeds a sample of chunks again."""


class BadVectors(NamedTuple):
    """Chunks of one drift type in one place."""

    drift: str
    where: Literal["candidate", "live", "both"]
    ids: list[str]

    @property
    def action(self) -> str:
        """What repairs them: where only live still has them, the candidate holds sound ones already."""
        return "publish" if self.where == "live" else "embed"

    @property
    def description(self) -> str:
        """What is wrong, for people."""
        text = DESCRIPTIONS.get(self.drift, "{n} chunks have bad vectors (" + self.drift + ")")
        return (
            text.format(n=len(self.ids)).replace("1 chunks have", "1 chunk has")
            if len(self.ids) == 1
            else (text.format(n=len(self.ids)))
        )


def grouped(candidate: Mapping[str, str], live: Mapping[str, str]) -> Iterator[BadVectors]:
    """Yield bad chunks (id → drift type) of both places by type and place, in order."""
    found: dict[tuple[str, str], list[str]] = {}
    for one in sorted({*candidate, *live}):
        where = "both" if one in candidate and one in live else "candidate" if one in candidate else "live"
        found.setdefault((candidate.get(one) or live[one], where), []).append(one)
    for (drift, where), ids in sorted(found.items()):
        yield BadVectors(drift, where, ids)  # type: ignore[arg-type]


def live_label(table: str, version: int) -> str:
    """Return what the quarantine calls a version of a table; the candidate's marks bear the table's own name."""
    return f"{table}@{version}"


def drift_of(reason: str) -> str:
    """Return the drift type that the reason of a mark begins with."""
    return reason.partition(":")[0]
