"""The options every command takes, and opening what they name."""

from pathlib import Path
from typing import Annotated

import typer

from resources.settings import DEFAULT_CORPUS

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="The settings file; default $RAG_CONFIG, else ./rag.yaml.", show_default=False),
]
CorpusOption = Annotated[str, typer.Option("--corpus", help="The corpus.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]

DEFAULT = DEFAULT_CORPUS
