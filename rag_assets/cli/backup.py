"""`backup` and `restore`: a corpus as one file, and back."""

from pathlib import Path
from typing import Annotated

import typer

from rag_assets.cli.options import ConfigOption, JsonOption


def backup(
    name: Annotated[str, typer.Argument(help="The corpus.")],
    to: Annotated[Path, typer.Option("--to", help="The file to write; one that exists is left alone.")],
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Write what a corpus serves into one archive, token embeddings included, and read it back."""
    from rag_assets.cli.console import console, print_json, working
    from resources.corpus import open_corpus
    from resources.keeping.archive import write_archive
    from resources.keeping.copying import live_content
    from resources.settings import load_settings

    with working():
        opened = open_corpus(load_settings(config), name)
        contents = write_archive(live_content(opened.store), opened.target, to)
    size = to.stat().st_size
    if json:
        figures = {"file": str(to), "bytes": size, "snapshot": contents.snapshot.number, "rows": contents.rows}
        print_json({"corpus": name, **figures})
        return
    rows = ", ".join(f"{count:,} {table}" for table, count in contents.rows.items())
    console.print(
        f"{name}: snapshot {contents.snapshot.number} is in {to} ({size / 1e6:,.1f} MB: {rows})", markup=False
    )


def restore(
    file: Annotated[Path, typer.Argument(help="An archive that `backup` wrote.")],
    other: Annotated[str | None, typer.Option("--as", help="What to call the corpus; default its name.")] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Make it the next snapshot of a corpus that exists.")
    ] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Make what an archive holds live again. Documents that were erased since stay away.

    The archive is read whole first. A corpus that exists is left alone, unless --replace is said.
    """
    from tempfile import TemporaryDirectory

    from rag_assets.cli.console import console, print_json, working
    from resources.corpus import corpus_folder, open_corpus
    from resources.keeping.archive import ArchiveContent, verify
    from resources.keeping.restoring import restore as restore_corpus
    from resources.settings import load_settings
    from resources.targets import Target, read_target, remember_target

    settings = load_settings(config)
    settings.home.mkdir(parents=True, exist_ok=True)
    with working(), TemporaryDirectory(prefix="restoring-", dir=settings.home) as scratch:
        contents = verify(file)
        name = other or contents.snapshot.corpus
        folder = corpus_folder(settings, name)
        target = read_target(folder)
        if target == Target():
            target = contents.target
        opened = open_corpus(settings, name, target)
        done = restore_corpus(opened, ArchiveContent(file, contents, Path(scratch)), replace=replace)
        if target != Target():
            folder.mkdir(parents=True, exist_ok=True)
            remember_target(folder, target)
    live = done.manifest
    if json:
        print_json({"corpus": name, "snapshot": live.number, "erased_since": done.erased, **live.counts})
        return
    counts = ", ".join(f"{count:,} {kind}" for kind, count in live.counts.items())
    erased = f"; {done.erased} documents that were erased since were left out" if done.erased else ""
    console.print(f"{name}: snapshot {live.number} of {contents.made[:16]} is live ({counts}){erased}", markup=False)
