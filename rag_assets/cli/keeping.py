"""`corpora clean`: what moves or clears away a corpus as a whole. The commands of `corpora` that write."""

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


def _snapshots(numbers: Any) -> str:
    return f"snapshot{'' if len(numbers) == 1 else 's'} {', '.join(map(str, numbers)) or '-'}"
