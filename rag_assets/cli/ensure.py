"""`ensure`: look, say what is missing from a target state, repair it as a Dagster run, and look again."""

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rag_assets.cli.options import DEFAULT, ConfigOption, CorpusOption, JsonOption

if TYPE_CHECKING:
    from resources.corpus import Corpus
    from resources.reconciliation.analyse import DriftIssue
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
    from resources.reconciliation.analyse import analyse, holds
    from resources.reconciliation.observe import SystemState
    from resources.settings import load_settings

    settings = load_settings(config)
    target = _target(settings, corpus, docs, source)
    with working():
        opened = open_corpus(settings, corpus, target)
        found = SystemState(opened)
        issues = analyse(found, state)
        report: dict[str, Any] = {"run": None, "problem": ""}
        repair = auto_fix and (not holds(issues) or bool(found.documents.retry))
        plan = _actions(issues) if not holds(issues) else []
        if auto_fix:
            _remember(settings, opened)
        if auto_fix and not repair:
            _clear_up_after_a_dead_run(settings, opened)
        if repair:
            report = _repair(settings, opened, state, issues)
            opened = open_corpus(settings, corpus, target)
            issues = analyse(SystemState(opened), state)
    _show(
        opened, state, issues, plan, report, as_json=json, repaired=repair, hint=_hint(report["run"], dry_run=dry_run)
    )
    if report["problem"]:
        print(f"error: {report['problem']}", file=sys.stderr)
    raise typer.Exit(report.get("exit_code") or (0 if holds(issues) else 1))


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


def _remember(settings: "Settings", corpus: "Corpus") -> None:
    from resources.corpus import corpus_folder
    from resources.targets import read_target, remember_target

    corpus.store.create()
    folder = corpus_folder(settings, corpus.name)
    if read_target(folder) != corpus.target:
        remember_target(folder, corpus.target)


def _clear_up_after_a_dead_run(settings: "Settings", corpus: "Corpus") -> None:
    """Report the last run failed if it died before it could end, even when it left nothing else to do."""
    holder = corpus.store.lease.holder()
    if holder is None or holder.released or not holder.process_is_gone():
        return
    from rag_assets.instance import open_instance

    with open_instance(settings):
        corpus.store.lease.release(holder.owner)


def _repair(settings: "Settings", corpus: "Corpus", state: State, issues: list["DriftIssue"]) -> dict[str, Any]:
    from rag_assets.instance import open_instance
    from rag_assets.runs import materialise
    from resources.reconciliation.analyse import TARGET_STATES

    only_tables = state == State.token_embeddings
    assets = list(TARGET_STATES[state]) if only_tables else None
    reason = ", ".join(sorted({issue.type for issue in issues}))
    with open_instance(settings) as instance:
        outcome = materialise(settings, corpus, assets, instance, reason)
    return {"run": outcome.run_id, "problem": outcome.problem, "exit_code": outcome.exit_code}


def _hint(run: str | None, *, dry_run: bool) -> str:
    if run is not None:
        return f"See run {run} in the UI: rag-assets ui"
    return "A repair would do the above; nothing was written." if dry_run else "Repair it: add --auto-fix."


def _actions(issues: list["DriftIssue"]) -> list[dict[str, Any]]:
    return [
        {"action": issue.action, "because": issue.type, "where": issue.where, "affected": issue.affected}
        for issue in issues
    ]


def _show(
    corpus: "Corpus",
    state: State,
    issues: list["DriftIssue"],
    plan: list[dict[str, Any]],
    report: dict[str, Any],
    *,
    as_json: bool,
    repaired: bool,
    hint: str,
) -> None:
    from rag_assets.cli.console import console, print_json, print_table
    from rag_assets.cli.figures import metrics_table
    from resources.reconciliation.analyse import holds
    from resources.reconciliation.observe import SystemState

    live = SystemState(corpus).live
    if as_json:
        print_json(
            {
                "corpus": corpus.name,
                "state": str(state),
                "holds": holds(issues),
                "issues": [issue.as_json() for issue in issues],
                "actions": plan,
                "run": report["run"],
                "problem": report["problem"],
                "snapshot": live.number if live else None,
                "counts": live.counts if live else {},
                "metrics": live.metrics if live else {},
            }
        )
        return
    for issue in issues:
        severity, place = issue.severity.name.lower(), f"{issue.type}, {issue.where}"
        console.print(f"  {severity:<8} {issue.description} ({place}). Repair: {issue.action}.", markup=False)
    if report["problem"] or not holds(issues):
        console.print(f"{corpus.name} is not {state}. {hint}")
        return
    did = "repaired" if repaired else "nothing to do"
    counts = ", ".join(f"{count:,} {name}" for name, count in (live.counts if live else {}).items())
    console.print(f"{corpus.name} is {state}: {did}." + (f" Snapshot {live.number}: {counts}." if live else ""))
    if repaired and live is not None and live.metrics:
        columns, rows = metrics_table(live.metrics)
        print_table("Evaluation", columns, rows)
        if live.report:
            console.print(f"Report: {corpus.store.reports / live.report / 'report.html'}")
