"""`snapshots`: list, compare, roll back and unpin."""

from typing import Annotated, Any

import typer

from rag_assets.cli.options import DEFAULT, ConfigOption, CorpusOption, JsonOption

app = typer.Typer(help="The numbered snapshots of a corpus; the highest number is live.", no_args_is_help=True)
Number = Annotated[int, typer.Argument(help="A snapshot's number.")]


def _open(config: Any, corpus: str) -> Any:
    from resources.corpus import open_corpus
    from resources.settings import load_settings

    return open_corpus(load_settings(config), corpus)


@app.command("list")
def list_snapshots(corpus: CorpusOption = DEFAULT, config: ConfigOption = None, json: JsonOption = False) -> None:
    """List the snapshots, newest first."""
    from rag_assets.cli.console import print_json, print_table

    snapshots = _open(config, corpus).store.snapshots
    manifests = [snapshots.read(number) for number in reversed(snapshots.numbers())]
    if json:
        print_json(
            {
                "corpus": corpus,
                "live": manifests[0].number if manifests else None,
                "snapshots": [one.model_dump(mode="json") for one in manifests],
            }
        )
        return
    columns = ("number", "kind", "created", "documents", "chunks", "removed", "pinned")
    rows = [
        (
            one.number,
            one.kind,
            one.created[:16],
            one.counts["documents"],
            one.counts["chunks"],
            len(one.removed_documents),
            "yes" if one.pinned else "",
        )
        for one in manifests
    ]
    print_table(f"{corpus}: {len(rows)} snapshots, the highest is live", columns, rows)


@app.command()
def diff(
    old: Number, new: Number, corpus: CorpusOption = DEFAULT, config: ConfigOption = None, json: JsonOption = False
) -> None:
    """Say which documents two snapshots serve differently."""
    from rag_assets.cli.console import console, print_json
    from resources.retrieval.snapshot import served_documents

    store = _open(config, corpus).store
    before, after = (served_documents(store, store.snapshots.read(number)) for number in (old, new))
    changes = {
        "added": sorted(after.keys() - before.keys()),
        "removed": sorted(before.keys() - after.keys()),
        "changed": sorted(one for one in before.keys() & after.keys() if before[one] != after[one]),
    }
    if json:
        print_json({"corpus": corpus, "old": old, "new": new, **changes})
        return
    for kind, ids in changes.items():
        console.print(
            f"{kind}: {len(ids)}" + (f" ({', '.join(ids[:5])}{', …' if len(ids) > 5 else ''})" if ids else "")
        )


@app.command()
def rollback(
    number: Number, corpus: CorpusOption = DEFAULT, config: ConfigOption = None, json: JsonOption = False
) -> None:
    """Serve an older snapshot's content again, under a new number, pinned until `snapshots unpin`."""
    from rag_assets.cli.console import working
    from resources.materialisation.rollback import roll_back

    with working():
        rolled = roll_back(_open(config, corpus), number)
    _report(
        rolled,
        json,
        f"serves what snapshot {number} served; pinned until: rag-assets snapshots unpin",
    )


@app.command()
def unpin(corpus: CorpusOption = DEFAULT, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Let the next run publish over a pinned snapshot."""
    from rag_assets.cli.console import working
    from resources.materialisation.rollback import unpin as unpin_live

    with working():
        unpinned = unpin_live(_open(config, corpus))
    _report(unpinned, json, "is no longer pinned")


def _report(manifest: Any, json: bool, what: str) -> None:
    from rag_assets.cli.console import console, print_json

    if json:
        print_json({"corpus": manifest.corpus, "live": manifest.number, "pinned": manifest.pinned})
    else:
        console.print(f"{manifest.corpus}: snapshot {manifest.number} {what}")
