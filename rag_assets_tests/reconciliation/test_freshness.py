"""Fresh means known to agree with the sources lately, whenever it was materialised."""

from datetime import UTC, datetime, timedelta

import pytest

from resources.corpus import open_corpus
from resources.reconciliation.analyse import analyse, holds
from resources.reconciliation.freshness import agreed_at, freshness, record_agreement
from resources.reconciliation.observe import SystemState
from resources.settings import load_settings

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def corpus(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "one.txt").write_text("The zyxomma is a dragonfly.")
    (tmp_path / "rag.yaml").write_text(
        "corpora: {default: {sources: [{type: folder, path: docs}], freshness: {warn: 1h, fail: 2h}}}"
    )
    opened = open_corpus(load_settings(tmp_path / "rag.yaml"), "default")
    opened.store.create()
    return opened


@pytest.mark.parametrize(
    ("age", "level"), [(0, "fresh"), (59, "fresh"), (60, "late"), (119, "late"), (120, "overdue"), (100_000, "overdue")]
)
def test_age_is_judged_by_the_corpus_own_limits(corpus, age, level):
    record_agreement(corpus, NOW)
    assert freshness(corpus, NOW + timedelta(minutes=age)).level == level


def test_what_nobody_knows_is_overdue(corpus):
    assert freshness(corpus, NOW).level == "overdue" and freshness(corpus, NOW).since is None
    record_agreement(corpus, NOW + timedelta(hours=1))
    assert freshness(corpus, NOW).since is None, "a clock that jumped back proves nothing"
    for damage in ("", "{}", '{"at": "yesterday"}', '{"at": "2026-05-01T12:00:00"}'):
        (corpus.store.folder / "reconciliation/agreed.json").write_text(damage)
        assert agreed_at(corpus.store, NOW) is None


def test_looking_again_soon_writes_nothing(corpus):
    record_agreement(corpus, NOW)
    file = corpus.store.folder / "reconciliation/agreed.json"
    before = file.stat().st_mtime_ns
    record_agreement(corpus, NOW + timedelta(minutes=2))
    assert file.stat().st_mtime_ns == before
    record_agreement(corpus, NOW + timedelta(minutes=4))
    assert agreed_at(corpus.store, NOW + timedelta(minutes=4)) == NOW + timedelta(minutes=4)


def test_a_corpus_that_nobody_looked_at_for_too_long_is_overdue_drift(corpus):
    def overdue():
        return [one for one in analyse(SystemState(corpus), "token-embeddings") if one.type == "overdue"]

    assert overdue() == [], "nothing was ever known of it, so it is missing, not overdue"
    record_agreement(corpus, datetime.now(UTC) - timedelta(hours=3))
    (issue,) = overdue()
    assert holds([issue]), "a look that finds nothing else ends it"
    assert "known to agree" in issue.description
