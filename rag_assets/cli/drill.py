"""`drill`: prove on a copy of your own corpus that damage is found, repaired and gone."""

from typing import Annotated

import typer

from rag_assets.cli.options import DEFAULT, ConfigOption, CorpusOption, JsonOption


def drill(
    corpus: CorpusOption = DEFAULT,
    seed: Annotated[int, typer.Option("--seed", help="Which rows are damaged.")] = 0,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Damage a copy of a corpus in many ways; show how each is found and repaired. Exit 0: all found and repaired."""
    import random
    import time

    from rag_assets.cli.console import console, print_json, print_table, working
    from rag_assets.drill.damage import DAMAGES
    from rag_assets.drill.rehearse import rehearsal
    from resources.settings import load_settings

    settings = load_settings(config)
    draw = random.Random(seed)
    outcomes = []
    started = time.perf_counter()
    with working(), rehearsal(settings, corpus) as copy:
        for damage in DAMAGES:
            outcomes.append(copy.play(damage, draw))
            if not json:
                last = outcomes[-1]
                console.print(f"{'[green]ok[/green]  ' if last.passed else '[red]bad[/red] '} {last.damage}")
    seconds, passed = time.perf_counter() - started, all(one.passed for one in outcomes)
    if json:
        print_json(
            {
                "corpus": corpus,
                "holds": passed,
                "seconds": round(seconds, 1),
                "damages": [one.as_json() for one in outcomes],
            }
        )
        raise typer.Exit(0 if passed else 1)
    columns = ("damage", "found as", "depth", "rows", "repair", "embedded", "s", "converged")
    rows = [
        (
            one.damage,
            ", ".join(one.found) or "not found",
            one.depth,
            f"{one.ids}/{one.damaged}" if one.damaged else "files",
            ", ".join(one.actions),
            one.chunks,
            f"{one.look_seconds:.1f} + {one.repair_seconds:.1f}",
            "yes" if one.converged else "no",
        )
        for one in outcomes
    ]
    print_table(f"Drill on a copy of {corpus}: {len(rows)} kinds of damage in {seconds:.0f} s", columns, rows)
    bad = [f"{one.damage} ({one.problem or 'not every row was named'})" for one in outcomes if not one.passed]
    console.print(
        "Everything was found and repaired; the original was not touched."
        if passed
        else f"Not found or not repaired: {', '.join(bad)}."
    )
    raise typer.Exit(0 if passed else 1)
