"""Folders: which files are listed, and what becomes of those that cannot be read."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from rag_assets_tests.sources.reading import fetch
from resources.errors import SourceError
from resources.parsing.reading import parse
from resources.sources.base import FetchFailure, RawDocument, Source
from resources.sources.registry import open_source


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "guides" / "deep").mkdir(parents=True)
    (root / "readme.md").write_text("# Read me\n\nHello.")
    (root / "guides" / "a.txt").write_text("A guide.")
    (root / "guides" / "deep" / "B.TXT").write_text("Another.")
    (root / "photo.jpg").write_bytes(b"\xff\xd8\xff\x00")
    (root / ".hidden.txt").write_text("hidden")
    (root / ".git").mkdir()
    (root / ".git" / "config.txt").write_text("hidden too")
    return root


def folder(root: Path, **options: object) -> Source:
    return open_source("folder", "files", {"path": root, **options})


def keys(source: Source) -> list[str]:
    return [item.key for item in source.discover()]


def test_parseable_files_are_listed_recursively_and_in_order(root: Path) -> None:
    assert keys(folder(root)) == ["guides/a.txt", "guides/deep/B.TXT", "readme.md"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"include": ["*.md"]}, ["readme.md"]),
        ({"include": ["guides/**/*.TXT"]}, ["guides/deep/B.TXT"]),
        ({"exclude": ["deep/"]}, ["guides/a.txt", "readme.md"]),
        ({"include": ["*.jpg"]}, ["photo.jpg"]),
    ],
)
def test_patterns_choose(root: Path, options: dict[str, object], expected: list[str]) -> None:
    assert keys(folder(root, **options)) == expected


def test_a_file_without_a_parser_is_a_failure_row(root: Path) -> None:
    [raw] = fetch(folder(root, include=["*.jpg"]), ["photo.jpg"])
    assert isinstance(raw, RawDocument)
    parsed = parse(raw)
    assert (parsed.status, parsed.reason) == ("failed", "a picture; `parsing.ocr` reads the text in it")


def test_a_version_changes_with_the_file(root: Path) -> None:
    source = folder(root)
    before = {item.key: item.version for item in source.discover()}
    (root / "guides" / "a.txt").write_text("A guide, revised.")
    after = {item.key: item.version for item in source.discover()}
    assert {key for key in before if before[key] != after[key]} == {"guides/a.txt"}


def test_a_rename_moves_the_key_and_nothing_else(root: Path) -> None:
    [before] = fetch(folder(root), ["guides/a.txt"])
    (root / "guides" / "a.txt").rename(root / "moved.txt")
    [after] = fetch(folder(root), ["moved.txt"])
    assert isinstance(before, RawDocument) and isinstance(after, RawDocument)
    assert replace(parse(before), key=after.key) == parse(after)


def test_links_are_followed_inside_the_folder_only(root: Path) -> None:
    outside = root.parent / "secret.txt"
    outside.write_text("secret")
    (root / "leak.txt").symlink_to(outside)
    (root / "leaks").symlink_to(root.parent)
    (root / "loop").symlink_to(root)
    (root / "same.txt").symlink_to(root / "guides" / "a.txt")
    source = folder(root)
    assert keys(source) == ["guides/a.txt", "guides/deep/B.TXT", "readme.md", "same.txt"]
    outcomes = list(fetch(source, ["leak.txt", "../secret.txt", "leaks/secret.txt"]))
    assert [type(one) for one in outcomes] == [FetchFailure] * 3


def test_a_missing_folder_is_no_empty_listing(root: Path) -> None:
    with pytest.raises(SourceError, match="no such folder"):
        keys(folder(root / "nowhere"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root can list every folder")
def test_an_unreadable_subfolder_is_no_deletion(root: Path) -> None:
    (root / "guides").chmod(0)
    try:
        with pytest.raises(SourceError, match="cannot be listed"):
            keys(folder(root))
    finally:
        (root / "guides").chmod(0o755)


def test_what_cannot_be_read_fails_alone(root: Path) -> None:
    (root / "big.txt").write_bytes(b"x" * ((1 << 20) + 1))
    source = folder(root, max_mb=1)
    listed = keys(source)
    (root / "readme.md").unlink()
    outcomes = {one.key: one for one in fetch(source, listed)}
    failures = {key: one.reason for key, one in outcomes.items() if isinstance(one, FetchFailure)}
    assert set(failures) == {"big.txt", "readme.md"}
    assert "max_mb" in failures["big.txt"] and "gone" in failures["readme.md"]


def test_a_name_that_is_not_utf8_is_listed_and_fails_alone(root: Path) -> None:
    try:
        Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9.txt")).write_text("text")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    source = folder(root)
    assert "caf\\xe9.txt" in keys(source)
    [outcome] = fetch(source, ["caf\\xe9.txt"])
    assert isinstance(outcome, FetchFailure) and "not valid UTF-8" in outcome.reason
