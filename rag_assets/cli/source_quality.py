"""`sources audit` and `sources canary`: how good the documents are as text, and whether another parser reads better."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rag_assets.cli.options import DEFAULT, ConfigOption, CorpusOption, JsonOption

if TYPE_CHECKING:
    from resources.corpus import Corpus
    from resources.materialisation.canary import CanaryRun

SHOWN = 20


def audit(
    topic: Annotated[
        list[str] | None,
        typer.Option("--topic", help="A topic to be covered: NAME, or NAME=WORD,WORD.", show_default=False),
    ] = None,
    language: Annotated[
        list[str] | None, typer.Option("--language", help="A language to expect, as in `en`.", show_default="en")
    ] = None,
    corpus: CorpusOption = DEFAULT,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Report how well the sources became documents: outcomes, text and formulas preserved, topics and gaps,
    contradictions, languages, duplicates, and one readiness score with its parts. Nothing is written.
    """
    from rag_assets.cli.console import print_json, working
    from resources.reconciliation.observe import SystemState
    from resources.reconciliation.source_audit import audit_sources

    with working():
        topics = dict(map(_topic, topic or ()))
        languages = [one.strip().lower() for one in language or ("en",)]
        report = audit_sources(SystemState(_open(config, corpus)), topics, languages)
    if json:
        print_json(report)
    else:
        _show_audit(report)


def _topic(stated: str) -> tuple[str, list[str]]:
    name, _, words = stated.partition("=")
    if not name.strip():
        raise typer.BadParameter(f"{stated!r}: a topic has a name, as in --topic leave=vacation,holiday")
    return name.strip(), [one.strip() for one in words.split(",") if one.strip()]


def _show_audit(report: dict[str, Any]) -> None:
    from rag_assets.cli.console import console, print_table

    name = report["corpus"]
    for what, column in (("outcomes", "media_type"), ("failures", "failure")):
        columns = ("source", column, "documents", "bytes", "characters", "outcomes")
        rows = [[*(one[key] for key in columns[:-1]), _pairs(one["outcomes"])] for one in report[what]]
        if rows:
            print_table(f"{name}: {what}", columns, rows)
    for what, title in (("content", "text preserved"), ("formulas", "formulas preserved")):
        found = report[what]
        if not found["judged"]:
            console.print(f"{title.capitalize()}: no document says what it should have.")
            continue
        rows = [[media_type, median] for media_type, median in found["by_type"].items()]
        about = f"{found['judged']} judged, median {found['median']:.3f}, {len(found['lost'])} lost more than a fifth"
        print_table(f"{name}: {title} ({about})", ("media_type", "median"), rows)
        _show_some([f"{one} kept {share}" for one, share in found["lost"].items()])
    if report["topics"]:
        rows = [[one["topic"], one["documents"], "gap" if one["gap"] else ""] for one in report["topics"][:SHOWN]]
        print_table(f"{name}: topics, the least covered first", ("topic", "documents", ""), rows)
    console.print(f"Contradictions: {len(report['contradictions'])}.")
    _show_some([f"{one['title']}: {', '.join(one['document_ids'])}" for one in report["contradictions"]])
    console.print(f"In another language than {', '.join(report['languages'])}: {len(report['foreign'])}.")
    _show_some([f"{one}: {language}" for one, language in report["foreign"].items()])
    console.print(f"Duplicates: {report['duplicates']}. Near-duplicate pairs: {report['near_duplicates']}.")
    _show_some([f"{one} ~ {other}" for one, other in report["near_duplicate_pairs"]])
    console.print(f"Unreachable sources: {len(report['unreachable'])}.")
    _show_some([f"{one}: {problem}" for one, problem in report["unreachable"].items()])
    parts = {part: "not judged" if value is None else value for part, value in report["parts"].items()}
    console.print(f"Readiness {report['readiness']}: {_pairs(parts)}.")


def canary(
    parser: Annotated[str, typer.Argument(help="The name of a registered parser, such as `plain`.")],
    share: Annotated[
        float, typer.Option("--share", min=0.0001, max=1.0, help="The share of the documents to try it on.")
    ] = 0.1,
    corpus: CorpusOption = DEFAULT,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Try another parser on a share of the documents beside the one in use, and recommend to promote or reject it.
    Nothing is written. Exit 0: promote it; 1: reject it, or try more documents.
    """
    from rag_assets.cli.console import print_json, working
    from resources.materialisation.canary import try_parser

    with working():
        opened = _open(config, corpus)
        runs = try_parser(opened, parser, share)
    promoted = {one.media_type: one.canary for one in runs if one.report.recommendation == "promote"}
    parsers = {**opened.settings.parsing.parsers, **promoted}
    setting = f"corpora: {{{corpus}: {{parsing: {{parsers: {_yaml(parsers)}}}}}}}" if promoted else None
    if json:
        types = [_type_report(one) for one in runs]
        print_json({"corpus": corpus, "parser": parser, "share": share, "types": types, "rag.yaml": setting})
    else:
        _show_canary(runs, setting)
    raise typer.Exit(0 if len(promoted) == len(runs) else 1)


def _type_report(run: "CanaryRun") -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "media_type": run.media_type,
        "current": run.current,
        "canary": run.canary,
        "recommendation": run.report.recommendation,
        "reasons": list(run.report.reasons),
        "documents": [asdict(one) for one in run.report.trials],
        "unread": dict(run.unread),
    }


def _show_canary(runs: "Sequence[CanaryRun]", setting: str | None) -> None:
    from rag_assets.cli.console import console, print_table

    for run in runs:
        columns = ("document", run.current, run.canary, "words kept")
        differing = [one for one in run.report.trials if one.is_better or one.is_worse or one.loses_words]
        rows = [[one.key, one.current, one.canary, "-" if one.recall is None else one.recall] for one in differing]
        if rows:
            print_table(f"{run.media_type}: documents that end otherwise", columns, rows[:SHOWN])
        _show_some([f"{one} could not be read: {reason}" for one, reason in run.unread.items()])
        what = f"{run.media_type}: {run.canary} for {run.current}: {run.report.recommendation}"
        console.print(f"{what} ({'; '.join(run.report.reasons)}).", markup=False)
    if setting:
        console.print(f"To promote it, in rag.yaml:\n  {setting}", markup=False)
        console.print("The next `rag-assets sources sync` parses these types anew; without the line, as before.")


def _show_some(lines: list[str]) -> None:
    from rag_assets.cli.console import console

    for line in lines[:SHOWN]:
        console.print(f"  {line}", markup=False)
    if len(lines) > SHOWN:
        console.print(f"  and {len(lines) - SHOWN} more; --json has them all")


def _open(config: Any, corpus: str) -> "Corpus":
    from resources.corpus import open_corpus
    from resources.settings import load_settings

    return open_corpus(load_settings(config), corpus)


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _yaml(values: dict[str, str]) -> str:
    return "{" + ", ".join(f"{name}: {value}" for name, value in values.items()) + "}"
