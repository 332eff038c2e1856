"""Schema versions: what each one changed, the way there and the way back, and which software can read what.

A migration adds columns that are null in the rows that are there, so it writes no row, can be cut short anywhere, and
is finished by asking for it again. Snapshots name the versions of before it, so queries see nothing of it. What the new
columns should hold is drift like any other: the next runs fill them, and `doctor --upgrade` says what that costs.

`readable_by` in the marker and in each manifest is the oldest software that can serve it: older software reads what it
knows and leaves the rest, but never writes to a store of a newer schema.
"""

import json
from dataclasses import dataclass
from typing import Protocol

from resources.errors import StoreError
from resources.store.files import Files
from resources.store.snapshots import Snapshots
from resources.store.tables import DOCUMENTS, READABLE_BY, SCHEMA_VERSION, Table

MARKER = "corpus.json"
OLDEST = 1


@dataclass(frozen=True)
class Migration:
    """From schema version `to` - 1 to `to`: the columns that `table` gets."""

    to: int
    table: Table
    columns: tuple[str, ...]

    def __str__(self) -> str:
        return f"schema {self.to - 1} → {self.to}: {self.table.name} gets {', '.join(self.columns)}"


MIGRATIONS = (
    Migration(
        2,
        DOCUMENTS,
        (
            "failure",
            "attempts",
            "next_try",
            "modified",
            "checksum",
            "content_hash",
            "url",
            "principals",
            "simhash",
        ),
    ),
)
"""In order, one for each schema version after the oldest."""


class Migrated(Protocol):
    """What a migration needs of a store."""

    corpus: str
    files: Files
    snapshots: Snapshots

    def add_columns(self, table: Table, names: tuple[str, ...]) -> None:
        """Give a table those of these columns that it lacks, all null. Idempotent."""
        ...

    def drop_columns(self, table: Table, names: tuple[str, ...]) -> None:
        """Take those of these columns away that a table has; older versions keep them. Idempotent."""
        ...


@dataclass(frozen=True)
class Marker:
    """What a store says of itself."""

    schema_version: int
    readable_by: int


def read_marker(files: Files, corpus: str) -> Marker:
    """Read a store's marker; FileNotFoundError without one, StoreError when it is damaged or too new to be read."""
    try:
        body = json.loads(files.read(MARKER))
        found = int(body["schema_version"])
        marker = Marker(found, int(body.get("readable_by", found)))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"corpus {corpus}: {files.where(MARKER)} cannot be read ({error}); restore it or move the folder away"
        ) from error
    if marker.readable_by > SCHEMA_VERSION:
        raise StoreError(
            f"corpus {corpus}: its store has schema version {found}, which needs software that knows "
            f"{marker.readable_by}; this one knows {SCHEMA_VERSION}; upgrade rag-assets"
        )
    return marker


def write_marker(files: Files, corpus: str, schema_version: int = SCHEMA_VERSION) -> None:
    """Write down that a store has this schema."""
    body = {"corpus": corpus, "schema_version": schema_version, "readable_by": min(READABLE_BY, schema_version)}
    files.write(MARKER, json.dumps(body).encode())


def pending(schema_version: int) -> list[Migration]:
    """Return the migrations that a store of this schema lacks, in order."""
    return [one for one in MIGRATIONS if one.to > schema_version]


def upgrade(store: Migrated) -> None:
    """Bring a store's schema up to date, one version after the other. To be called with the lease in hand.

    StoreError when the store has a newer schema than this software knows: it may be read, not written.
    """
    found = read_marker(store.files, store.corpus).schema_version
    if found > SCHEMA_VERSION:
        raise StoreError(
            f"corpus {store.corpus}: its store has schema version {found}, and this software knows {SCHEMA_VERSION}: "
            "it can answer queries, and must not write; upgrade rag-assets"
        )
    for migration in pending(found):
        store.add_columns(migration.table, migration.columns)
        write_marker(store.files, store.corpus, migration.to)


def downgrade(store: Migrated, to: int) -> None:
    """Take a store back to an older schema, for the software that knows no newer one. Needs the lease.

    StoreError when a snapshot was published with a newer schema.
    """
    if not OLDEST <= to <= SCHEMA_VERSION:
        raise StoreError(f"corpus {store.corpus}: there is no way back to schema {to}; {OLDEST} … {SCHEMA_VERSION}")
    for number in store.snapshots.numbers():
        if (found := store.snapshots.read(number).schema_version) > to:
            raise StoreError(
                f"corpus {store.corpus}: snapshot {number} was published with schema {found}, so there is no way back "
                f"to {to}; restore a backup from before the upgrade"
            )
    for migration in reversed(MIGRATIONS):
        if to < migration.to <= read_marker(store.files, store.corpus).schema_version:
            store.drop_columns(migration.table, migration.columns)
            write_marker(store.files, store.corpus, migration.to - 1)
