"""From doubt to verdict: which rows are worth embedding again, in what order, and when a sample speaks for the rest.

Rows are known by their ids alone. Not here: what raises doubts (`plausible`, `text`), and what embeds again (`proof`).
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from resources.reconciliation.audit.catalogue import NAMED_BY_PROOF, VectorValidator
from resources.reconciliation.audit.proof import Evidence
from resources.reconciliation.drift import Severity

AT_RANDOM = 1 / 3
STEP = 128
LEAST_STEP = 16
CONFIRMED = 256
SYSTEMIC = 0.5
SAMPLED = "reembed"


@dataclass(frozen=True)
class Finding:
    """A row proven bad: what it is, which validator said so, and why."""

    chunk_id: str
    drift: str
    validator: str
    reason: str
    severity: Severity = Severity.HIGH


class Inquiry:
    """What is proven of the rows of one table, and what is only doubted yet.

    `embed_again` settles some rows, `cost` tells what embedding one costs (in tokens, say). `doubted` counts, per
    statistical validator, the rows that it doubted.
    """

    def __init__(
        self,
        embed_again: Callable[[Sequence[str]], Sequence[Evidence]],
        cost: Callable[[str], int],
        draw: random.Random,
    ) -> None:
        self._embed_again, self._cost, self._draw = embed_again, cost, draw
        self.findings: dict[str, Finding] = {}
        self.doubts: dict[str, VectorValidator] = {}
        self.doubted: Counter[str] = Counter()
        self.examined: set[str] = set()

    def note(self, by: VectorValidator, ids: Sequence[str]) -> None:
        """Take note of the rows that a validator finds fault with; the first one names the fault."""
        for one in ids:
            if by.exact:
                if one not in self.findings:
                    self.findings[one] = Finding(one, by.drift, by.name, by.description, by.severity)
            else:
                if one not in self.doubts or self.doubts[one].drift == NAMED_BY_PROOF:
                    self.doubts[one] = by
                self.doubted[by.name] += 1

    def settle(self) -> None:
        """Embed what is doubted and not proven yet.

        Of many rows doubted by one validator a sample decides: when all of it is bad, the rest is believed to be.
        """
        by_validator: dict[str, list[str]] = {}
        for one, by in self.doubts.items():
            if one not in self.findings:
                by_validator.setdefault(by.name, []).append(one)
        for ids in by_validator.values():
            self._draw.shuffle(ids)
            by = self.doubts[ids[0]]
            first, rest = ids[:CONFIRMED], ids[CONFIRMED:]
            bad = self._examine(first, by)
            if rest and len(bad) == len(first):
                self._believe(rest, bad, by.name)
            elif rest and bad:
                self._examine(rest, by)

    def sample(self, ids: Sequence[str], scores: np.ndarray, budget: float) -> None:
        """Embed the rows with the lowest scores, then some at random, within the budget or while that finds any."""
        known = self.examined.union(self.findings)
        ranked = [one for at in np.argsort(scores, kind="stable") if (one := ids[at]) not in known]
        lowest = self._affordable(ranked, budget * (1 - AT_RANDOM))
        self._walk(ranked, len(lowest))
        others = [one for one in ranked if one not in self.examined]
        self._draw.shuffle(others)
        drawn = self._affordable(others, budget * AT_RANDOM)
        bad = self._examine(drawn, None)
        if len(drawn) >= 2 and len(bad) >= SYSTEMIC * len(drawn):
            self._believe(others[len(drawn) :], bad, SAMPLED)
        elif bad:
            self._walk(others[len(drawn) :], len(drawn))

    def _examine(self, ids: Sequence[str], by: VectorValidator | None) -> list[Evidence]:
        """Embed rows again, and note and return those whose vectors are others."""
        bad = []
        for start in range(0, len(ids), STEP):
            step = ids[start : start + STEP]
            self.examined.update(step)
            for one in self._embed_again(step):
                if one.drift is not None:
                    drift = by.drift if by is not None and by.drift != NAMED_BY_PROOF else one.drift
                    severity, name = (by.severity, by.name) if by is not None else (Severity.HIGH, SAMPLED)
                    self.findings[one.chunk_id] = Finding(one.chunk_id, drift, name, one.reason, severity)
                    bad.append(one)
        return bad

    def _believe(self, ids: Sequence[str], bad: Sequence[Evidence], by: str) -> None:
        """Take rows for what the examined ones turned out to be."""
        findings = [self.findings[one.chunk_id] for one in bad]
        drift = Counter(one.drift for one in findings).most_common(1)[0][0]
        reason = f"doubted alike, and {len(bad)} such chunks embedded again were all bad"
        for one in ids:
            self.findings[one] = Finding(one, drift, by, reason, findings[0].severity)

    def _affordable(self, ids: Sequence[str], budget: float) -> Sequence[str]:
        """Return the first rows that a budget pays for, at least one."""
        spent = np.cumsum([self._cost(one) for one in ids])
        return ids[: max(1, int(np.searchsorted(spent, budget, "right")))]

    def _walk(self, ids: Sequence[str], most: int) -> None:
        """Examine the first `most` rows, and go on for as long as the last step found something."""
        at, more = 0, min(STEP, max(LEAST_STEP, most))
        while at < len(ids):
            step = ids[at : at + more] if at >= most else ids[at : min(at + STEP, most)]
            found = self._examine(step, None)
            at += len(step)
            if at >= most and not found:
                return
