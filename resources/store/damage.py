"""Damage of a table's files: which fragments cannot be read, why, and how to commit the table without them.

Lance versions share their data files, so an older version is no backup of a lost file: the rows of a fragment that
cannot be read are dropped, and whoever made them makes them again. A look asks for the length of each file (see
`TableFiles`); a file whose content failed to decode once is a *suspect* and is read whole by every look until it is
dropped or sound again. The list of suspects is never believed, and losing it costs finding them again. A file that the
system refuses to read (permission, I/O, a bucket that does not answer) is an error, never damage.
"""

import errno
import json
import re
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from resources.errors import StoreError
from resources.store.files import Files
from resources.store.table_files import VERSIONS, TableFiles

if TYPE_CHECKING:
    import lance

SUSPECTS = "suspects.json"
BUCKET_REFUSES = re.compile(
    "Generic (S3|GCS|MicrosoftAzure) error|lacked the necessary privileges|valid authentication"
)
_LAST = 2**64 - 1


@dataclass(frozen=True)
class Damage:
    """A file of a table that cannot be read. `fragment`: the rows that are lost with it; None: a version's manifest."""

    table: str
    file: str
    problem: str
    rows: int
    fragment: int | None

    def __str__(self) -> str:
        lost = f" ({self.rows} rows)" if self.fragment is not None else ""
        return f"{self.table}: {self.file} {self.problem}{lost}"


def damaged_fragments(
    dataset: "lance.LanceDataset", there: TableFiles, table: str, *, suspects: Collection[str] | None
) -> list[Damage]:
    """Return the fragments that cannot be read; of sound-looking files only `suspects` are read, all when None."""
    found = []
    for fragment in dataset.get_fragments():
        metadata = fragment.metadata
        files = [(f"data/{one.path}", one.file_size_bytes) for one in metadata.files]
        if metadata.deletion_file is not None:
            files.append((metadata.deletion_file.path(metadata.id), None))
        for file, size in files:
            problem = _problem(there.size(file), size)
            if not problem and (suspects is None or f"{table}/{file}" in suspects):
                problem = _undecodable(fragment, there)
            if problem:
                found.append(Damage(table, file, problem, metadata.num_rows, metadata.id))
                break
    return found


def drop(dataset: "lance.LanceDataset", fragments: Collection[int]) -> None:
    """Commit the table without these fragments; the other fragments' rows stay as they are."""
    import lance

    operation = lance.LanceOperation.Delete([], sorted(fragments), "damaged")
    lance.LanceDataset.commit(dataset, operation, read_version=dataset.version)


def newest_readable(there: TableFiles) -> tuple["lance.LanceDataset | None", list[int]]:
    """Return the newest version that can be opened (None: not one), and the numbers of the broken ones above it."""
    broken: list[int] = []
    for number in versions(there):
        try:
            return there.open(number), broken
        except (ValueError, OSError):
            there.probe(manifest_path(number))
            broken.append(number)
    return None, broken


def versions(there: TableFiles) -> list[int]:
    """Return the numbers of the manifests that are there, newest first."""
    manifests = [PurePosixPath(one) for one in there.names(VERSIONS)]
    return sorted((_LAST - int(one.stem) for one in manifests if one.suffix == ".manifest"), reverse=True)


def manifest_path(number: int) -> str:
    """Return where the manifest of a version lies: Lance counts down, so that the newest sorts first."""
    return f"{VERSIONS}/{_LAST - number:020d}.manifest"


def pass_over(there: TableFiles, named: int) -> None:
    """Commit empty changes until the newest version is above `named`, and leave none of the numbers up to it.

    A version that a snapshot names and whose manifest is lost must not come back with other rows.
    """
    import lance

    dataset = there.open()
    reused = range(dataset.version + 1, named + 1)
    while dataset.version <= named:
        operation = lance.LanceOperation.Delete([], [], "false")
        dataset = lance.LanceDataset.commit(dataset, operation, read_version=dataset.version)
    for number in reused:
        there.delete(manifest_path(number))


def read_suspects(files: Files) -> frozenset[str]:
    """Return the files (TABLE/FILE) to be read whole; none when the list is missing or cannot be understood."""
    try:
        return frozenset(json.loads(files.read(SUSPECTS)))
    except (FileNotFoundError, ValueError, TypeError):
        return frozenset()


def suspect(files: Files, damages: Collection[Damage]) -> None:
    """Remember files that failed to decode; a reader that may not write leaves it to the next one."""
    before = read_suspects(files)
    after = before | {f"{one.table}/{one.file}" for one in damages if one.fragment is not None}
    if after != before:
        with suppress(StoreError):
            files.write(SUSPECTS, json.dumps(sorted(after)).encode())


def _problem(found: int | None, size: int | None) -> str:
    if found is None:
        return "is missing"
    return f"has {found} bytes instead of {size}" if size is not None and found != size else ""


def _undecodable(fragment: "lance.LanceFragment", there: TableFiles) -> str:
    for file in fragment.data_files():
        there.probe(f"data/{file.path}")
    try:
        for _ in fragment.to_batches():
            pass
    except BaseException as error:
        if not is_decoding(error):
            raise
        return "cannot be decoded"
    return ""


def is_decoding(error: BaseException | None) -> bool:
    """Whether what Lance raised may come from a file's content: no refusal of the system but a file that is missing.

    A panic of its decoder is no `Exception`.
    """
    if type(error).__name__ == "PanicException":
        return True
    text = str(error)
    refused = ("os error" in text and f"os error {errno.ENOENT})" not in text) or BUCKET_REFUSES.search(text)
    return isinstance(error, (OSError, ValueError, RuntimeError)) and not refused
