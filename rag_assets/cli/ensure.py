"""`ensure`: look, say what is missing from a target state, and repair it by the same loop as `reconcile`.

A person typed it, so what is put off or stuck is tried again; a pause, a missing approval and the brake hold.
"""

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rag_assets.cli.options import DEFAULT, ConfigOption, CorpusOption, JsonOption

if TYPE_CHECKING:
    from rag_assets.reconcile import Reconciliation
    from resources.corpus import Corpus
    from resources.reconciliation.decision import Decision
    from resources.settings import Settings


class State(StrEnum):
    """The target states."""

    token_embeddings = "token-embeddings"
    search_ready = "search-ready"
    ragas_eval = "ragas-eval"


def ensure(
    state: Annotated[State, typer.Argument(help="The state the corpus must be in.")],
    docs: Annotated[
        int | None,
        typer.Option("--docs", min=1, help="The first N document ids in order; default all.", show_default=False),
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(
            "--source",
            help="beir:PATH, folder:PATH or pydoc; replaces the corpus's sources and is remembered.",
            show_default=False,
        ),
    ] = None,
    auto_fix: Annotated[bool, typer.Option("--auto-fix", help="Repair what is missing.")] = False,
    validate_only: Annotated[
        bool, typer.Option("--validate-only", help="Only look (the default); nothing is written.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what a repair would do; nothing is written.")] = False,
    corpus: CorpusOption = DEFAULT,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Bring a corpus into a target state, or say what stands in the way. Exit 0: it holds; 1: it does not."""
    if auto_fix + validate_only + dry_run > 1:
        raise typer.BadParameter("choose one of --auto-fix, --validate-only and --dry-run")
    from rag_assets.cli.console import working
    from resources.corpus import open_corpus
    from resources.reconciliation.decision import decide
    from resources.settings import load_settings

    settings = load_settings(config)
    target = _target(settings, corpus, docs, source)
    with working():
        opened = open_corpus(settings, corpus, target)
        if auto_fix:
            done = _repair(settings, opened, state)
            opened, first, last = done.corpus, done.first, done.last
        else:
            done, first = None, decide(opened, state, force=True)
            last = first
    hint = "a repair would do the above; nothing was written" if dry_run else "repair it: add --auto-fix"
    _show(opened, state, first, last, done, as_json=json, hint=hint)
    if done is not None and done.problem:
        print(f"error: {done.problem}", file=sys.stderr)
    raise typer.Exit(done.exit_code if done is not None else _exit_code(last))


def _exit_code(decision: "Decision") -> int:
    from resources.reconciliation.drift import holds

    return 0 if holds(decision.active) else decision.exit_code


def _target(settings: "Settings", name: str, docs: int | None, source: list[str] | None) -> Any:
    """Return what the corpus remembers, changed by this command's options; at least N documents: a smaller N takes
    nothing away.
    """
    from resources.corpus import corpus_folder
    from resources.sources.registry import parse_source
    from resources.targets import read_target

    target = read_target(corpus_folder(settings, name))
    if source:
        target = target.model_copy(update={"sources": tuple(parse_source(one) for one in source), "documents": None})
    if docs is not None:
        target = target.model_copy(update={"documents": docs})
    return target


def _repair(settings: "Settings", corpus: "Corpus", state: State) -> "Reconciliation":
    from rag_assets.reconcile import Options, reconcile

    _remember(settings, corpus)
    return reconcile(settings, corpus.name, Options(str(state), force=True), corpus.target)


def _remember(settings: "Settings", corpus: "Corpus") -> None:
    """Write down what is wanted. Who names other sources wants the documents of the old ones gone."""
    from resources.corpus import corpus_folder
    from resources.reconciliation.consent import confirm_removals
    from resources.reconciliation.observe import SystemState
    from resources.targets import read_target, remember_target

    corpus.store.create()
    folder = corpus_folder(settings, corpus.name)
    before = read_target(folder)
    if before != corpus.target:
        remember_target(folder, corpus.target)
    if before.sources != corpus.target.sources:
        for source in SystemState(corpus).documents.held:
            confirm_removals(corpus, source)


def _show(
    corpus: "Corpus",
    state: State,
    first: "Decision",
    last: "Decision",
    done: "Reconciliation | None",
    *,
    as_json: bool,
    hint: str,
) -> None:
    from rag_assets.cli.console import console, print_json, print_table
    from rag_assets.cli.figures import metrics_table
    from rag_assets.cli.plans import print_issues, print_plan
    from resources.reconciliation.drift import holds
    from resources.reconciliation.observe import SystemState

    live = SystemState(corpus).live
    is_well, repaired = holds(last.active), done is not None and bool(done.rounds)
    if as_json:
        plan = first.plan if done is not None or not is_well else last.plan
        print_json(
            {
                "corpus": corpus.name,
                "state": str(state),
                "holds": is_well,
                "verdict": last.verdict,
                "reason": last.reason,
                "issues": [issue.as_json() for issue in last.issues],
                "plan": plan.as_json(),
                "actions": [step.as_json() for step in plan.steps],
                "run": done.run_ids[-1] if done is not None and done.rounds else None,
                "problem": done.problem if done is not None else "",
                "snapshot": live.number if live else None,
                "counts": live.counts if live else {},
                "metrics": live.metrics if live else {},
            }
        )
        return
    print_issues(last.issues, [issue for issue in last.issues if issue not in last.active])
    if (done is not None and done.problem) or not is_well:
        print_plan(last.plan)
        what = hint if done is None and last.verdict == "repair" else f"{last.verdict}: {last.reason}"
        console.print(f"{corpus.name} is not {state}; {what}.", markup=False)
        return
    did = "repaired" if repaired else "nothing to do"
    counts = ", ".join(f"{count:,} {name}" for name, count in (live.counts if live else {}).items())
    console.print(f"{corpus.name} is {state}: {did}." + (f" Snapshot {live.number}: {counts}." if live else ""))
    if repaired and live is not None and live.metrics:
        columns, rows = metrics_table(live.metrics)
        print_table("Evaluation", columns, rows)
        if live.report:
            console.print(f"Report: {corpus.store.reports.fetch(live.report) / 'report.html'}")
