"""Validators and remediators of other packages: found by their entry points, and part of every look and plan."""

import sys

import pytest

from resources.plugins import load_plugins
from resources.reconciliation import drift, remedies
from resources.reconciliation.decision import decide

MODULE = """
from resources.reconciliation.drift import Severity, issue, validator
from resources.reconciliation.remedies import Work, remediator


@validator("documents", name="shouting")
def find_shouting(state):
    ids = [one for one in state.listing.table["document_id"].to_pylist() if one.endswith("7.txt")]
    yield from issue("shouting", Severity.CRITICAL, "candidate", ids, "calm down", "{n} documents shout")


@remediator("calm down")
def calm_down(issue, facts):
    yield Work("calmed", "calm", {one: 1 for one in issue.ids})
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    folder = tmp_path / "site"
    (folder / "calm-1.0.dist-info").mkdir(parents=True)
    (folder / "calm-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: calm\nVersion: 1.0\n")
    (folder / "calm-1.0.dist-info" / "entry_points.txt").write_text(
        f"[{drift.VALIDATORS}]\ncalm = calm_plugin\n[{remedies.REMEDIATORS}]\ncalm = calm_plugin\n"
    )
    (folder / "calm_plugin.py").write_text(MODULE)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(drift, "_validators", dict(drift._validators))
    monkeypatch.setattr(remedies, "_remedies", dict(remedies._remedies))
    load_plugins.cache_clear()
    yield
    load_plugins.cache_clear()
    sys.modules.pop("calm_plugin", None)


def test_a_package_adds_a_validator_and_a_remediator(unbuilt, plugin):
    decision = decide(unbuilt.corpus, "token-embeddings")
    [found] = [issue for issue in decision.issues if issue.type == "shouting"]
    assert decision.issues[0] is found and found.asset == "documents" and found.affected == 2
    step = decision.plan.steps[-1]
    assert (step.asset, step.action, step.documents) == ("calmed", "calm", ("folder:07.txt", "folder:17.txt"))
    assert decision.plan.assets[-1] == "calmed"


def test_a_deeper_validator_is_asked_only_when_the_look_goes_that_deep(unbuilt, plugin):
    @drift.validator("chunks", depth="checksum", name="deep")
    def deep(state):
        yield from drift.issue("deep", drift.Severity.HIGH, "candidate", ["x"], "look", "{n} found")

    assert "deep" not in {issue.type for issue in decide(unbuilt.corpus, "token-embeddings").issues}
    assert "deep" in {issue.type for issue in decide(unbuilt.corpus, "token-embeddings", depth="checksum").issues}
