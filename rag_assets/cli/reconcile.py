"""`reconcile`: look, repair what may be repaired, and say what a person has to say."""

import sys
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rag_assets.cli.options import DEFAULT, ConfigOption, CorpusOption, JsonOption

if TYPE_CHECKING:
    from rag_assets.reconcile import Outcome, Reconciliation
    from resources.adoption.look import Look
    from resources.adoption.registration import Registration
    from resources.corpus import Corpus
    from resources.reconciliation.decision import Decision

app = typer.Typer(help="Find drift, repair it document by document, and prove that it is gone.", no_args_is_help=True)


class Mode(StrEnum):
    """How a repair goes about it."""

    progressive = "progressive"
    complete = "complete"
    emergency = "emergency"


class LookDepth(StrEnum):
    """How much of the vectors a look reads."""

    scan = "scan"
    checksum = "checksum"
    reembed = "reembed"


DepthOption = Annotated[
    LookDepth,
    typer.Option(
        "--depth",
        help="scan reads small columns; checksum every stored vector; reembed also embeds a sample of chunks again.",
    ),
]
AllOption = Annotated[bool, typer.Option("--all", help="Every corpus, reconcile.parallel at a time.")]
PipelineOption = Annotated[
    str | None,
    typer.Option("--pipeline", help="Only what this pipeline's answers come from.", show_default=False),
]


@app.command()
def run(
    pipeline: PipelineOption = None,
    force: Annotated[
        bool, typer.Option("--force", help="Try again at once what is put off or stuck, and run even without drift.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan; nothing is written.")] = False,
    mode: Annotated[
        Mode,
        typer.Option(
            help="progressive keeps to the budget; complete leaves its documents and minutes aside; emergency also "
            "rolls live back to the last other snapshot first, and pins it."
        ),
    ] = Mode.progressive,
    depth: DepthOption = LookDepth.scan,
    all_corpora: AllOption = False,
    corpus: CorpusOption = DEFAULT,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Observe, plan, repair as a Dagster run, verify. Exit 0: it holds; 1: it does not; 3: stuck, or waits for you."""
    from rag_assets.cli.console import console, working
    from resources.settings import load_settings

    settings = load_settings(config)
    if dry_run:
        _status(_decisions(settings, corpus, all_corpora, force, pipeline, depth), json, all_corpora, depth, dry=True)
    from rag_assets.reconcile import Options, reconcile, reconcile_all
    from resources.corpus import corpus_names, corpus_settings

    target = corpus_settings(settings, corpus).target_state
    options = Options(target, pipeline, force=force, always=force, mode=mode.value, depth=depth.value)
    if mode == Mode.emergency and not json:
        console.print(
            "Emergency: live is rolled back to the last other snapshot and pinned, then the rest is repaired."
        )
    with working():
        if all_corpora:
            outcomes = reconcile_all(settings, corpus_names(settings), options)
        else:
            done = reconcile(settings, corpus, options)
    if all_corpora:
        _show_all(outcomes, json)
    _show(done, json)


@app.command()
def status(
    all_corpora: AllOption = False,
    pipeline: PipelineOption = None,
    depth: DepthOption = LookDepth.scan,
    corpus: CorpusOption = DEFAULT,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Look, and say what differs and what would be done about it. Nothing is written."""
    from resources.settings import load_settings

    settings = load_settings(config)
    found = _decisions(settings, corpus, all_corpora, False, pipeline, depth, _adopted(settings, corpus, all_corpora))
    _status(found, json, all_corpora, depth)


Adopted = dict[str, "Registration"]
Found = dict[str, "Decision | tuple[Registration, Look] | str"]


def _adopted(settings: Any, corpus: str, all_corpora: bool) -> Adopted:
    """Return the tables of other software among what is looked at, by name."""
    from resources.adoption.registration import adopted_names, read_registration

    names = adopted_names(settings) if all_corpora else [corpus]
    return {name: one for name in names if (one := read_registration(settings, name)) is not None}


def _decisions(
    settings: Any,
    corpus: str,
    all_corpora: bool,
    force: bool,
    pipeline: str | None,
    depth: LookDepth,
    adopted: Adopted | None = None,
) -> Found:
    from rag_assets.cli.console import working
    from resources.corpus import corpus_names, open_corpus
    from resources.errors import RagAssetsError
    from resources.reconciliation.decision import decide

    found: Found = {}
    others = adopted or {}
    with working():
        for name in [*corpus_names(settings), *others] if all_corpora else [corpus]:
            try:
                if name in others:
                    from resources.adoption.adopting import look_again

                    found[name] = others[name], look_again(settings, others[name], depth.value)
                    continue
                opened = open_corpus(settings, name)
                target = opened.settings.target_state
                found[name] = decide(opened, target, force=force, pipeline=pipeline, depth=depth.value)
            except RagAssetsError as error:
                if not all_corpora:
                    raise
                found[name] = str(error)
    return found


def _status(found: Found, as_json: bool, all_corpora: bool, depth: LookDepth, *, dry: bool = False) -> None:
    from rag_assets.cli.adopted import print_look
    from rag_assets.cli.console import console, print_json

    shown = {name: _as_json(name, decision) for name, decision in found.items()}
    if as_json:
        print_json({"corpora": list(shown.values())} if all_corpora else next(iter(shown.values())))
    else:
        for name, decision in found.items():
            if isinstance(decision, str):
                console.print(f"{name}: error: {decision}", markup=False)
            elif isinstance(decision, tuple):
                print_look(name, *decision)
            else:
                _print_decision(name, decision, depth, dry)
    raise typer.Exit(_worst([_code(one) for one in found.values()]))


def _code(one: "Decision | tuple[Registration, Look] | str") -> int:
    if isinstance(one, tuple):
        return 0 if one[1].holds else 1
    return 2 if isinstance(one, str) else one.exit_code


def _worst(codes: list[int]) -> int:
    """Return the code of several: an error first, then what waits for a person, then what does not hold."""
    return next((code for code in (2, 3, 1) if code in codes), 0)


def _as_json(name: str, decision: "Decision | tuple[Registration, Look] | str") -> dict[str, Any]:
    from rag_assets.cli.adopted import as_json
    from resources.reconciliation.drift import holds

    if isinstance(decision, str):
        return {"corpus": name, "holds": False, "verdict": "error", "reason": decision, "issues": [], "actions": []}
    if isinstance(decision, tuple):
        return as_json(name, *decision)
    return {
        "corpus": name,
        "state": decision.plan.target,
        "holds": holds(decision.active),
        **decision.as_json(),
        "actions": [step.as_json() for step in decision.plan.steps],
    }


def _print_decision(name: str, decision: "Decision", depth: LookDepth, dry: bool) -> None:
    from rag_assets.cli.console import console
    from rag_assets.cli.plans import print_issues, print_plan

    known = [issue for issue in decision.issues if issue not in decision.active]
    print_issues(decision.issues, known)
    print_plan(decision.plan)
    if decision.verdict == "healthy":
        noted = f" ({len(decision.issues)} noted above)" if decision.issues else ""
        console.print(f"{name} is {decision.plan.target}: healthy{noted}.", markup=False)
    elif decision.verdict == "repair":
        deep = "" if depth == LookDepth.scan else f" --depth {depth}"
        hint = "nothing was written" if dry else f"repair it: {decision.command}{deep}"
        console.print(f"{name} is not {decision.plan.target}: {decision.reason}; {hint}", markup=False)
    else:
        console.print(f"{name} is not {decision.plan.target}: {decision.verdict}: {decision.reason}", markup=False)


def _show(done: "Reconciliation", as_json: bool) -> None:
    from rag_assets.cli.console import console, print_json

    name, last = done.corpus.name, done.last
    if as_json:
        planned = [step.as_json() for step in done.first.plan.steps]
        more = {"runs": list(done.run_ids), "problem": done.problem, "seconds": round(done.seconds, 1)}
        rolled = {"rolled_back_to": done.rolled_back_to}
        print_json(_as_json(name, last) | {"actions": planned, "converged": done.converged} | more | rolled)
    else:
        if done.rolled_back_to is not None:
            console.print(f"Live serves what snapshot {done.rolled_back_to} served, pinned until: snapshots unpin")
        if done.rounds and done.converged:
            before = ", ".join(sorted({issue.type for issue in done.first.repairing})) or "nothing differed"
            console.print(f"{name} is {last.plan.target}: repaired ({before}) in {done.seconds:.0f} s.", markup=False)
        else:
            _print_decision(name, last, LookDepth.scan, dry=False)
    if done.problem:
        print(f"error: {done.problem}", file=sys.stderr)
    raise typer.Exit(done.exit_code)


def _show_all(outcomes: "list[Outcome]", as_json: bool) -> None:
    from dataclasses import asdict

    from rag_assets.cli.console import print_json, print_table

    if as_json:
        print_json({"corpora": [asdict(one) for one in outcomes]})
    else:
        rows = [(one.corpus, one.verdict, len(one.runs), one.problem or one.reason) for one in outcomes]
        print_table("Reconciled", ("corpus", "verdict", "runs", "why"), rows)
    raise typer.Exit(_worst([one.exit_code for one in outcomes]))


@app.command()
def approve(
    plan: Annotated[str, typer.Argument(help="The plan's id, as status and run print it.")],
    corpus: CorpusOption = DEFAULT,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Allow a repair that costs more than auto_repair does: this plan, and what is left of it if it is interrupted."""
    from rag_assets.cli.console import working
    from resources.corpus import open_corpus
    from resources.reconciliation.consent import approve as allow
    from resources.reconciliation.decision import find_plan
    from resources.settings import load_settings

    with working():
        opened = open_corpus(load_settings(config), corpus)
        found = find_plan(opened, plan)
        allow(opened, found)
    said = {"plan": found.id, "documents": len(found.documents), "chunks": found.chunks}
    _said(corpus, json, said, f"plan {found.id} is approved. Run it: rag-assets reconcile run --corpus {corpus}")


@app.command()
def pause(
    reason: Annotated[str, typer.Option("--reason", help="Shown to whoever asks.", show_default=False)] = "",
    corpus: CorpusOption = DEFAULT,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Leave a corpus alone, removals excepted, until `reconcile resume`."""
    from resources.reconciliation import consent

    consent.pause(_open(config, corpus), reason)
    _said(corpus, json, {"paused": True}, f"paused; go on: rag-assets reconcile resume --corpus {corpus}")


@app.command()
def resume(corpus: CorpusOption = DEFAULT, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Repair a paused corpus again."""
    from resources.reconciliation import consent

    consent.resume(_open(config, corpus))
    _said(corpus, json, {"paused": False}, "is repaired again")


@app.command()
def ack(
    drift: Annotated[str, typer.Argument(metavar="TYPE", help="A type of drift, as status prints it.")],
    until: Annotated[datetime, typer.Option("--until", formats=["%Y-%m-%d"], help="The last day, in UTC.")],
    corpus: CorpusOption = DEFAULT,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Leave a type of drift alone, and do not report it, until the end of a day."""
    from resources.reconciliation import consent

    consent.acknowledge(_open(config, corpus), drift, until.date())
    _said(corpus, json, {"acknowledged": drift, "until": str(until.date())}, f"{drift} is left alone until {until:%F}")


@app.command()
def history(
    verify: Annotated[
        bool, typer.Option("--verify", help="Check the chain; exit 1 names the first broken line.")
    ] = False,
    last: Annotated[int, typer.Option("--last", min=1, help="How many, newest first.")] = 20,
    corpus: CorpusOption = DEFAULT,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """List what was found and done, and whether it converged."""
    from itertools import islice

    from rag_assets.cli.console import console, print_json, print_table
    from resources.reconciliation.history import PATH, read_backwards
    from resources.reconciliation.history import verify as verify_chain

    store = _open(config, corpus).store
    if verify:
        result = verify_chain(store)
        broken = f"line {result.broken_line} of {store.files.where(PATH)} is broken: {result.problem}"
        if json:
            print_json(
                {"corpus": corpus, "lines": result.lines, "broken_line": result.broken_line, "problem": result.problem}
            )
        elif result.broken_line is None:
            console.print(f"{corpus}: {result.lines} lines, each follows on the one before it.", markup=False)
        if result.broken_line is not None:
            print(f"error: {broken}", file=sys.stderr)
        raise typer.Exit(0 if result.broken_line is None else 1)
    entries = list(islice(read_backwards(store), last))
    if json:
        print_json({"corpus": corpus, "entries": entries})
        return
    rows = [_line(entry) for entry in entries]
    print_table(f"{corpus}: reconciliations", ("number", "time", "found", "documents", "took", "converged"), rows)


def _line(entry: dict[str, Any]) -> tuple[object, ...]:
    """Return a line of the history as a row; one that is no repair (an erasure, lost documents) says what it is."""
    if "kind" in entry:
        documents = entry["documents"]
        count = documents if isinstance(documents, int) else len(documents)
        return entry["number"], entry["at"][:16], entry["kind"], count, "", entry.get("reason", "")
    return (
        entry["number"],
        entry["time"][:16],
        ", ".join(sorted({f"{one['type']} {one['affected']}" for one in entry["found"]})) or entry.get("reason", ""),
        entry["plan"]["documents"],
        f"{entry['seconds']:.0f} s",
        "yes" if entry["converged"] else entry["problem"] or f"left: {', '.join(entry['left'])}",
    )


@app.command()
def daemon(
    interval: Annotated[
        float | None,
        typer.Option(
            "--interval", min=1, help="Seconds between rounds; default reconcile.interval.", show_default=False
        ),
    ] = None,
    max_iterations: Annotated[
        int | None, typer.Option("--max-iterations", min=1, help="Rounds; default no end.", show_default=False)
    ] = None,
    mode: Annotated[Mode, typer.Option(help="As of `run`.")] = Mode.progressive,
    pipeline: PipelineOption = None,
    corpus: Annotated[
        str | None, typer.Option("--corpus", help="One corpus; default all of them.", show_default=False)
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Reconcile again and again in the foreground. SIGTERM ends it within a second, SIGUSR1 forces a round at once."""
    from rag_assets.daemon import Daemon, round_command
    from resources.observability.logging import configure_logging
    from resources.settings import load_settings

    settings = load_settings(config)
    configure_logging()
    options = ["--corpus", corpus] if corpus is not None else ["--all"]
    options += ["--mode", mode.value]
    options += ["--pipeline", pipeline] if pipeline is not None else []
    options += ["--config", str(config)] if config is not None else []
    seconds = settings.reconcile.interval.total_seconds() if interval is None else interval
    retry = min(seconds, settings.reconcile.error_retry.total_seconds())
    raise typer.Exit(Daemon(round_command(*options), seconds, retry, max_iterations).run())


def _open(config: Any, corpus: str) -> "Corpus":
    from resources.corpus import open_corpus
    from resources.settings import load_settings

    return open_corpus(load_settings(config), corpus)


def _said(corpus: str, as_json: bool, values: dict[str, Any], text: str) -> None:
    from rag_assets.cli.console import console, print_json

    if as_json:
        print_json({"corpus": corpus, **values})
    else:
        console.print(f"{corpus}: {text}", markup=False)
