"""Finds a source by its type, and checks its options. The sources themselves live in modules of their own.

A source class is registered with `@register_source("name")`; other packages add theirs through the entry point group
`rag_assets.sources` (name = type, value = the class's module, which registers it when imported). Modules are imported
when their type is first asked for, so a source's dependencies cost nothing to those who use another.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, ClassVar, Protocol, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, SecretStr, ValidationError

from resources.errors import SettingsError
from resources.sections import explain
from resources.sources.base import Source

ENTRY_POINTS = "rag_assets.sources"
BUILT_IN = {
    "archive": "archive",
    "azure": "object_store",
    "beir": "beir",
    "file": "folder",
    "folder": "folder",
    "gcs": "object_store",
    "gdrive": "gdrive",
    "http": "http",
    "pmc": "pmc",
    "pydoc": "pydoc",
    "s3": "object_store",
}
"""The module of each type that comes with us."""


class SourceOptions(BaseModel):
    """Base of every source's options: an unknown option is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Secret = Annotated[SecretStr, BeforeValidator(lambda value: value if isinstance(value, SecretStr) else str(value))]
"""An option that is never printed: whatever YAML makes of it is taken as text, so that no error shows it."""


class SourceClass(Protocol):
    """What can be registered. `location` names the option that `TYPE:LOCATION` sets on the command line, if any."""

    Options: ClassVar[type[SourceOptions]]
    location: ClassVar[str | None]

    def __call__(self, name: str, options: Any) -> Source:
        """Make the source; reads nothing."""
        ...


_classes: dict[str, SourceClass] = {}
C = TypeVar("C")


def register_source(type_name: str) -> Callable[[C], C]:
    """Register the decorated class under the type that `rag.yaml` and the command line use."""

    def register(source_class: C) -> C:
        _classes[type_name] = source_class  # type: ignore[assignment]
        return source_class

    return register


def source_types() -> list[str]:
    """Return every type that can be opened, installed packages included."""
    return sorted({*BUILT_IN, *_classes, *entry_points(group=ENTRY_POINTS).names})


def open_source(type: str, name: str, options: Mapping[str, Any]) -> Source:
    """Return the source of that type, named `name` within its corpus. Nothing is read yet.

    Raises SettingsError that names the unknown type, or the option, its value and what is allowed.
    """
    source_class = _source_class(type)
    try:
        checked = source_class.Options.model_validate(dict(options))
    except ValidationError as error:
        raise SettingsError(f"source {type}: {explain(error, source_class.Options)}") from error
    return source_class(name, checked)


def require(module: str, type_name: str, extra: str) -> ModuleType:
    """Import what only this type of source needs. SettingsError says which extra to install."""
    try:
        return import_module(module)
    except ImportError as error:
        raise SettingsError(
            f"source type {type_name} needs the package {module.split('.')[0]}: pip install 'rag-assets[{extra}]'"
        ) from error


def parse_source(text: str) -> dict[str, Any]:
    """Return `beir:PATH`, `folder:PATH` or `pydoc` as the mapping that `rag.yaml` would hold, paths made absolute."""
    type_name, _, location = text.partition(":")
    option = _source_class(type_name).location
    if option is None:
        if location:
            raise SettingsError(f"source {text!r}: {type_name} takes nothing after its name; write just {type_name}")
        return {"type": type_name}
    if not location:
        raise SettingsError(f"source {text!r}: say where it is: {type_name}:{option.upper()}")
    return {"type": type_name, option: str(Path(location).expanduser().absolute()) if option == "path" else location}


def _source_class(type_name: str) -> SourceClass:
    if type_name in BUILT_IN:
        import_module(f"resources.sources.{BUILT_IN[type_name]}")
    elif type_name not in _classes:
        for entry in entry_points(group=ENTRY_POINTS, name=type_name):
            entry.load()
    if type_name not in _classes:
        raise SettingsError(f"unknown source type {type_name!r}; there are: {', '.join(source_types())}")
    return _classes[type_name]
