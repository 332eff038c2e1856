"""Which queries stand for all of them: chosen by the hash of their id, so the choice outlives changes."""

from collections.abc import Sequence

from resources.identity import digest
from resources.sources.base import JudgedQuery


def fixed_sample(judged: Sequence[JudgedQuery], size: int) -> list[JudgedQuery]:
    """Return `size` of the queries in their own order, the same ones whenever the same are asked for.

    A query that is added takes the place of at most one other.
    """
    chosen = {one.query_id for one in sorted(judged, key=lambda one: digest("sample", one.query_id))[:size]}
    return [one for one in judged if one.query_id in chosen]
