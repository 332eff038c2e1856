"""`doctor`: is everything here that a corpus needs, and is what is stored sound?"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Annotated, Any

import typer

from rag_assets.cli.options import ConfigOption, JsonOption

Finding = tuple[str, bool, str]
ENOUGH_DISK = 2 << 30


def doctor(
    upgrade: Annotated[
        bool, typer.Option("--upgrade", help="Say what the installed software will change, and what that costs.")
    ] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Check packages, settings, model, disk, Dagster's home and every corpus. Exit 0: all well; 1: something is not.

    With --upgrade: what the next run would migrate, parse and embed again. Nothing is written.
    """
    from rag_assets.cli.console import console, print_json, working
    from resources.settings import load_settings

    settings = load_settings(config)
    with working():
        looks = (_upgrades,) if upgrade else (_packages, _disk, _dagster, _corpora)
        findings = [finding for look in looks for finding in _guarded(look, settings)]
    well = all(good for _, good, _ in findings)
    if json:
        print_json(
            {
                "well": well,
                "findings": [{"what": what, "well": good, "detail": detail} for what, good, detail in findings],
            }
        )
    else:
        for what, good, detail in findings:
            console.print(f"{'[green]ok[/green]  ' if good else '[red]bad[/red] '} {what}: {detail}")
    raise typer.Exit(0 if well else 1)


def _guarded(look: Callable[[Any], Iterator[Finding]], settings: Any) -> Iterator[Finding]:
    """Turn a deliberate error into a finding, so that one broken part does not hide the others."""
    from resources.errors import RagAssetsError

    try:
        yield from look(settings)
    except RagAssetsError as error:
        yield "settings or store", False, str(error)


def _packages(settings: Any) -> Iterator[Finding]:
    from importlib.metadata import PackageNotFoundError, version

    for name in ("dagster", "torch", "pylance", "faiss-cpu", "tantivy", "great-expectations", "ragas"):
        try:
            yield f"package {name}", True, version(name)
        except PackageNotFoundError:
            optional = name == "ragas"
            yield (
                f"package {name}",
                optional,
                "not installed"
                + ("; pip install 'rag-assets[ragas]' adds RAGAS's metrics to reports" if optional else ""),
            )


def _disk(settings: Any) -> Iterator[Finding]:
    import shutil

    folder = settings.home
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    yield "disk", free >= ENOUGH_DISK, f"{free / 1e9:.1f} GB free under {settings.home}"


def _dagster(settings: Any) -> Iterator[Finding]:
    import dagster as dg

    from rag_assets.instance import open_instance
    from sensors.dead_runs import UNFINISHED

    with open_instance(settings) as instance:
        running = len(instance.get_runs(filters=dg.RunsFilter(statuses=UNFINISHED)))
        yield (
            "dagster",
            not instance.telemetry_enabled,
            f"home {settings.dagster_home}, {running} runs in progress, telemetry "
            f"{'on' if instance.telemetry_enabled else 'off'}",
        )


def _upgrades(settings: Any) -> Iterator[Finding]:
    from resources.corpus import corpus_names

    for name in corpus_names(settings):
        yield from _guarded(partial(_upgrade, name), settings)


def _upgrade(name: str, settings: Any) -> Iterator[Finding]:
    from resources.corpus import open_corpus
    from resources.reconciliation.analyse import analyse
    from resources.reconciliation.history import past_rates
    from resources.reconciliation.observe import SystemState
    from resources.reconciliation.plan import gather_facts, make_plan
    from resources.store.migrations import pending

    corpus = open_corpus(settings, name)
    what = f"corpus {name}"
    found = corpus.store.schema_version()
    if found is None:
        yield what, True, "not built yet"
        return
    steps = [str(one) for one in pending(found)]
    yield what, True, "; ".join([*steps, "no row is written"]) if steps else f"schema {found}: no migration"
    state, target = SystemState(corpus), corpus.settings.target_state
    issues = analyse(state, target)
    facts = gather_facts(state, issues, target)
    plan = make_plan(name, target, issues, facts, past_rates(corpus.store))
    parsed = sum(len(step.documents) for step in plan.steps if step.action == "fetch")
    cost = plan.seconds / 3600 * corpus.settings.auto_repair.cost_per_hour
    priced = f", cost about {cost:.2f}" if cost else ""
    about = f"{parsed:,} documents to be parsed, about {plan.chunks:,} chunks to be embedded"
    yield f"{what}, next run", True, f"{about}, about {plan.seconds:,.0f} s{priced}" if plan.steps else "nothing to do"


def _corpora(settings: Any) -> Iterator[Finding]:
    from resources.corpus import corpus_names

    for name in corpus_names(settings):
        yield from _guarded(partial(_corpus, name), settings)


def _corpus(name: str, settings: Any) -> Iterator[Finding]:
    from resources.corpus import open_corpus
    from resources.index.generation import verify
    from resources.reconciliation.observe import SystemState

    corpus = open_corpus(settings, name)
    model = corpus.model
    what = (
        f"weights sha256 {model.weights_sha256[:12]}…, {model.dimension} dimensions, at most {model.max_tokens} tokens"
    )
    yield f"corpus {name}, model {model.name}", True, what
    state = SystemState(corpus)
    live = state.live
    if live is None:
        yield f"corpus {name}", True, "not built yet"
        return
    store = corpus.store
    problems = [
        *state.live_problems,
        *(one for index in (live.dense, live.bm25) for one in verify(store.indexes.fetch(index))),
    ]
    repair = f". Repair: dagster asset materialize -m rag_assets.definitions --select '*' --partition {name}"
    chunks = f"{live.counts['chunks']:,} chunks"
    detail = "; ".join(dict.fromkeys(problems)) + repair if problems else f"snapshot {live.number} is whole ({chunks})"
    yield f"corpus {name}", not problems, detail
