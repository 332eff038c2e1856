"""`sources`: what the sources hold, what became of it, and what is to be done about documents that failed."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from rag_assets.cli.options import DEFAULT, ConfigOption, CorpusOption, JsonOption
from rag_assets.cli.source_quality import audit, canary

if TYPE_CHECKING:
    from resources.corpus import Corpus
    from resources.settings import Settings
    from resources.sources.base import Source

app = typer.Typer(help="Where documents come from, and what became of each.", no_args_is_help=True)
SourceOption = Annotated[
    list[str] | None, typer.Option("--source", help="Only the source of this name.", show_default=False)
]
Ids = Annotated[list[str] | None, typer.Argument(help="Document ids (SOURCE:KEY).", show_default=False)]
SHOWN = 50


@app.command("list")
def list_sources(corpus: CorpusOption = DEFAULT, config: ConfigOption = None, json: JsonOption = False) -> None:
    """List the sources as configured; nothing is asked of them."""
    from rag_assets.cli.console import print_json, print_table
    from resources.sources.registry import source_types

    _, opened = _open(config, corpus)
    rows = [
        {
            "source": source.name,
            "type": source.type,
            "at_a_time": source.pace.concurrency,
            "a_second": source.pace.rate,
            "max_mb": source.pace.max_bytes >> 20,
        }
        for source in opened.sources
    ]
    if json:
        print_json({"corpus": corpus, "sources": rows, "types": source_types()})
        return
    columns = ("source", "type", "at_a_time", "a_second", "max_mb")
    print_table(f"{corpus}: sources", columns, _cells(rows, columns))


@app.command()
def preview(
    source: SourceOption = None,
    docs: Annotated[int, typer.Option("--docs", min=1, max=100, help="Documents of each source.")] = 3,
    corpus: CorpusOption = DEFAULT,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show text, chunks and outcome of a few documents, and what all would cost. Nothing is written."""
    from dataclasses import asdict

    from rag_assets.cli.console import console, print_json, working
    from resources.materialisation.preview import preview as look

    with working():
        _, opened = _open(config, corpus)
        found, estimate = look(opened, _chosen(opened, source), docs)
    if json:
        print_json({"corpus": corpus, "estimate": estimate, "documents": [asdict(one) for one in found]})
        return
    for one in found:
        what = f"{one.media_type}, {one.bytes:,} bytes, {one.characters:,} characters, {len(one.chunks)} chunks"
        console.print(f"[bold]{one.status}[/bold] ", end="")
        console.print(f"{one.document_id} ({what})" + (f": {one.reason}" if one.reason else ""), markup=False)
        if one.beginning:
            console.print(f"  {one.title or 'no title'} | {one.beginning}", markup=False)
    size = f"{estimate['bytes']:,} bytes" if estimate["bytes"] is not None else "of unknown size"
    console.print(
        f"\nAll of it: {estimate['documents']:,} documents, {size}; about {estimate['chunks']:,} chunks, "
        f"{estimate['hours']} hours of embedding here, {estimate['stored_bytes'] / 1e6:,.1f} MB stored."
    )


@app.command()
def sync(
    documents_only: Annotated[
        bool, typer.Option("--documents-only", help="Leave chunks, vectors, indexes and the snapshot as they are.")
    ] = False,
    corpus: CorpusOption = DEFAULT,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Bring the corpus up to its sources, through to the published snapshot, as a Dagster run; none if nothing differs.
    Exit 0: done; 1: something stands in the way, such as a source that cannot be listed; 3: it waits for a person.
    """
    from rag_assets.cli.console import working

    with working():
        settings, opened = _open(config, corpus)
        report = _sync(settings, opened, documents_only=documents_only)
    _show_sync(report, as_json=json)


@app.command()
def status(corpus: CorpusOption = DEFAULT, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Compare each source with what is stored, and list every document that was not read, with the reason. Exit 0:
    nothing is to be done; 1: something is.
    """
    from rag_assets.cli.console import print_json, print_table, working
    from resources.materialisation.quarantine import quarantined
    from resources.reconciliation.observe import SystemState

    with working():
        _, opened = _open(config, corpus)
        state = SystemState(opened)
        rows = _standing(opened, state)
        documents = quarantined(opened)
    diff = state.documents
    done = not diff.fetch and not diff.gone and not state.listing.unreachable
    if json:
        print_json({"corpus": corpus, "up_to_date": done, "sources": rows, "quarantine": documents})
    else:
        columns = ("source", "listed", "stored", "readable", "to_fetch", "to_remove", "waiting", "problem")
        print_table(f"{corpus}: sources", columns, _cells(rows, columns))
        if documents:
            names = ("document_id", "status", "failure", "attempts", "next_try", "reason")
            print_table(f"{len(documents)} not read as they should be", names, _cells(documents[:SHOWN], names))
    raise typer.Exit(0 if done else 1)


@app.command()
def confirm(
    source: Annotated[str, typer.Argument(help="The source's name.")],
    corpus: CorpusOption = DEFAULT,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Let the removals that the brake holds take effect with the next run: just the documents that are held now."""
    from rag_assets.cli.console import console, print_json, working
    from resources.reconciliation.consent import confirm_removals

    with working():
        confirmed = confirm_removals(_open(config, corpus)[1], source)
    if json:
        print_json({"corpus": corpus, "source": source, "confirmed": len(confirmed), "ids": confirmed})
    else:
        shown = ", ".join(confirmed[:3]) + (", …" if len(confirmed) > 3 else "")
        console.print(f"{corpus}: {len(confirmed)} removals of {source} are confirmed: {shown}", markup=False)
        console.print(f"Remove them now: rag-assets reconcile run --corpus {corpus}", markup=False)


@app.command()
def retry(
    ids: Ids = None,
    later: Annotated[bool, typer.Option("--later", help="Leave it to the next run.")] = False,
    corpus: CorpusOption = DEFAULT,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Try failed documents again, all of them without ids, and carry what they give through to the snapshot."""
    from rag_assets.cli.console import console, print_json, working
    from resources.materialisation import quarantine
    from resources.materialisation.base import writing_by_hand

    with working():
        settings, opened = _open(config, corpus)
        with writing_by_hand(opened) as writer:
            due = quarantine.retry(opened, writer, ids or [])
        report = _sync(settings, _open(config, corpus)[1]) if due and not later else None
    if report is not None:
        _show_sync({**report, "retried": due}, as_json=json)
    elif json:
        print_json({"corpus": corpus, "retried": due})
    else:
        console.print(f"{len(due)} documents are to be tried again." if due else "No document failed.")


@app.command()
def forget(
    ids: Annotated[list[str], typer.Argument(help="Document ids (SOURCE:KEY).")],
    corpus: CorpusOption = DEFAULT,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Give failed documents up: neither tried nor counted as failed until they change at their source."""
    from rag_assets.cli.console import console, print_json, working
    from resources.materialisation import quarantine
    from resources.materialisation.base import writing_by_hand

    with working():
        _, opened = _open(config, corpus)
        with writing_by_hand(opened) as writer:
            forgotten = quarantine.forget(opened, writer, ids)
    if json:
        print_json({"corpus": corpus, "forgotten": forgotten})
    else:
        console.print(f"{len(forgotten)} documents are left alone until they change.")


app.command()(audit)
app.command()(canary)


@app.command()
def history(
    document: Annotated[str, typer.Argument(help="A document id (SOURCE:KEY).")],
    diff: Annotated[bool, typer.Option("--diff", help="Show how its last two texts differ.")] = False,
    corpus: CorpusOption = DEFAULT,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """List the versions of a document that the snapshots hold (snapshot 0 is the candidate)."""
    from rag_assets.cli.console import console, print_json, print_table
    from resources.reconciliation import document_history

    _, opened = _open(config, corpus)
    states = document_history.history(opened, document)
    lines = document_history.diff(opened, document) if diff else []
    if json:
        versions = [{key: value for key, value in state.items() if key != "text"} for state in states]
        print_json({"corpus": corpus, "document": document, "versions": versions, "diff": lines})
        return
    columns = ("snapshot", "status", "version", "modified", "title")
    print_table(document, columns, _cells(states, columns))
    for line in lines:
        console.print(line, markup=False, highlight=False)


def _open(config: Any, corpus: str) -> "tuple[Settings, Corpus]":
    from resources.corpus import open_corpus
    from resources.settings import load_settings

    settings = load_settings(config)
    return settings, open_corpus(settings, corpus)


def _chosen(corpus: "Corpus", names: list[str] | None) -> "list[Source]":
    from resources.errors import SettingsError

    known = {source.name: source for source in corpus.sources}
    if unknown := [name for name in names or () if name not in known]:
        raise SettingsError(f"corpus {corpus.name} has no source {unknown[0]!r}; there are: {', '.join(known)}")
    return [known[name] for name in names or known]


def _sync(settings: "Settings", corpus: "Corpus", *, documents_only: bool = False) -> dict[str, Any]:
    """Run what there is to do, by the same loop as `ensure` and `reconcile`, and say how the sources stand then."""
    from resources.reconciliation.observe import SystemState

    state = SystemState(corpus)
    diff = state.documents
    changes = {"fetched": len({*diff.fetch}), "removed": len(diff.gone), "waiting": len(diff.waiting)}
    run, problem, code = (_sync_documents if documents_only else _sync_everything)(settings, corpus, state)
    if run is not None:
        state = SystemState(corpus)
    live = state.live
    return {
        "corpus": corpus.name,
        "run": run,
        "problem": problem,
        "changes": changes,
        "sources": _standing(corpus, state),
        "snapshot": live.number if live else None,
        "exit_code": code or int(bool(state.listing.unreachable or state.listing.empty)),
    }


def _sync_documents(settings: "Settings", corpus: "Corpus", state: Any) -> tuple[str | None, str, int]:
    """Materialise the documents alone, if they differ; return the run, what went wrong, and the exit code."""
    from rag_assets.instance import open_instance
    from rag_assets.runs import materialise

    if not state.documents.fetch and not state.documents.gone:
        return None, "", 0
    with open_instance(settings) as instance:
        outcome = materialise(settings, corpus, ["documents"], instance, "sources sync")
    return outcome.run_id, outcome.problem, outcome.exit_code


def _sync_everything(settings: "Settings", corpus: "Corpus", state: Any) -> tuple[str | None, str, int]:
    """Reconcile through to the snapshot, as far as may be done now; return as `_sync_documents` does."""
    from rag_assets.reconcile import Options, reconcile
    from resources.reconciliation.decision import decide

    decision = decide(corpus, "search-ready", force=True, state=state)
    if decision.verdict != "repair":
        waits = decision.verdict in ("paused", "pending_approval")
        return None, decision.reason if waits else "", decision.exit_code
    done = reconcile(settings, corpus.name, Options("search-ready", force=True), corpus.target)
    return (done.run_ids[-1] if done.run_ids else None), done.problem, done.exit_code


def _show_sync(report: dict[str, Any], *, as_json: bool) -> None:
    import sys

    from rag_assets.cli.console import console, print_json

    if as_json:
        print_json({key: value for key, value in report.items() if key != "exit_code"})
    else:
        did = f"run {report['run']}" if report["run"] else "nothing to do"
        snapshot = report["snapshot"] or "none"
        console.print(f"{report['corpus']}: {did}; {_pairs(report['changes'])}; snapshot {snapshot}.")
        for row in report["sources"]:
            problem = f" Problem: {row['problem']}" if row["problem"] else ""
            what = f"  {row['source']}: {row['listed']} listed, {row['readable']} readable.{problem}"
            console.print(what, markup=False)
    if report["problem"]:
        print(f"error: {report['problem']}", file=sys.stderr)
    raise typer.Exit(report["exit_code"])


def _standing(corpus: "Corpus", state: Any) -> list[dict[str, Any]]:
    """Return how each source stands: listed, stored by outcome, and what is still to be done."""
    from collections import Counter

    from resources.parsing.base import READABLE

    listed = Counter(state.listing.table["source"].to_pylist())
    outcomes: dict[str, dict[str, int]] = {}
    table = state.candidate.documents
    for source, outcome in zip(table["source"].to_pylist(), table["status"].to_pylist(), strict=True):
        of = outcomes.setdefault(source, {})
        of[outcome] = of.get(outcome, 0) + 1
    diff = state.documents
    ids = {one.name: f"{one.name}:" for one in corpus.sources}
    rows = []
    for name, prefix in ids.items():
        stored = outcomes.get(name, {})
        problem = state.listing.unreachable.get(name)
        empty = "lists nothing; nothing is removed for that" if name in state.listing.empty else ""
        rows.append(
            {
                "source": name,
                "listed": None if problem else listed.get(name, 0),
                "stored": sum(stored.values()),
                "readable": sum(stored.get(one, 0) for one in READABLE),
                "outcomes": stored,
                "to_fetch": sum(one.startswith(prefix) for one in diff.fetch),
                "to_remove": sum(one.startswith(prefix) for one in diff.gone),
                "waiting": sum(one.startswith(prefix) for one in diff.waiting),
                "failure": problem.kind if problem else None,
                "problem": str(problem) if problem else empty,
            }
        )
    return rows


def _cells(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> list[list[Any]]:
    return [["-" if row.get(one) is None else row[one] for one in columns] for row in rows]


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
