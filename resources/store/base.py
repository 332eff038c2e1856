"""What any corpus store offers. The embedded one is `lance_store`; others implement the same protocol, and
docs/stores.md says where they differ.

Reading never needs a lease; every write goes through a `CorpusWriter`, which `resources.store.writer` hands out with
the lease. Versions are the store's own numbers: None means the newest, which is the candidate.
"""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from resources.store.damage import Damage
from resources.store.files import Files
from resources.store.folders import Folders
from resources.store.lease import Lease
from resources.store.snapshots import Snapshots
from resources.store.tables import Table


class CorpusStore(Protocol):
    """Tables in and out as Arrow. Every method raises StoreError when the store cannot be read or written."""

    corpus: str
    files: Files
    lease: Lease
    snapshots: Snapshots
    indexes: Folders
    """Index generations."""
    reports: Folders
    """Evaluation reports."""

    @property
    def audits(self) -> Path:
        """A local folder for what audits keep: calibrations of models. Losing it costs work, never correctness."""
        ...

    def create(self) -> None:
        """Mark the place as ours; refuse one that holds something else. Idempotent."""
        ...

    def upgrade(self) -> None:
        """Bring an older schema up to date (`migrations`), with the lease in hand; nothing is rewritten. Idempotent.

        StoreError for a store of a newer schema, which may be read, not written.
        """
        ...

    def downgrade(self, to: int) -> None:
        """Take the schema back to an older version, with the lease in hand; StoreError where there is no way back."""
        ...

    def schema_version(self) -> int | None:
        """Return the version of the store's schema; None when there is no store yet."""
        ...

    def version(self, table: Table) -> int:
        """Return the newest version of a table, 0 when it does not exist."""
        ...

    def rows(self, table: Table, columns: Sequence[str], *, version: int | None = None) -> pa.Table:
        """Return these columns of every row."""
        ...

    def damage(self, table: Table, *, version: int | None = None) -> list[Damage]:
        """Return the files of a table that are missing, cut short, or known not to decode; cheap.

        Always empty where a database guards its own files.
        """
        ...

    def sound_rows(self, table: Table, columns: Sequence[str]) -> pa.Table:
        """Return these columns of every row of the newest version that is not lost to `damage`."""
        ...

    def drop_damaged(self, table: Table) -> list[Damage]:
        """Commit the table without its damaged fragments, from the newest version that can be opened, and return what
        was damaged. Idempotent.
        """
        ...

    def batches(
        self, table: Table, columns: Sequence[str], *, version: int | None = None, keys: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield rows in batches of bounded size; with `keys`, only those rows, in no particular order."""
        ...

    def take(self, table: Table, columns: Sequence[str], keys: Sequence[str], *, version: int) -> pa.Table:
        """Return the rows of these keys at a fixed version, for few keys and many calls; keys that do not exist are
        left out.
        """
        ...

    def upsert(self, table: Table, rows: pa.Table) -> None:
        """Insert or replace rows by key, in one atomic commit; in several, where transactions are bounded."""
        ...

    def replace(self, table: Table, rows: pa.Table, *, column: str, values: Sequence[str]) -> None:
        """Make `rows` the only rows whose `column` is in `values`, in one atomic commit; in one a value, where
        transactions are bounded.
        """
        ...

    def delete(self, table: Table, keys: Sequence[str]) -> None:
        """Delete rows by key, in one atomic commit or several, as `upsert`. An empty list deletes nothing."""
        ...

    def rewrite(self, table: Table) -> None:
        """Write the rows of a table anew, so that no file of its newest version holds a deleted one."""
        ...

    def needs_compacting(self, table: Table) -> bool:
        """Whether many small commits, or deleted rows, make a table slower and larger than its rows; cheap."""
        ...

    def compact(self, table: Table) -> None:
        """Join what many commits wrote, in a new version with the same rows. Nothing where there is nothing to join."""
        ...

    def versions(self, table: Table) -> list[int]:
        """Return the versions that can be read, oldest first; of a store without versions at most the newest."""
        ...

    def forget_versions(self, table: Table, *, keep: Collection[int] | None = None) -> None:
        """Delete the versions of a table but the newest and those to `keep`, with their files and labels.

        What reads one of them fails. What a write left behind that never ended stays for seven days, as it may belong
        to one that has not ended yet; without `keep` it goes as well, so that nothing deleted is left.
        """
        ...

    def tables(self) -> list[str]:
        """Return the names of the tables that are there."""
        ...

    def drop(self, table: str) -> None:
        """Delete a table with all its versions, if it is there."""
        ...

    def mark(self, *, leave_out: Collection[str] = ()) -> str | None:
        """Return a digest that differs whenever anything was written since, at the price of a listing.

        Left out are the lease, which beats, and the files `leave_out`. None when it cannot be taken, because there is
        nothing or it is being written to: then only a look can tell. Bits that rot in place escape it.
        """
        ...

    def size(self) -> int:
        """Return the bytes that the corpus takes, indexes and reports included."""
        ...

    def retain(self, table: Table, version: int, label: str) -> None:
        """Protect a version from clean-up under a label; a label names the version it was given last."""
        ...
