"""The Dagster instance that commands use: where it lies, its `dagster.yaml`, its partitions, and no dead runs in it."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from importlib.resources import files
from pathlib import Path

import dagster as dg
from dagster._core.storage.event_log.sqlite import SqliteEventLogStorage
from sqlalchemy import Engine, event
from sqlalchemy.exc import OperationalError

from resources.corpus import corpus_names
from resources.errors import StoreError
from resources.settings import Settings
from sensors.corpora import register_corpora
from sensors.dead_runs import free_dead_runs


@contextmanager
def open_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """Open the instance in DAGSTER_HOME, made ready first; runs whose process is gone are reported failed.

    StoreError within the block when Dagster's own storage cannot be used (a full disk, say).
    """
    prepare(settings)
    try:
        with dg.DagsterInstance.get() as instance:
            register_corpora(instance, corpus_names(settings))
            free_dead_runs(instance)
            yield instance
    except OperationalError as error:
        home = settings.dagster_home
        raise StoreError(
            f"Dagster's storage in {home} cannot be used: {error.orig}; is the disk full or read-only?"
        ) from error


@contextmanager
def storage_kept_open(instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """Make the SQLite files that a run writes cheap to write, which makes a run of little work twice as fast.

    Dagster opens, commits and closes the file for every event. SQLite writes its log back whenever the last connection
    closes, so one is held open, and waits for the disk at every commit, which protects nothing but the last events of a
    run that dies with the whole machine: the files stay sound without. Other storages are left alone.
    """
    events = instance.event_log_storage
    if not isinstance(events, SqliteEventLogStorage):
        yield
        return
    files = [events.path_for_shard("index"), events.path_for_shard(run_id)]
    event.listen(Engine, "connect", _without_waiting)
    try:
        with ExitStack() as kept:
            for file in files:
                connection = kept.enter_context(closing(sqlite3.connect(file)))
                connection.execute("PRAGMA journal_mode=WAL").fetchall()
                connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
            yield
    finally:
        event.remove(Engine, "connect", _without_waiting)


def _without_waiting(connection: object, record: object) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous=NORMAL")


def prepare(settings: Settings) -> Path:
    """Create DAGSTER_HOME with our `dagster.yaml`, unless it has one, and point the environment at it."""
    home = settings.dagster_home
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not (home / "dagster.yaml").exists():
            (home / "dagster.yaml").write_bytes(files("rag_assets").joinpath("dagster.yaml").read_bytes())
    except OSError as error:
        raise StoreError(f"cannot prepare DAGSTER_HOME {home}: {error.strerror}") from error
    os.environ["DAGSTER_HOME"] = str(home)
    return home


def write_environment(folder: Path, settings: Settings) -> Path:
    """Write `.env` with an absolute DAGSTER_HOME, for Dagster's own commands; other lines stay as they are."""
    path = folder / ".env"
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    kept = [line for line in lines if not line.startswith("DAGSTER_HOME=")]
    content = "\n".join([*kept, f"DAGSTER_HOME={prepare(settings)}"]) + "\n"
    if not path.exists() or path.read_text("utf-8") != content:
        path.write_text(content, "utf-8")
    return path


if __name__ == "__main__":
    from resources.settings import load_settings

    loaded = load_settings()
    write_environment(Path.cwd(), loaded)
    with open_instance(loaded):
        pass
