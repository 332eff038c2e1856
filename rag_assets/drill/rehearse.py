"""Copy a corpus aside, play every damage on the copy, and measure: found by which depth, repaired how, at what cost.

The original is only read: the copy lies in a RAG_HOME of its own in a temporary folder, made of whole copies of the
files (a hard link would let damage to a file through), with a Dagster instance of its own. Sources are listed and read
as any look does.
"""

import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from rag_assets.corpora import CorporaResource
from rag_assets.drill.damage import Damage
from rag_assets.runs import materialise
from resources.corpus import Corpus, corpus_folder, open_corpus
from resources.errors import StoreError
from resources.reconciliation.analyse import analyse
from resources.reconciliation.audit.marks import record
from resources.reconciliation.drift import DEPTHS, Depth, DriftIssue, holds
from resources.reconciliation.observe import SystemState
from resources.reconciliation.plan import gather_facts, make_plan
from resources.settings import CorpusSettings, Settings
from resources.store.writer import writing
from sensors.corpora import register_corpora

TARGET = "search-ready"
QUESTIONS = 20


@dataclass(frozen=True)
class Outcome:
    """What became of one damage. `ids`: of those damaged, how many the issues named. `chunks`: embedded for the repair,
    by its plan. `seconds`: of the look that found it, and of the repair.
    """

    damage: str
    found: tuple[str, ...]
    depth: str
    damaged: int
    ids: int
    actions: tuple[str, ...]
    chunks: int
    look_seconds: float
    repair_seconds: float
    converged: bool
    problem: str = ""

    @property
    def passed(self) -> bool:
        """Whether it was found, every damaged row by its id, and the last look was clean."""
        return bool(self.found) and self.ids == self.damaged and self.converged

    def as_json(self) -> dict[str, Any]:
        """Return it as the command line prints it."""
        return asdict(self) | {"passed": self.passed}


class QuickCorpora(CorporaResource):
    """Opens corpora with few questions to evaluate: the gate is passed as ever, and a drill stays short."""

    def settings(self) -> Settings:
        """Read the settings, and lower how many questions a small change is asked."""
        return few_questions(super().settings())


def few_questions(settings: Settings) -> Settings:
    """Return the settings with at most `QUESTIONS` questions for any corpus."""

    def fewer(corpus: CorpusSettings) -> CorpusSettings:
        sample = min(QUESTIONS, corpus.evaluation.sample)
        return corpus.model_copy(update={"evaluation": corpus.evaluation.model_copy(update={"sample": sample})})

    corpora = {name: fewer(one) for name, one in settings.corpora.items()}
    return settings.model_copy(update={"corpora": corpora, "defaults": fewer(settings.defaults)})


@dataclass(frozen=True)
class Rehearsal:
    """A copied corpus and the Dagster instance that repairs it."""

    settings: Settings
    name: str
    instance: dg.DagsterInstance

    @property
    def corpus(self) -> Corpus:
        """The copy, opened anew, so that nothing read before is remembered."""
        return open_corpus(self.settings, self.name)

    def play(self, damage: Damage, draw: random.Random) -> Outcome:
        """Damage the copy, look deeper and deeper until it is found, repair, and look again at the same depth."""
        damaged = damage.do(self.corpus, draw)
        depth, state, issues, looked = self._look_for(damage)
        found = tuple(issue for issue in issues if issue.type in damage.drift)
        named = {one for issue in found for one in issue.ids}
        plan = make_plan(self.name, TARGET, issues, gather_facts(state, issues, TARGET))
        started = time.perf_counter()
        if depth != "scan":
            with writing(state.corpus.store, "drill", wait=1) as writer:
                record(writer, state.corpus, issues, state.live)
            state.corpus.store.lease.release("drill")
        quick = QuickCorpora(config=str(self.settings.path or ""), home=str(self.settings.home))
        run = materialise(
            self.settings, state.corpus, None, self.instance, "drill", resource_overrides={"corpora": quick}
        )
        repaired = time.perf_counter() - started
        if run.exit_code == 2:
            raise StoreError(f"the drill stops at {damage.name!r}: {run.problem}")
        left = [one for one in analyse(SystemState(self.corpus), TARGET, depth=depth) if one.severity > 1]
        return Outcome(
            damage.name,
            tuple(sorted({issue.type for issue in found})),
            depth if found else "",
            len(damaged),
            len(named.intersection(damaged)),
            tuple(dict.fromkeys(issue.action for issue in found)),
            plan.chunks,
            round(looked, 2),
            round(repaired, 2),
            run.success and not left,
            run.problem or "; ".join(issue.description for issue in left),
        )

    def _look_for(self, damage: Damage) -> tuple[Depth, SystemState, list[DriftIssue], float]:
        """Look at each depth in turn until one finds the damage, and time that look."""
        for depth in DEPTHS:
            started = time.perf_counter()
            state = SystemState(self.corpus)
            issues = analyse(state, TARGET, depth=depth)
            if any(issue.type in damage.drift for issue in issues):
                break
        return depth, state, issues, time.perf_counter() - started


@contextmanager
def rehearsal(settings: Settings, name: str) -> Iterator[Rehearsal]:
    """Copy a corpus into a temporary RAG_HOME for the time of the block. StoreError when there is nothing sound to
    copy: a drill tells repair from ruin only on a corpus that is in its desired state.
    """
    original = open_corpus(settings, name)
    if original.settings.store is not None:  # the copy's settings would name the original's store
        raise StoreError(
            f"corpus {name} is kept at {original.settings.store}; a drill damages a copy, and makes one only of a "
            "corpus below RAG_HOME: drill one with the same sources and without `store:`"
        )
    if original.store.snapshots.live() is None:
        raise StoreError(f"corpus {name} is not built yet; build it first: rag-assets ensure {TARGET} --auto-fix")
    issues = analyse(SystemState(original), TARGET)
    if not holds(issues):
        raise StoreError(
            f"corpus {name} is not {TARGET} ({', '.join(issue.type for issue in issues)}); repair it first: "
            f"rag-assets ensure {TARGET} --corpus {name} --auto-fix"
        )
    with tempfile.TemporaryDirectory(prefix="rag-assets-drill-") as folder:
        aside = few_questions(settings.model_copy(update={"home": Path(folder)}))
        shutil.copytree(
            corpus_folder(settings, name), corpus_folder(aside, name), ignore=shutil.ignore_patterns("lease")
        )
        with dg.DagsterInstance.local_temp(folder) as instance:
            register_corpora(instance, [name])
            yield Rehearsal(aside, name, instance)
