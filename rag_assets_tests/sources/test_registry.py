"""Opening sources by type: options are checked, and what is wrong is named."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest

from rag_assets_tests.sources.reading import fetch
from resources.errors import SettingsError
from resources.sources import registry
from resources.sources.base import OpenDocument, Pace, RawDocument, SourceItem
from resources.sources.registry import SourceOptions, open_source, parse_source, register_source, source_types


def test_the_built_in_types_are_known() -> None:
    assert {"beir", "folder", "pydoc"} <= set(source_types())


@pytest.mark.parametrize(
    ("type_name", "options", "message"),
    [
        ("gopher", {}, "unknown source type 'gopher'; there are: archive, azure, beir, file, folder, gcs"),
        (
            "folder",
            {"path": "x", "recurse": True},
            "source folder: recurse: unknown key; allowed here: concurrency, exclude, include",
        ),
        ("folder", {}, "source folder: path: Field required"),
        ("folder", {"path": "x", "max_mb": 0}, "max_mb: Input should be greater than or equal to 1, got 0"),
        ("beir", {"path": "x", "split": "../test"}, "source beir: split: "),
        ("pydoc", {"path": "x"}, "source pydoc: path: unknown key"),
    ],
)
def test_what_is_wrong_is_named(type_name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError) as raised:
        open_source(type_name, "name", options)
    assert message in str(raised.value)


def test_the_short_form_of_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_source("pydoc") == {"type": "pydoc"}
    assert parse_source("folder:docs") == {"type": "folder", "path": str(tmp_path / "docs")}
    assert parse_source("beir:/data/set") == {"type": "beir", "path": "/data/set"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pydoc:3.12", "write just pydoc"),
        ("beir", "say where it is: beir:PATH"),
        ("nowhere:x", "unknown source type 'nowhere'"),
    ],
)
def test_a_wrong_short_form_says_what_to_write(text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        parse_source(text)


def test_another_package_can_add_a_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_classes", dict(registry._classes))

    class NoteOptions(SourceOptions):
        text: str

    @register_source("note")
    class NoteSource:
        Options = NoteOptions
        location = "text"
        type = "note"
        pace = Pace()
        keeps_originals = False

        def __init__(self, name: str, options: NoteOptions) -> None:
            self.name, self.fingerprint, self._text = name, "note", options.text

        def discover(self) -> Iterator[SourceItem]:
            yield SourceItem("note", self._text)

        @contextmanager
        def open(self, item: SourceItem) -> Iterator[OpenDocument]:
            yield OpenDocument(BytesIO(self._text.encode()), self._text, "text/plain")

    description = parse_source("note:buy milk")
    source = open_source(description.pop("type"), "list", description)
    assert [one.data for one in fetch(source, ["note"]) if isinstance(one, RawDocument)] == [b"buy milk"]


PLUGIN = """
from contextlib import contextmanager
from io import BytesIO

from resources.sources.base import OpenDocument, SourceItem
from resources.sources.registry import register_source
from resources.sources.selection import FileOptions


@register_source("poem")
class PoemSource:
    Options, location, type, fingerprint, keeps_originals = FileOptions, None, "poem", "poem", False

    def __init__(self, name, options):
        self.name, self.pace = name, options.pace

    def discover(self):
        yield SourceItem("roses", "1")

    @contextmanager
    def open(self, item):
        yield OpenDocument(BytesIO(b"Roses are red."), "1", "text/plain")
"""


def test_an_installed_package_adds_a_type_by_its_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_classes", dict(registry._classes))
    (tmp_path / "poems.py").write_text(PLUGIN)
    facts = tmp_path / "poems-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: poems\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[rag_assets.sources]\npoem = poems\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "poem" in source_types()
    [roses] = fetch(open_source("poem", "verse", {"concurrency": 2}), ["roses"])
    assert isinstance(roses, RawDocument) and roses.data == b"Roses are red."
    with pytest.raises(SettingsError, match="source poem: colour: unknown key; allowed here: concurrency"):
        open_source("poem", "verse", {"colour": "red"})
