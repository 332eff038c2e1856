"""Snapshots: numbered, immutable manifests. The highest number is live; there is no pointer that could move back.

A manifest names the version of each table and the generation of each index that were audited together, the model that
must encode queries against them, and the documents removed since (tombstones). Publishing creates the next number
exclusively: two publishers cannot both succeed, and a crash leaves either the old live or the new one.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from resources.errors import ManifestDamagedError, NoSnapshotError, StoreError
from resources.store.files import Files
from resources.store.tables import READABLE_BY, SCHEMA_VERSION

FOLDER = "snapshots"


class Manifest(BaseModel):
    """What queries read. `number` orders manifests; `content` identifies what is served, tombstones left aside."""

    model_config = ConfigDict(frozen=True)

    number: int
    corpus: str
    kind: Literal["publish", "removal", "rollback"]
    created: str
    run: str
    content: str
    documents_version: int
    chunks_version: int
    embeddings_version: int
    model: str
    model_fingerprint: str
    dimension: int
    dense: str
    bm25: str
    chunks_digest: str
    counts: dict[str, int]
    report: str | None
    metrics: dict[str, dict[str, Any]] = {}
    removed_documents: tuple[str, ...] = ()
    pinned: bool = False
    restored_from: int | None = None
    schema_version: int = SCHEMA_VERSION
    readable_by: int = READABLE_BY

    @model_validator(mode="before")
    @classmethod
    def _readable_by(cls, values: Any) -> Any:
        """A manifest from before there was `readable_by` is readable by what knows its schema."""
        if isinstance(values, dict) and "schema_version" in values:
            return {"readable_by": values["schema_version"], **values}
        return values


class Snapshots:
    """The manifests of one corpus."""

    def __init__(self, files: Files, corpus: str) -> None:
        self.files = files
        self.corpus = corpus

    def numbers(self) -> list[int]:
        """Return all snapshot numbers, oldest first."""
        names = [PurePosixPath(path).stem for path in self.files.list(FOLDER)]
        return sorted(int(name) for name in names if name.isdecimal())

    def live(self) -> Manifest | None:
        """Return the manifest that queries read, None when nothing was ever published."""
        numbers = self.numbers()
        return self.read(numbers[-1]) if numbers else None

    def read(self, number: int) -> Manifest:
        """Return one manifest; StoreError when it cannot be read, NoSnapshotError when there is none of that number."""
        path = self._path(number)
        try:
            manifest = Manifest.model_validate_json(self.files.read(path))
        except FileNotFoundError:
            known = ", ".join(str(one) for one in self.numbers()) or "none"
            raise NoSnapshotError(f"corpus {self.corpus} has no snapshot {number}; there are: {known}") from None
        except ValidationError as error:
            raise ManifestDamagedError(
                f"corpus {self.corpus}: manifest {self.files.where(path)} is damaged (not a complete manifest). "
                "Publish anew: rag-assets ensure search-ready --auto-fix; or go back: "
                "rag-assets snapshots rollback NUMBER"
            ) from error
        if manifest.readable_by > SCHEMA_VERSION:
            raise StoreError(
                f"corpus {self.corpus}: snapshot {number} has schema version {manifest.schema_version}, which needs "
                f"software that knows {manifest.readable_by}; this one knows {SCHEMA_VERSION}; upgrade rag-assets"
            )
        return manifest

    def publish(self, manifest: Manifest) -> Manifest:
        """Create the manifest under its number, which must be the next one; StoreError when another run was faster."""
        if not self.files.create(self._path(manifest.number), manifest.model_dump_json(indent=1).encode()):
            raise StoreError(
                f"corpus {self.corpus}: snapshot {manifest.number} was published by another run meanwhile; run it again"
            )
        return manifest

    def retire(self, number: int) -> None:
        """Delete a manifest that is not live; StoreError for the highest number."""
        if number == self.numbers()[-1]:
            raise StoreError(f"corpus {self.corpus}: snapshot {number} is live and cannot be retired")
        self.files.delete(self._path(number))

    def remove_documents(self, document_ids: Sequence[str], run: str) -> Manifest | None:
        """Hide documents from every query at once: the same versions under a new number, with more removed ids.

        Returns the new manifest, or None when nothing is live or live does not serve any of them.
        """
        live = self.live()
        more = sorted(set(document_ids) - set(live.removed_documents)) if live else []
        if live is None or not more:
            return None
        return self.publish(
            self.successor(live, kind="removal", run=run, removed_documents=(*live.removed_documents, *more))
        )

    def successor(self, manifest: Manifest, **changes: Any) -> Manifest:
        """Return a copy of `manifest` under the next number."""
        numbers = self.numbers()
        return manifest.model_copy(update={"number": (numbers[-1] if numbers else 0) + 1, "created": now(), **changes})

    def _path(self, number: int) -> str:
        return f"{FOLDER}/{number:08d}.json"


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
