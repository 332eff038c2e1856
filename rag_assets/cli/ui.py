"""`ui`: Dagster's web interface and daemon over these corpora."""

from typing import Annotated

import typer

from rag_assets.cli.options import ConfigOption


def ui(
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="The port to listen on.")] = 3000,
    config: ConfigOption = None,
) -> None:
    """Open Dagster's UI: the asset graph, checks, plots, runs and sensors. Stops with Ctrl-C."""
    import os
    import sys
    from pathlib import Path

    from rag_assets.cli.console import console
    from rag_assets.instance import open_instance
    from resources.settings import load_settings

    settings = load_settings(config)
    with open_instance(settings):
        pass
    if settings.path:
        os.environ["RAG_CONFIG"] = str(settings.path)
    os.environ["RAG_HOME"] = str(settings.home)
    # Dagster advises `dg dev`, which needs a project's sources; this is the same program.
    os.environ["PYTHONWARNINGS"] = "ignore:Function `dev_command` is superseded"
    console.print(f"Starting Dagster's UI, about 15 s: http://{host}:{port}  (Ctrl-C stops it)")
    dagster = Path(sys.executable).with_name("dagster")
    os.execv(dagster, [str(dagster), "dev", "-m", "rag_assets.definitions", "-h", host, "-p", str(port)])
