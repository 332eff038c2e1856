"""A full disk is one clear line and exit 2; the old snapshot keeps answering, and with room again all is well."""

import subprocess

import pytest


@pytest.fixture
def small_disk(project):
    home = project.home
    home.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(home)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system is not allowed here")
    yield home
    subprocess.run(["umount", "-l", str(home)], check=False)


def test_a_full_disk(project, documents, small_disk):
    first = project.run("ensure", "search-ready", "--source", "folder:docs", "--auto-fix", "--json")
    assert first.code == 0, first.err
    (documents / "assert.txt").write_text("Entirely new words about zyxomma dragonflies.")
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space"), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 4096)
    full = project.run("ensure", "search-ready", "--auto-fix", "--json")
    assert full.code == 2, (full.out, full.err)
    assert (
        "space" in full.err.lower()
        or "full" in full.err.lower()
        or "space" in full.out.lower()
        or "full" in full.out.lower()
    )
    asked = project.run("query", "What does the assert statement do?", "--json")
    assert asked.code == 0 and asked.json["citations"], asked.err
    filler.unlink()
    assert project.run("ensure", "search-ready", "--auto-fix", "--json").code == 0
    found = project.run("query", "zyxomma dragonflies", "--json")
    assert found.json["citations"][0]["document_id"] == "folder:assert.txt"
