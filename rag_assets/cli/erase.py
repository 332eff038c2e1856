"""`erase`: take documents out of a corpus for good, with a receipt."""

from typing import Annotated

import typer

from rag_assets.cli.options import DEFAULT, ConfigOption, CorpusOption, JsonOption


def erase(
    documents: Annotated[list[str], typer.Argument(help="Document ids (SOURCE:KEY).")],
    reason: Annotated[str, typer.Option("--reason", help="Why; it goes into the receipt and the history.")],
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
    from resources.settings import load_settings

    with working():
        opened = open_corpus(load_settings(config), corpus)
        receipt = erase_documents(opened, documents, reason)
    if json:
        print_json(asdict(receipt))
        return
    path = opened.store.files.where(receipt.path)
    console.print(f"{corpus}: {len(receipt.documents)} documents are erased. Receipt: {path}", markup=False)
