"""`rag-assets`: the commands, the options they share, and how errors leave: one line and an exit code, never a
traceback.
"""

import sys
from typing import Annotated

import typer

from rag_assets.cli import (
    backup,
    corpora,
    doctor,
    drill,
    ensure,
    erase,
    evaluate,
    init,
    query,
    reconcile,
    snapshots,
    sources,
    ui,
)
from resources.errors import RagAssetsError

app = typer.Typer(
    name="rag-assets",
    help="Keep a RAG knowledge base in its desired state: documents, chunks, token embeddings, indexes, reports.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command("init")(init.init)
app.command("ensure")(ensure.ensure)
app.add_typer(reconcile.app, name="reconcile")
app.add_typer(sources.app, name="sources")
app.command("query")(query.query)
app.command("eval")(evaluate.evaluate)
app.add_typer(corpora.app, name="corpora")
app.add_typer(snapshots.app, name="snapshots")
app.command("erase")(erase.erase)
app.command("backup")(backup.backup)
app.command("restore")(backup.restore)
app.command("doctor")(doctor.doctor)
app.command("drill")(drill.drill)
app.command("ui")(ui.ui)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("rag-assets"))
        raise typer.Exit()


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; a deliberate error is one line on standard error and its exit code."""
    try:
        app(standalone_mode=True)
    except RagAssetsError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno is None:
            raise
        where = f": {error.filename}" if error.filename else ""
        print(f"error: {error.strerror}{where}", file=sys.stderr)
        sys.exit(2)
