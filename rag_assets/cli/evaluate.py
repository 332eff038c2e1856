"""`eval`: quality and latency of the pipelines, on a corpus or on a BEIR directory."""

from pathlib import Path
from typing import Annotated, Any

import typer

from rag_assets.cli.options import DEFAULT, ConfigOption, CorpusOption, JsonOption


def evaluate(
    beir: Annotated[
        Path | None, typer.Option("--beir", help="A BEIR directory: becomes a throw-away corpus.", show_default=False)
    ] = None,
    pipelines: Annotated[
        str | None,
        typer.Option(
            "--pipelines", help="Names, separated by commas; default those of the settings.", show_default=False
        ),
    ] = None,
    corpus: CorpusOption = DEFAULT,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Ask every judged query of every pipeline and print nDCG@10, MRR@10, R@100, P@5 and latencies."""
    from rag_assets.cli.console import print_json, print_table, working
    from rag_assets.cli.figures import metrics_table
    from resources.settings import load_settings

    settings = load_settings(config)
    chosen = tuple(name.strip() for name in pipelines.split(",") if name.strip()) if pipelines else None
    with working():
        measured = _beir(settings, corpus, beir, chosen) if beir else _corpus(settings, corpus, chosen)
    if json:
        print_json(measured)
        return
    columns, rows = metrics_table(measured["pipelines"])
    print_table(f"{measured['dataset']}: {measured['queries']} queries", columns, rows)


def _corpus(settings: Any, name: str, pipelines: tuple[str, ...] | None) -> dict[str, Any]:
    from resources.corpus import open_corpus
    from resources.materialisation.report import evaluate_view
    from resources.reconciliation.questions import judged_queries, served_by
    from resources.retrieval.snapshot import open_live

    opened = open_corpus(settings, name)
    view = open_live(opened.store)
    judged = judged_queries(opened, served_by(opened, view.manifest))
    evaluation = evaluate_view(opened, view, judged, pipelines or opened.settings.evaluation.pipelines)
    return {"dataset": name, **evaluation.as_json()}


def _beir(settings: Any, name: str, folder: Path, pipelines: tuple[str, ...] | None) -> dict[str, Any]:
    """Build the directory as a corpus of its own in a temporary RAG_HOME, with the settings of corpus `name`."""
    import tempfile

    import dagster as dg

    from rag_assets.runs import materialise
    from resources.corpus import corpus_folder, open_corpus
    from resources.errors import RagAssetsError
    from resources.materialisation.candidate import open_candidate
    from resources.materialisation.report import evaluate_view
    from resources.reconciliation.observe import SystemState
    from resources.reconciliation.questions import judged_queries
    from resources.sources.registry import parse_source
    from resources.targets import Target, remember_target

    source = parse_source(f"beir:{folder}")
    with tempfile.TemporaryDirectory(prefix="rag-assets-eval-") as home:
        throw_away = settings.model_copy(update={"home": Path(home)})
        opened = open_corpus(throw_away, name, Target(sources=(source,)))
        opened.store.create()
        remember_target(corpus_folder(throw_away, name), opened.target)
        with dg.DagsterInstance.ephemeral() as instance:
            instance.add_dynamic_partitions("corpus", [name])
            built = ["documents", "chunks", "token_embeddings", "dense_index", "bm25_index"]
            outcome = materialise(throw_away, opened, built, instance, "eval")
        if not outcome.success:
            raise RagAssetsError(outcome.problem)
        state = SystemState(opened)
        view = open_candidate(opened, state, "eval")
        judged = judged_queries(opened, state.stands_for)
        evaluation = evaluate_view(opened, view, judged, pipelines or opened.settings.evaluation.pipelines)
    return {"dataset": folder.name, **evaluation.as_json()}
