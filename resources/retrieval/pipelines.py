"""The pipelines by name, and `retrieve`, which runs one and returns the best passages of the best documents.

Here: what each pipeline asks and how it joins the answers. Not here: the arithmetic (`fusion`, `maxsim`, `mmr`), the
asking (`candidates`), and what is made of the passages (`resources.answering`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np

from resources.errors import SettingsError
from resources.retrieval.candidates import Candidates
from resources.retrieval.fusion import reciprocal_rank, weighted_z, z_scores
from resources.retrieval.mmr import maximal_marginal_relevance
from resources.retrieval.settings import RetrievalSettings
from resources.retrieval.view import RetrievalView

DEEPER = 4


class Hit(NamedTuple):
    """A retrieved passage. `score` is the pipeline's own, comparable within one answer only.

    `parts` explains it: the raw scores of the indexes (`dense`, `bm25`) and `maxsim`; those that did not list the
    passage are absent.
    """

    chunk_id: str
    document_id: str
    score: float
    parts: dict[str, float]


class Ranking(NamedTuple):
    """Scores by chunk id, best first, and the raw scores by part that they were made of."""

    scores: dict[str, float]
    parts: dict[str, dict[str, float]]


Rank = Callable[[Candidates], list[Ranking]]


@dataclass(frozen=True)
class Pipeline:
    """A way to rank chunks. `needs`: the assets it reads."""

    name: str
    needs: frozenset[str]
    rank: Rank


_PIPELINES: dict[str, Pipeline] = {}
ALIASES = {"hybrid_ifind": "hybrid"}


def pipeline_names() -> tuple[str, ...]:
    """Return the names of the pipelines, aliases left out."""
    return tuple(_PIPELINES)


def find_pipeline(name: str) -> Pipeline:
    """Return a pipeline by name or alias; SettingsError names the ones there are."""
    found = _PIPELINES.get(ALIASES.get(name, name))
    if found is None:
        raise SettingsError(f"unknown pipeline {name!r}; there are: {', '.join([*_PIPELINES, *ALIASES])}")
    return found


def pipeline(name: str, needs: set[str]) -> Callable[[Rank], Rank]:
    """Register the decorated function as the pipeline `name`."""

    def register(rank: Rank) -> Rank:
        _PIPELINES[name] = Pipeline(name, frozenset(needs), rank)
        return rank

    return register


@pipeline("bm25", {"chunks", "bm25_index"})
def bm25(candidates: Candidates) -> list[Ranking]:
    """Rank by words alone: BM25 over heading and text."""
    return [Ranking(scores, {"bm25": scores}) for scores in candidates.bm25]


@pipeline("basic", {"chunks", "dense_index"})
def basic(candidates: Candidates) -> list[Ranking]:
    """Rank by the cosine of the pooled vectors."""
    return [Ranking(scores, {"dense": scores}) for scores in candidates.dense]


@pipeline("hybrid", {"chunks", "dense_index", "bm25_index"})
def hybrid(candidates: Candidates) -> list[Ranking]:
    """Join both rankings: calibrated score fusion, or reciprocal ranks where the settings say so."""
    settings = candidates.settings
    rankings = []
    for dense, lexical in zip(candidates.dense, candidates.bm25, strict=True):
        if settings.fusion == "rrf":
            scores = reciprocal_rank([dense, lexical], settings.rrf_k, settings.depth)
        else:
            weights = (1 - settings.bm25_weight, dense), (settings.bm25_weight, lexical)
            scores = weighted_z(weights, settings.depth)
        rankings.append(Ranking(scores, {"dense": dense, "bm25": lexical}))
    return rankings


@pipeline("colbert", {"chunks", "token_embeddings", "dense_index", "bm25_index"})
def colbert(candidates: Candidates) -> list[Ranking]:
    """Re-rank the best of `hybrid` by hybrid + weight · z(MaxSim); the others keep their order behind them.

    MaxSim alone ranks worse than `hybrid` with a model that was not trained for it (0.34 against 0.41 nDCG@10 on
    Cranfield), as one voice among three it helps. The other chunks count as if their MaxSim were the lowest.
    """
    settings = candidates.settings
    first = hybrid(candidates)
    wanted = [list(islice(ranking.scores, settings.maxsim_candidates)) for ranking in first]
    rankings = []
    for (scores, parts), late in zip(first, candidates.maxsim(wanted), strict=True):
        z = z_scores(np.array(list(late.values())), len(late)) if late else np.zeros(0)
        bonus = dict(zip(late, (settings.maxsim_weight * z).tolist(), strict=True))
        lowest = min(bonus.values(), default=0.0)
        total = {chunk: score + bonus.get(chunk, lowest) for chunk, score in scores.items()}
        rankings.append(Ranking(dict(sorted(total.items(), key=lambda item: -item[1])), {**parts, "maxsim": late}))
    return rankings


def retrieve(
    view: RetrievalView,
    queries: Sequence[str],
    *,
    pipeline: str = "hybrid",
    k: int = 10,
    settings: RetrievalSettings | None = None,
    group_by_document: bool = True,
) -> list[list[Hit]]:
    """Return, per query, the best chunk of each of the k best documents; of k chunks when not `group_by_document`.

    A document ranks by its best chunk. A list is shorter than k only when there is nothing more to find; `bm25` finds
    only what shares a word with the query. Raises SettingsError for an unknown pipeline, ModelError when the corpus'
    encoder is not to be had, IndexDamagedError when an index cannot be read.
    """
    chosen = settings or RetrievalSettings()
    candidates = Candidates(view, queries, chosen, max(chosen.depth, k))
    return retrieve_from(candidates, pipeline=pipeline, k=k, group_by_document=group_by_document)


def retrieve_from(candidates: Candidates, *, pipeline: str, k: int, group_by_document: bool = True) -> list[list[Hit]]:
    """Do what `retrieve` does with queries whose encoding and index results other pipelines may have used already."""
    rank = find_pipeline(pipeline).rank
    trade_off = candidates.settings.mmr_lambda
    needed = k if trade_off is None else max(k, candidates.settings.mmr_candidates)
    hits = _best_hits(candidates, rank, needed, group_by_document)
    if trade_off is not None:
        hits = [_diverse(candidates, one, trade_off, k) for one in hits]
    return [one[:k] for one in hits]


def _best_hits(candidates: Candidates, rank: Rank, k: int, group_by_document: bool) -> list[list[Hit]]:
    """Return the first k hits per query, asking deeper for those queries whose chunks crowd into too few documents."""
    hits = [_hits(ranking, candidates.documents, k, group_by_document) for ranking in rank(candidates)]
    short = [number for number, found in enumerate(hits) if len(found) < k and not candidates.is_exhausted(number)]
    if short:
        deeper = _best_hits(candidates.deeper(short, DEEPER), rank, k, group_by_document)
        for number, found in zip(short, deeper, strict=True):
            hits[number] = found
    return hits


def _hits(ranking: Ranking, documents: dict[str, str], k: int, group_by_document: bool) -> list[Hit]:
    seen: set[str] = set()
    hits: list[Hit] = []
    for chunk, score in ranking.scores.items():
        document = documents[chunk]
        if group_by_document and document in seen:
            continue
        seen.add(document)
        parts = {name: part[chunk] for name, part in ranking.parts.items() if chunk in part}
        hits.append(Hit(chunk, document, score, parts))
        if len(hits) == k:
            break
    return hits


def _diverse(candidates: Candidates, hits: list[Hit], trade_off: float, k: int) -> list[Hit]:
    """Choose k of the best hits by maximal marginal relevance; they keep their scores, not their order."""
    pool = hits[: candidates.settings.mmr_candidates]
    if not pool:
        return hits
    relevance = np.array([hit.score for hit in pool])
    vectors = candidates.mean_vectors([hit.chunk_id for hit in pool])
    return [pool[at] for at in maximal_marginal_relevance(relevance, vectors, trade_off, k)] + hits[len(pool) :]
