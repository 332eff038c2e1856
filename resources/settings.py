"""The desired state: `rag.yaml`, read once, interpolated, validated.

Here: the shape of the file, `${ENV_VAR:default}`, durations, and errors that name the key, the value and what is
allowed. Not here: the options of a source, a chunker or a pipeline (each package owns its own settings model), and
what a corpus remembers by itself (`resources.targets`).
"""

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from resources.automation import AutomationSettings
from resources.chunking.settings import ChunkingSettings
from resources.errors import SettingsError, UnknownCorpusError
from resources.execution import ExecutionSettings
from resources.parsing.settings import ParsingSettings
from resources.policy import (
    AutoRepairSettings,
    BrakeSettings,
    BudgetSettings,
    CacheSettings,
    CompletenessSettings,
    ReconcileSettings,
    RetentionSettings,
    RetrySettings,
)
from resources.retrieval.settings import RetrievalSettings
from resources.sections import Duration, Section, explain

CONFIG_NAME = "rag.yaml"
DEFAULT_CORPUS = "default"
CORPUS_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::([^}]*))?\}")


class FreshnessSettings(Section):
    """How old a part may get before the UI warns, and before it fails."""

    warn: Duration = timedelta(hours=12)
    fail: Duration = timedelta(hours=24)

    @model_validator(mode="after")
    def _ordered(self) -> "FreshnessSettings":
        if not timedelta(seconds=60) <= self.warn <= self.fail:
            raise ValueError("warn must be at least 60s and not longer than fail")
        return self


class EvaluationSettings(Section):
    """What is asked of a candidate before it is published.

    `set`: a JSON-lines file of judged queries; without one the sources' own are used. `allowed_drop`: how much the
    mean of `metric` of `pipeline` may fall against live. `sample`: queries asked after a small change.
    """

    set: Path | None = None
    allowed_drop: float = Field(0.02, ge=0, le=1)
    metric: Literal["ndcg@10", "mrr@10", "recall@100", "p@5"] = "ndcg@10"
    pipeline: str = "hybrid"
    pipelines: tuple[str, ...] = ("bm25", "basic", "hybrid", "colbert")
    sample: int = Field(200, ge=1)

    @field_validator("pipelines")
    @classmethod
    def _pipelines_exist(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        from resources.retrieval.pipelines import ALIASES, pipeline_names

        known = {*pipeline_names(), *ALIASES}
        if unknown := [name for name in names if name not in known]:
            raise ValueError(f"unknown pipeline {unknown[0]}; there are: {', '.join(sorted(known))}")
        return names

    @model_validator(mode="after")
    def _gate_is_measured(self) -> "EvaluationSettings":
        if self.pipeline not in self.pipelines:
            raise ValueError(f"pipeline {self.pipeline} must be one of pipelines: {', '.join(self.pipelines)}")
        return self


class CheckSettings(Section):
    """When bad rows are systemic, so that a check blocks; otherwise they are kept out and the rest goes on.

    They are when there are more than `tolerated_bad_rows` of them and they are more than `max_bad_share` of the table,
    or when most rows are bad, however few there are.
    """

    max_bad_share: float = Field(0.05, ge=0, le=1)
    tolerated_bad_rows: int = Field(10, ge=0)

    def is_systemic(self, bad: int, rows: int) -> bool:
        """Whether `bad` rows of `rows` are too many to go on."""
        share = bad / rows if rows else 0.0
        return share > 0.5 or (bad > self.tolerated_bad_rows and share > self.max_bad_share)


class CorpusSettings(Section):
    """One knowledge base. Everything but `tenant` and `sources` can also stand under `defaults:`.

    `target_state`: what the sensors hold it to. `list_every`: the least time between two listings of its sources;
    between that they look at the store alone.
    `store`: the folder or URL that the corpus is kept below, under its name; None: below RAG_HOME.
    `max_characters`: a document with more text than that becomes a failure row instead of hours of embedding.
    `keep_originals`: keep the bytes of every document, not of single files alone.
    `lease_wait`: how long a run waits for another one that writes to the same corpus.
    """

    tenant: str = "default"
    store: str | None = None
    cache: CacheSettings = CacheSettings()
    sources: tuple[dict[str, Any], ...] = ({"type": "pydoc"},)
    model: str = "all-MiniLM-L6-v2"
    parsing: ParsingSettings = ParsingSettings()
    chunking: ChunkingSettings = ChunkingSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    freshness: FreshnessSettings = FreshnessSettings()
    checks: CheckSettings = CheckSettings()
    brake: BrakeSettings = BrakeSettings()
    auto_repair: AutoRepairSettings = AutoRepairSettings()
    budget: BudgetSettings = BudgetSettings()
    retries: RetrySettings = RetrySettings()
    retention: RetentionSettings = RetentionSettings()
    completeness: CompletenessSettings = CompletenessSettings()
    target_state: Literal["token-embeddings", "search-ready", "ragas-eval"] = "search-ready"
    list_every: Duration = timedelta(0)
    max_characters: int = Field(10_000_000, ge=1)
    lease_wait: Duration = timedelta(seconds=60)
    keep_originals: bool = False


class Settings(Section):
    """The whole file. `home` is RAG_HOME: where corpora, reports and Dagster's own storage lie."""

    corpora: dict[str, CorpusSettings] = Field(default_factory=lambda: {DEFAULT_CORPUS: CorpusSettings()})
    defaults: CorpusSettings = CorpusSettings()
    automation: AutomationSettings = AutomationSettings()
    reconcile: ReconcileSettings = ReconcileSettings()
    execution: ExecutionSettings = ExecutionSettings()
    asset_key_prefix: tuple[str, ...] = ()
    home: Path = Path(".rag")
    path: Path | None = None

    def corpus(self, name: str) -> CorpusSettings:
        """Return a configured corpus, or raise UnknownCorpusError that lists the ones there are."""
        if name not in self.corpora:
            known = ", ".join(sorted(self.corpora)) or "none"
            raise UnknownCorpusError(
                f"unknown corpus {name!r}; configured: {known}. Add it to {self.path or CONFIG_NAME} under `corpora:`."
            )
        return self.corpora[name]

    @property
    def strictest_freshness(self) -> FreshnessSettings:
        """The shortest limits of all corpora: what is asked of an asset as a whole."""
        limits = [one.freshness for one in self.corpora.values()]
        fail = min(one.fail for one in limits)
        return FreshnessSettings(warn=min(fail, *(one.warn for one in limits)), fail=fail)

    @property
    def dagster_home(self) -> Path:
        """DAGSTER_HOME of the environment, else a folder of ours."""
        return Path(os.environ.get("DAGSTER_HOME") or self.home / "dagster").absolute()


def load_settings(path: Path | None = None) -> Settings:
    """Read the settings from `path`, else $RAG_CONFIG, else `./rag.yaml`; without a file the defaults hold.

    Raises SettingsError that names the file, the key, the value and what is allowed.
    """
    chosen = path or (Path(os.environ["RAG_CONFIG"]) if os.environ.get("RAG_CONFIG") else None)
    file = chosen or Path(CONFIG_NAME)
    if chosen is not None and not file.is_file():
        raise SettingsError(f"{file}: no such settings file. `rag-assets init` writes one.")
    content = _read_yaml(file) if file.is_file() else {}
    home = Path(os.environ["RAG_HOME"]) if os.environ.get("RAG_HOME") else file.absolute().parent / ".rag"
    settings = _validate(content, file)
    return settings.model_copy(update={"home": home.absolute(), "path": file.absolute() if file.is_file() else None})


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"{file}: cannot be read as YAML: {' '.join(str(error).split())}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError(f"{file}: a mapping with the key `corpora:` is expected, found {type(content).__name__}")
    interpolated: dict[str, Any] = interpolate(content, file.name)
    return interpolated


def interpolate(value: Any, where: str) -> Any:
    """Replace `${NAME}` and `${NAME:default}` in every string; SettingsError when NAME is unset and has no default."""
    if isinstance(value, dict):
        return {
            key: interpolate(item, f"{where}: {key}" if ":" not in where else f"{where}.{key}")
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [interpolate(item, f"{where}.{number}") for number, item in enumerate(value)]
    if not isinstance(value, str):
        return value

    def replacement(match: re.Match[str]) -> str:
        found = os.environ.get(match[1], match[2])
        if found is None:
            raise SettingsError(
                f"{where}: environment variable {match[1]} is not set; set it or write ${{{match[1]}:default}}"
            )
        return found

    return _VARIABLE.sub(replacement, value)


def _validate(content: dict[str, Any], file: Path) -> Settings:
    defaults = content.get("defaults") or {}
    merged = dict(content)
    if "corpora" in content:
        corpora = content["corpora"]
        if not isinstance(corpora, dict) or not corpora:
            raise SettingsError(f"{file}: corpora: at least one named corpus is expected")
        for name in corpora:
            if not CORPUS_NAME.fullmatch(str(name)):
                raise SettingsError(
                    f"{file}: corpora.{name}: a corpus name has letters, digits, - and _ only, at most 64"
                )
        merged["corpora"] = {str(name): _merge(defaults, corpus or {}) for name, corpus in corpora.items()}
    else:
        merged["corpora"] = {DEFAULT_CORPUS: defaults}
    for key in ("home", "path"):
        if key in content:
            raise SettingsError(f"{file}: {key}: unknown key; set RAG_HOME in the environment instead")
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        raise SettingsError(f"{file}: {explain(error, Settings)}") from error


def _merge(defaults: Any, own: Any) -> Any:
    if not isinstance(defaults, dict) or not isinstance(own, dict):
        return own
    return {
        **defaults,
        **{key: _merge(defaults.get(key), item) if key in defaults else item for key, item in own.items()},
    }
