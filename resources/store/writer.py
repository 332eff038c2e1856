"""The only way to write to a corpus: with its lease in hand, which is checked before every commit."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa

from resources.store.allowance import Allowance
from resources.store.base import CorpusStore
from resources.store.damage import Damage
from resources.store.folders import Folders
from resources.store.lease import HeldLease, Holder, Process
from resources.store.snapshots import Manifest
from resources.store.tables import Table

UNBOUNDED = Allowance()


class CorpusWriter:
    """Writes on behalf of `run`.

    Each method is one atomic commit and raises LeaseLostError when another run took over. `allowance`: what the run may
    use; stages ask it after each commit.
    """

    def __init__(self, store: CorpusStore, lease: HeldLease, allowance: Allowance) -> None:
        self.store = store
        self.allowance = allowance
        self._lease = lease

    @property
    def run(self) -> str:
        """The run that holds the lease."""
        return self._lease.holder.owner

    def upsert(self, table: Table, rows: pa.Table) -> None:
        """Insert or replace rows by key."""
        self._lease.check()
        self.store.upsert(table, rows)

    def replace(self, table: Table, rows: pa.Table, *, column: str, values: Sequence[str]) -> None:
        """Make `rows` the only rows whose `column` is in `values`."""
        self._lease.check()
        self.store.replace(table, rows, column=column, values=values)

    def delete(self, table: Table, keys: Sequence[str]) -> None:
        """Delete rows by key."""
        self._lease.check()
        self.store.delete(table, keys)

    def rewrite(self, table: Table) -> None:
        """Write the rows of a table anew, without what was deleted."""
        self._lease.check()
        self.store.rewrite(table)

    def compact(self, table: Table) -> None:
        """Join what many commits to a table wrote."""
        self._lease.check()
        self.store.compact(table)

    def forget_versions(self, table: Table, *, keep: Collection[int] | None = None) -> None:
        """Delete the older versions of a table that are not to be kept."""
        self._lease.check()
        self.store.forget_versions(table, keep=keep)

    def drop(self, table: str) -> None:
        """Delete a table."""
        self._lease.check()
        self.store.drop(table)

    def delete_folder(self, folders: Folders, name: str) -> None:
        """Delete an index generation or a report."""
        self._lease.check()
        folders.delete(name)

    def delete_file(self, path: str) -> None:
        """Delete one of the corpus's small files."""
        self._lease.check()
        self.store.files.delete(path)

    def retire(self, number: int) -> None:
        """Delete the manifest of an older snapshot."""
        self._lease.check()
        self.store.snapshots.retire(number)

    def drop_damaged(self, table: Table) -> list[Damage]:
        """Commit a table without what cannot be read of it."""
        self._lease.check()
        return self.store.drop_damaged(table)

    def remove_documents(self, document_ids: Sequence[str]) -> Manifest | None:
        """Hide documents from live at once."""
        self._lease.check()
        return self.store.snapshots.remove_documents(document_ids, self.run)

    def publish(self, manifest: Manifest) -> Manifest:
        """Make a manifest live."""
        self._lease.check()
        return self.store.snapshots.publish(manifest)


@contextmanager
def writing(
    store: CorpusStore,
    run: str,
    *,
    wait: float,
    is_gone: Callable[[Holder], bool] = lambda _: False,
    allowance: Allowance = UNBOUNDED,
    process: Process | None = None,
) -> Iterator[CorpusWriter]:
    """Take the corpus's lease for `run`, or share it with the run's other steps, and yield a writer.

    The lease stays with the run afterwards (see `Lease.release`). `process`: the one without which the run is over.
    """
    store.create()
    with store.lease.acquire(run, wait=wait, is_gone=is_gone, process=process) as held:
        store.upgrade()
        yield CorpusWriter(store, held, allowance)
