"""`rag.yaml`: what is wrong is said in one line that names the key, the value and what is allowed."""

from datetime import timedelta

import pytest

from resources.errors import SettingsError, UnknownCorpusError
from resources.settings import load_settings


@pytest.fixture
def written(tmp_path, monkeypatch):
    monkeypatch.delenv("RAG_HOME", raising=False)
    monkeypatch.delenv("RAG_CONFIG", raising=False)

    def write(text):
        path = tmp_path / "rag.yaml"
        path.write_text(text)
        return path

    return write


def test_without_a_file_the_default_corpus_is_pythons_documentation(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAG_HOME", raising=False)
    settings = load_settings()
    assert settings.corpus("default").sources == ({"type": "pydoc"},)
    assert settings.home == tmp_path / ".rag"


def test_defaults_hold_for_every_corpus_and_can_be_overridden(written):
    settings = load_settings(
        written(
            "defaults: {chunking: {tokens: 128, overlap: 8}, freshness: {warn: 1h}}\ncorpora: {a: {}, b: "
            "{chunking: {tokens: 64}}}"
        )
    )
    assert (settings.corpus("a").chunking.tokens, settings.corpus("a").chunking.overlap) == (128, 8)
    assert (settings.corpus("b").chunking.tokens, settings.corpus("b").chunking.overlap) == (64, 8)
    assert settings.corpus("b").freshness.warn == timedelta(hours=1)


def test_environment_variables(written, monkeypatch):
    monkeypatch.setenv("RAG_TEST_MODEL", "some/model")
    monkeypatch.delenv("RAG_TEST_UNSET", raising=False)
    settings = load_settings(written("defaults: {model: '${RAG_TEST_MODEL}', lease_wait: '${RAG_TEST_UNSET:5s}'}"))
    assert settings.corpus("default").model == "some/model"
    assert settings.corpus("default").lease_wait == timedelta(seconds=5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("execution: pods", r"execution\.mode: .*'in_process', 'multiprocess' or 'k8s', got 'pods'"),
        (
            "execution: {workers: 4}",
            r"execution\.workers: unknown key; allowed here: max_concurrent, mode, per_step, pods",
        ),
        ("execution: {max_concurrent: 4}", r"execution: max_concurrent is for multiprocess and k8s"),
        ("execution: {pods: {default: {cpu: '1'}}}", r"execution: pods is for k8s, and mode is in_process"),
        (
            "execution: {mode: k8s, pods: {chunks: {gpu: 1}}}",
            r"execution\.pods\.chunks\.gpu: unknown key; allowed here: cpu, memory, node_selector, tolerations",
        ),
        (
            "execution: {mode: k8s, pods: {embeddings: {}}}",
            r"execution\.pods\.embeddings: unknown key; allowed here: .*documents.*token_embeddings",
        ),
        ("execution: {mode: k8s, pods: {default: {memory: 4 GB}}}", r"execution\.pods\.default\.memory: .*got '4 GB'"),
        ("automation: {corpora: {every: 500}}", r"automation\.corpora\.every: a duration such as .* got 500"),
        ("automation: {corpora: {every: 0s}}", r"automation\.corpora\.every: .*at least 1s"),
        ("automation: {sensors: {}}", r"automation\.sensors: unknown key; allowed here: .*corpora, .*propagation"),
        (
            "automation: {evaluation: {cron: '0 25 * * *'}}",
            r"automation\.evaluation\.cron: '25' is no hour: 0 to 23, .* got '0 25 \* \* \*'",
        ),
        ("automation: {evaluation: {cron: daily}}", r"automation\.evaluation\.cron: .*five fields"),
        ("corpora: {a: {modle: x}}", r"corpora\.a\.modle: unknown key; allowed here: .*model"),
        (
            "corpora: {a: {chunking: {tokenz: 1}}}",
            r"corpora\.a\.chunking\.tokenz: unknown key; allowed here: overlap, strategy, tokens",
        ),
        ("corpora: {a: {chunking: {tokens: many}}}", r"corpora\.a\.chunking\.tokens: .*integer.* got 'many'"),
        (
            "corpora: {a: {freshness: {warn: soon}}}",
            r"corpora\.a\.freshness\.warn: a duration such as 90s.* got 'soon'",
        ),
        ("corpora: {a: {freshness: {warn: 2d}}}", r"corpora\.a\.freshness: warn must be .* not longer than fail"),
        ("defaults: {model: '${RAG_TEST_UNSET}'}", r"defaults\.model: environment variable RAG_TEST_UNSET is not set"),
        ("corpora: {'../up': {}}", r"corpora\.\.\./up: a corpus name has letters"),
        (
            "defaults: {evaluation: {pipelines: [hybrid, bm26]}}",
            r"evaluation\.pipelines: unknown pipeline bm26; there are: basic, bm25, colbert",
        ),
        (
            "defaults: {evaluation: {pipelines: [bm25]}}",
            r"evaluation: pipeline hybrid must be one of pipelines: bm25",
        ),
        ("corpora: []", r"corpora: at least one named corpus"),
        ("[1, 2]", "a mapping with the key `corpora:` is expected, found list"),
        ("a: [", "cannot be read as YAML"),
        ("home: /x", "home: unknown key; set RAG_HOME"),
        (
            "extra: 1",
            "extra: unknown key; allowed here: asset_key_prefix, automation, corpora, defaults, execution, reconcile",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(written, monkeypatch, text, message):
    monkeypatch.delenv("RAG_TEST_UNSET", raising=False)
    with pytest.raises(SettingsError, match=message) as raised:
        load_settings(written(text))
    assert "\n" not in str(raised.value)


def test_a_settings_file_that_is_not_there(tmp_path):
    with pytest.raises(SettingsError, match=r"none\.yaml: no such settings file"):
        load_settings(tmp_path / "none.yaml")


def test_an_unknown_corpus_lists_the_known_ones(written):
    with pytest.raises(UnknownCorpusError, match="unknown corpus 'c'; configured: a, b"):
        load_settings(written("corpora: {a: {}, b: {}}")).corpus("c")


def test_a_part_of_the_automation_keeps_its_other_defaults(written):
    automation = load_settings(
        written("automation: {dead_runs: {enabled: false}, checksum_audit: {cron: '*/5 1-3 1,15 * 0'}}")
    ).automation
    assert (automation.dead_runs.enabled, automation.dead_runs.seconds) == (False, 60)
    assert (automation.checksum_audit.enabled, automation.checksum_audit.cron) == (True, "*/5 1-3 1,15 * 0")
    assert (automation.propagation.enabled, automation.propagation.seconds) == (True, 30)
