"""Errors that a person reads: what failed, for which key, and what to do next.

Every error raised on purpose derives from `RagAssetsError`; the command line prints its message as one line and exits
with its `exit_code`. Programming errors stay ordinary exceptions and keep their traceback. No logging and no
formatting belong here.
"""


class RagAssetsError(Exception):
    """Base of every deliberate error. `exit_code`: 1 it does not hold, 2 error or wrong usage, 3 stuck or waiting."""

    exit_code = 2


class SettingsError(RagAssetsError):
    """`rag.yaml` or the environment holds a value that is not allowed."""


class UnknownCorpusError(RagAssetsError):
    """The corpus asked for is neither configured nor stored."""


class SourceError(RagAssetsError):
    """A source cannot be listed or read as a whole; single bad documents become failure rows instead."""


class ModelError(RagAssetsError):
    """A model is missing, is not the one it claims to be, or cannot be loaded."""


class VectorError(RagAssetsError):
    """A vector breaks its contract (not finite, wrong dimension, not unit norm, wrong token count); names the chunk."""


class AdoptionError(RagAssetsError):
    """A foreign table cannot be reached or read, or which column is what cannot be told; says which flag to give."""


class StoreError(RagAssetsError):
    """The store cannot be read or written. Never reported as an empty store."""


class TableDamagedError(StoreError):
    """Files of a table are missing or cannot be decoded; says which. A run drops and rebuilds those rows."""


class ManifestDamagedError(StoreError):
    """The manifest of a snapshot is there and is not a complete one; says which."""


class LostDocumentsError(StoreError):
    """Documents cannot be read and nothing can bring them back; names them."""

    exit_code = 1


class ErasurePendingError(StoreError):
    """Documents are hidden from every query, and not yet erased from every file; says what has to happen first."""

    exit_code = 1


class LeaseHeldError(StoreError):
    """Another run writes to this corpus, and it did not finish within the waiting time."""


class LeaseLostError(StoreError):
    """This run no longer holds the lease: another run took over after it expired. Nothing more is written."""


class BudgetUsedError(RagAssetsError):
    """A run has used what it may use. What it committed is kept, and the rest is planned next time."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(f"{message}; what was done is kept, and the rest is planned next time")


class IndexDamagedError(StoreError):
    """An index generation is missing, damaged or of another format; says which file."""


class NoSnapshotError(RagAssetsError):
    """The corpus has never been published, so there is nothing to answer from."""
