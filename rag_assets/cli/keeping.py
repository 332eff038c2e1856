"""Commands on a corpus as a whole: `corpora clean`, `corpora copy` and `corpora downgrade`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from rag_assets.cli.options import ConfigOption, JsonOption

Name = Annotated[str, typer.Argument(help="The corpus.")]


def clean(
    name: Name,
    keep: Annotated[
        int | None,
        typer.Option("--keep", min=1, help="Keep the last N contents; default `retention.snapshots`.", metavar="N"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go; write nothing.")] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Clear away old snapshots and what only they needed, and compact tables of many small commits.

    Runs do the same when they publish. What is kept: the settings `retention` in rag.yaml.
    """
    from rag_assets.cli.console import console, print_json, working
    from resources.corpus import open_corpus
    from resources.materialisation.retention import clean as clean_corpus
    from resources.settings import load_settings

    with working():
        opened = open_corpus(load_settings(config), name)
        done = clean_corpus(opened, keep, dry_run=dry_run)
    held = opened.settings.retention.hold
    if json:
        print_json(
            {
                "corpus": name,
                "dry_run": dry_run,
                "kept": list(done.kept),
                "cleared": done.garbage.counts,
                "snapshots": list(done.garbage.snapshots),
                "compacted": list(done.compacted),
                "waiting": list(done.waiting),
                "freed_bytes": done.freed,
                "hold": held if isinstance(held, bool) else list(held),
            }
        )
        return
    verb = "would be cleared" if dry_run else "cleared"
    counts = ", ".join(f"{count} {kind}" for kind, count in done.garbage.counts.items() if count) or "nothing"
    freed = "" if dry_run else f" ({done.freed / 1e6:,.1f} MB)"
    console.print(f"{name}: {verb}: {counts}{freed}; kept: {_snapshots(done.kept)}", markup=False)
    if held is True:
        console.print("All of it is on hold (retention.hold in rag.yaml), so nothing is cleared.", markup=False)
    if done.compacted:
        what = "would be compacted" if dry_run else "compacted"
        console.print(f"{what}: {', '.join(done.compacted)}; what they were before goes after `retention.grace`")
    if done.waiting:
        console.print(
            f"{', '.join(done.waiting)}: to be compacted by the next run, as there are changes to be published"
        )


def copy(
    name: Name,
    to: Annotated[str, typer.Option("--to", help="Where to: what `store:` in rag.yaml takes, a folder or a URL.")],
    other: Annotated[str | None, typer.Option("--as", help="What to call it there.", show_default=False)] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Copy what a corpus serves to another store, verified row by row. Killed halfway: the same command goes on.

    Copied are live's tables, indexes and report, originals, and what is remembered; not the candidate, nor older
    snapshots. Asked for again later, it writes only what differs.
    """
    from tempfile import TemporaryDirectory

    from rag_assets.cli.console import console, print_json, working
    from resources.corpus import open_corpus, place
    from resources.errors import SettingsError
    from resources.keeping.copying import copy_corpus
    from resources.settings import CORPUS_NAME, load_settings
    from resources.store.opening import open_store

    called = other or name
    if not CORPUS_NAME.fullmatch(called):
        raise SettingsError(f"--as {called}: a corpus name has letters, digits, - and _ only, at most 64")
    settings = load_settings(config)
    with working(), TemporaryDirectory(prefix="rag-assets-copy-") as scratch:
        opened = open_corpus(settings, name)
        where = place(to, opened.base)
        target = open_store(where, called, Path(scratch) / called, cache_bytes=opened.settings.cache.max_bytes)
        manifest = copy_corpus(opened.store, target)
        place_name = target.files.where("")
    if json:
        print_json({"corpus": name, "to": where, "as": called, "snapshot": manifest.number, **manifest.counts})
        return
    counts = ", ".join(f"{count:,} {kind}" for kind, count in manifest.counts.items())
    console.print(f"{name}: {place_name} serves the same, as snapshot {manifest.number} ({counts})", markup=False)
    console.print(f"To use it, set `store: {where}` for corpus {called} in rag.yaml", markup=False)


def downgrade(
    name: Name,
    schema: Annotated[int, typer.Option("--schema", help="The schema version to go back to.")],
    config: ConfigOption = None,
) -> None:
    """Take a corpus back to an older schema, for older software. Refused once the newer one published."""
    from rag_assets.cli.console import console, working
    from resources.corpus import open_corpus
    from resources.materialisation.base import writing_by_hand
    from resources.settings import load_settings

    with working():
        opened = open_corpus(load_settings(config), name)
        with writing_by_hand(opened):
            opened.store.downgrade(schema)
    console.print(f"{name}: its store has schema {schema}; the next write by this software upgrades it again")


def _snapshots(numbers: Any) -> str:
    return f"snapshot{'' if len(numbers) == 1 else 's'} {', '.join(map(str, numbers)) or '-'}"
