"""`query`: answer from the live snapshot, with citations."""

from typing import TYPE_CHECKING, Annotated

import typer

from rag_assets.cli.options import DEFAULT, ConfigOption, CorpusOption, JsonOption

if TYPE_CHECKING:
    from resources.answering.extractive import Answer


def query(
    text: Annotated[str, typer.Argument(help="The question.")],
    pipeline: Annotated[str, typer.Option("--pipeline", help="bm25, basic, hybrid or colbert.")] = "hybrid",
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="How many documents to retrieve.")] = 5,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show the retrieved chunks and the parts of their scores.")
    ] = False,
    corpus: CorpusOption = DEFAULT,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Answer a question with the best sentences of the best chunks, verbatim and cited."""
    from rag_assets.cli.console import print_json, working
    from resources.answering.extractive import answer
    from resources.corpus import open_corpus
    from resources.retrieval.snapshot import open_live
    from resources.settings import load_settings

    with working():
        opened = open_corpus(load_settings(config), corpus)
        view = open_live(opened.store)
        found = answer(view, text, pipeline=pipeline, k=k, settings=opened.settings.retrieval)
    if json:
        print_json({"corpus": corpus, "snapshot": view.manifest.number, **found.as_json()})
    else:
        _show(found, explain=explain)


def _show(found: "Answer", *, explain: bool) -> None:
    from rag_assets.cli.console import console, print_table

    for sentence in found.sentences:
        console.print(f"  {sentence.text} [{sentence.citation}]", markup=False)
    if found.citations:
        console.print()
    for citation in found.citations:
        place = f"{citation.document_id}, characters {citation.start}-{citation.end}"
        console.print(f"[{citation.number}] {citation.title or citation.key} ({place})", markup=False)
    console.print(f"\n{found.notice} Pipeline: {found.pipeline}.", markup=False)
    if explain:
        rows = [
            (number, hit.document_id, hit.score, ", ".join(f"{name} {value:.3f}" for name, value in hit.parts.items()))
            for number, hit in enumerate(found.hits, 1)
        ]
        print_table("Retrieved", ("rank", "document", "score", "parts"), rows)
