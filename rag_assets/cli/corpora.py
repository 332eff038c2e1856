"""`corpora`: what corpora there are and how each stands; tables of other software, adopted to be watched over."""

from typing import Annotated, Any

import typer

from rag_assets.cli import keeping
from rag_assets.cli.options import ConfigOption, JsonOption

app = typer.Typer(help="The corpora that there are, and tables of other software.", no_args_is_help=True)
app.command("clean")(keeping.clean)
app.command("copy")(keeping.copy)
app.command("downgrade")(keeping.downgrade)


@app.command("list")
def list_corpora(config: ConfigOption = None, json: JsonOption = False) -> None:
    """List the corpora: sources, live snapshot, counts and size on disk; then what was adopted."""
    from rag_assets.cli.console import print_json, print_table, working
    from resources.adoption.registration import adopted_names, read_registration
    from resources.corpus import corpus_names
    from resources.settings import load_settings

    settings = load_settings(config)
    with working():
        rows = [_describe(settings, name) for name in corpus_names(settings)]
    adopted = [(name, one) for name in adopted_names(settings) if (one := read_registration(settings, name))]
    if json:
        others = [{"corpus": name, **one.model_dump(exclude={"proven"})} for name, one in adopted]
        print_json({"home": str(settings.home), "corpora": rows, "adopted": others})
        return
    columns = ("corpus", "sources", "snapshot", "documents", "chunks", "MB", "published")
    print_table(f"Corpora in {settings.home}", columns, [[_cell(row[name]) for name in columns] for row in rows])
    if adopted:
        shown = [(name, one.url, one.table or one.collection, one.model or "?") for name, one in adopted]
        print_table("Adopted: looked at, never written", ("corpus", "where", "table", "model"), shown)


@app.command()
def adopt(
    url: Annotated[
        str,
        typer.Argument(
            help="postgresql://HOST/DATABASE, qdrant:FOLDER, qdrant+http://HOST:6333, iris://HOST:1972/NAMESPACE. "
            "${VARIABLE} is filled in from the environment each time."
        ),
    ],
    table: Annotated[
        str | None, typer.Option("--table", help="The table; default the only one with vectors.", show_default=False)
    ] = None,
    collection: Annotated[
        str | None, typer.Option("--collection", help="The collection, of Qdrant or LangChain.", show_default=False)
    ] = None,
    roles: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="ROLE=COLUMN", help="Which column is what, where it cannot be told."),
    ] = None,
    documents: Annotated[
        str | None,
        typer.Option("--documents", metavar="TABLE.COLUMN", help="The ids of all documents.", show_default=False),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="What embedded it; default: found out.", show_default=False)
    ] = None,
    corpus: Annotated[
        str | None, typer.Option("--corpus", help="What to call it; default the table's name.", show_default=False)
    ] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Audit a table of other software, and remember it for `reconcile status`. Nothing is ever written there."""
    from rag_assets.cli.adopted import as_json, print_look
    from rag_assets.cli.console import print_json, working
    from resources.adoption.adopting import adopt as adopt_table
    from resources.adoption.registration import Registration
    from resources.settings import load_settings

    said = dict(_pair(one) for one in roles or [])
    wanted = Registration(url=url, table=table, collection=collection, documents=documents, model=model)
    name = corpus or (collection or table or "adopted").rpartition(".")[2]
    with working():
        registration, found = adopt_table(load_settings(config), name, wanted, said)
    if json:
        print_json(as_json(name, registration, found))
    else:
        print_look(name, registration, found)
    raise typer.Exit(0 if found.holds else 1)


def _pair(text: str) -> tuple[str, str]:
    from resources.errors import AdoptionError

    role, equals, column = text.partition("=")
    if not equals or not role or not column:
        raise AdoptionError(f"--map {text}: ROLE=COLUMN is expected")
    return role, column


def _describe(settings: Any, name: str) -> dict[str, Any]:
    from resources.corpus import open_corpus

    opened = open_corpus(settings, name)
    live = opened.store.snapshots.live()
    return {
        "corpus": name,
        "tenant": opened.settings.tenant,
        "sources": [source.name for source in opened.sources],
        "snapshot": live.number if live else None,
        "documents": live.counts["documents"] - len(live.removed_documents) if live else 0,
        "chunks": live.counts["chunks"] if live else 0,
        "MB": round(opened.store.size() / 1e6, 1),
        "published": live.created if live else None,
        "being_written_by": _holder(opened.store),
    }


def _holder(store: Any) -> str | None:
    holder = store.lease.holder()
    return str(holder) if holder is not None and not holder.released and not holder.process_is_gone() else None


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    if isinstance(value, str):
        return value[:16]
    return "-" if value is None else f"{value:,}"
