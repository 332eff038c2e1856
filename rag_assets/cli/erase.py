"""`erase`: take documents out of a corpus for good, with a receipt."""

from typing import Annotated

import typer

from rag_assets.cli.options import DEFAULT, ConfigOption, CorpusOption, JsonOption


def erase(
    reason: Annotated[str, typer.Option("--reason", help="Why; it goes into the receipt and the history.")],
    documents: Annotated[
        list[str] | None, typer.Argument(help="Document ids (SOURCE:KEY).", show_default=False)
    ] = None,
    source: Annotated[
        str | None, typer.Option("--source", help="Instead: all documents of this source.", show_default=False)
    ] = None,
    corpus: CorpusOption = DEFAULT,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Erase documents from live, tables, indexes and older snapshots, for good. Exit 0: erased; 1: pending.

    Older snapshots are retired and cannot be rolled back to; the documents do not come back when a source lists them.
    """
    from dataclasses import asdict

    from rag_assets.cli.console import console, print_json, working
    from resources.corpus import open_corpus
    from resources.materialisation.erasure import erase as erase_documents
    from resources.materialisation.erasure import erase_source
    from resources.settings import load_settings

    if bool(documents) == (source is not None):
        raise typer.BadParameter("name either documents or a --source")
    with working():
        opened = open_corpus(load_settings(config), corpus)
        receipt = erase_source(opened, source, reason) if source else erase_documents(opened, documents or [], reason)
    if json:
        print_json(asdict(receipt))
        return
    path = opened.store.files.where(receipt.path)
    console.print(f"{corpus}: {len(receipt.documents)} documents are erased. Receipt: {path}", markup=False)
