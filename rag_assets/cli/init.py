"""`init`: write a commented `rag.yaml`."""

from pathlib import Path
from typing import Annotated

import typer


def init(
    path: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("rag.yaml"),
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")] = False,
) -> None:
    """Write a commented settings file. An existing file is left alone (exit 2)."""
    from importlib.resources import files

    from rag_assets.cli.console import console, print_json
    from resources.errors import SettingsError
    from resources.store.files import LocalFiles

    content = files("rag_assets.cli").joinpath("rag.yaml").read_bytes()
    if not path.parent.is_dir():
        raise SettingsError(f"{path.parent}: no such folder; create it first")
    if not LocalFiles(path.parent).create(path.name, content):
        raise SettingsError(f"{path} exists already; it was left as it is")
    if json:
        print_json({"written": str(path)})
    else:
        console.print(f"Wrote {path}. Next: rag-assets ensure search-ready --auto-fix")
