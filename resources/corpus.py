"""A corpus as desired: its settings, sources, model and chunker, and the store it is kept in.

The one object that stages, observation and queries are handed. It plans and writes nothing; it opens lazily, so that
looking at the store loads no model.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from resources.chunking.base import chunker_fingerprint
from resources.embedding.encoder import Encoder, load_encoder
from resources.embedding.identity import ModelIdentity, model_identity
from resources.embedding.tokenizer import Tokenizer, load_tokenizer
from resources.errors import SettingsError, StoreError, UnknownCorpusError
from resources.settings import CORPUS_NAME, CorpusSettings, Settings
from resources.sources.base import Source
from resources.sources.registry import open_source
from resources.store.base import CorpusStore
from resources.store.opening import open_store
from resources.store.tables import Table, token_embeddings
from resources.targets import Target, read_target

CORPORA = "corpora"
ADOPTED = "adopted"
"""The folder of what is remembered of tables of other software; they are no corpora of ours."""


@dataclass(frozen=True)
class Corpus:
    """The desired state of one corpus. `base` is what relative paths in its settings start from."""

    name: str
    settings: CorpusSettings
    target: Target
    store: CorpusStore
    base: Path

    @cached_property
    def sources(self) -> tuple[Source, ...]:
        """The sources, each with a name of its own."""
        options = self.target.sources if self.target.sources is not None else self.settings.sources
        opened = tuple(
            _open(one, self.base, f"corpora.{self.name}.sources.{number}") for number, one in enumerate(options)
        )
        names = [source.name for source in opened]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise SettingsError(f"corpora.{self.name}.sources: two sources are called {twice!r}; give each a `name:`")
        return opened

    @cached_property
    def model_name(self) -> str:
        """The model as it is loaded: a folder relative to `rag.yaml` becomes absolute."""
        folder = self.base / Path(self.settings.model).expanduser()
        return str(folder.resolve()) if folder.is_dir() else self.settings.model

    @cached_property
    def model(self) -> ModelIdentity:
        """Which model the corpus is to be embedded with; loads no weights."""
        return model_identity(self.model_name)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The model's own tokenizer, which the chunker counts with."""
        return load_tokenizer(self.model_name)

    @cached_property
    def encoder(self) -> Encoder:
        """The loaded model."""
        return load_encoder(self.model_name)

    @cached_property
    def chunker(self) -> str:
        """The fingerprint of the chunker as it is configured."""
        return chunker_fingerprint(self.settings.chunking, self.tokenizer)

    @property
    def embeddings(self) -> Table:
        """The table of the desired model's token embeddings."""
        return token_embeddings(self.model.fingerprint, self.model.dimension)


def open_corpus(settings: Settings, name: str, target: Target | None = None) -> Corpus:
    """Open a corpus: configured in `rag.yaml`, or remembered under RAG_HOME. Raises UnknownCorpusError.

    `target` stands in for what the corpus remembers.
    """
    folder = corpus_folder(settings, name)
    remembered = target if target is not None else read_target(folder)
    if name in settings.corpora:
        chosen = settings.corpus(name)
    elif remembered.sources is not None and CORPUS_NAME.fullmatch(name):
        chosen = settings.defaults
    else:
        known = ", ".join(corpus_names(settings)) or "none"
        if (settings.home / ADOPTED / f"{name}.json").is_file():
            raise UnknownCorpusError(
                f"{name} is a table of other software: it can be looked at, and nothing else: rag-assets reconcile "
                f"status --corpus {name}; corpora of our own: {known}"
            )
        raise UnknownCorpusError(
            f"unknown corpus {name!r}; there are: {known}. Add it to {settings.path or 'rag.yaml'} under `corpora:`, "
            f"or name its source: rag-assets ensure search-ready --corpus {name} --source folder:PATH --auto-fix"
        )
    base = settings.path.parent if settings.path else Path.cwd()
    return Corpus(
        name,
        chosen,
        remembered,
        open_store(place(chosen.store, base), name, folder, cache_bytes=chosen.cache.max_bytes),
        base,
    )


def place(store: str | None, base: Path) -> str | None:
    """Return where a corpus is kept; a folder relative to `rag.yaml` becomes absolute."""
    return store if store is None or "://" in store else str((base / Path(store).expanduser()).resolve())


def corpus_names(settings: Settings) -> list[str]:
    """Return the corpora that are configured or stored, in order; one whose target cannot be read is stored too, so
    that opening it says what is wrong, and with which.
    """
    folder = settings.home / CORPORA
    stored = {one.name for one in folder.iterdir() if one.is_dir() and _is_stored(one)} if folder.is_dir() else set()
    return sorted(stored | set(settings.corpora))


def _is_stored(folder: Path) -> bool:
    try:
        return read_target(folder).sources is not None
    except StoreError:
        return CORPUS_NAME.fullmatch(folder.name) is not None


def corpus_settings(settings: Settings, name: str) -> CorpusSettings:
    """Return the settings of a corpus, those of `defaults` when it is known only by what it remembers."""
    return settings.corpora.get(name, settings.defaults)


def corpus_folder(settings: Settings, name: str) -> Path:
    """Return where the corpus lies under RAG_HOME."""
    return settings.home / CORPORA / name


def _open(options: Mapping[str, Any], base: Path, where: str) -> Source:
    rest = dict(options)
    kind = rest.pop("type", None)
    if not isinstance(kind, str):
        raise SettingsError(f"{where}: `type:` is missing; it says what kind of source this is")
    name = rest.pop("name", kind)
    for key in ("path", "credentials"):
        if isinstance(path := rest.get(key), str) and "://" not in path:
            rest[key] = str((base / Path(path).expanduser()).resolve())
    return open_source(kind, str(name), rest)
