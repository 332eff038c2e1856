"""Folders that are kept in a bucket and read from a copy here: fetched once, shared with their siblings, evicted.

In the bucket a folder is its files and, written last, a list of them with length and sha256 beside it; without that
list the folder is not there. Here a copy is used without a request for as long as its files have their lengths. Copies
in use are held by a lock that dies with its process.
"""

import fcntl
import hashlib
import os
import shutil
import threading
import weakref
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from resources.errors import StoreError
from resources.store.cache import Cache
from resources.store.files import sync_folder, write_atomically
from resources.store.objects import Bucket

TRANSFERS = 8


class _File(BaseModel):
    model_config = ConfigDict(frozen=True)
    bytes: int
    sha256: str


class _Contents(BaseModel):
    """The files of a folder, by path in it."""

    files: dict[str, _File]


class CachedFolders:
    """Folders below `prefix` of a bucket, with copies in the cache; `wanted` says which of them stay in any case.

    What it handed out stays as long as it does.
    """

    def __init__(self, bucket: Bucket, prefix: str, cache: Cache, wanted: Callable[[], Collection[str]]) -> None:
        self.local = cache.folder / prefix
        self._bucket, self._prefix, self._cache, self._wanted = bucket, prefix, cache, wanted
        self._held: dict[str, int] = {}
        weakref.finalize(self, _close, self._held)
        self._corrupt: set[str] = set()

    def fetch(self, name: str) -> Path:
        path = self.local / name
        with self._guarded(name):
            if not self._is_whole(name):
                try:
                    contents = _Contents.model_validate_json(self._bucket.read(self._list_of(name)))
                except FileNotFoundError:
                    return path
                except ValidationError:
                    raise StoreError(f"{self._bucket.where(self._list_of(name))} is damaged: delete it") from None
                self._download(name, contents)
                self._evict(name)
            self._hold(name)
        return path

    def keep(self, name: str) -> None:
        with self._guarded(name):
            folder = self.local / name
            contents = _Contents(files={file: _described(folder / file) for file in _files_of(folder)})
            before, there = self._contents_of(name), self._bucket.look(f"{self._prefix}/{name}")
            changed = [
                file
                for file, one in contents.files.items()
                if before.get(file) != one
                or (found := there.get(self._path(name, file))) is None
                or found.size != one.bytes
                or self._path(name, file) in self._corrupt
            ]
            shared = self._elsewhere(name) if changed else {}
            with ThreadPoolExecutor(TRANSFERS) as pool:
                list(pool.map(lambda file: self._store(name, file, contents.files[file], shared), changed))
            self._bucket.write(self._list_of(name), contents.model_dump_json().encode())
            self._bucket.delete_all([one for one in there if one not in {self._path(name, f) for f in contents.files}])
            self._note(name, contents)
            self._evict(name)
            self._hold(name)

    def names(self) -> list[str]:
        return sorted(Path(one).stem for one in self._bucket.look(self._prefix) if self._is_list(one))

    def lacks(self, name: str) -> list[str]:
        there = self._bucket.look(self._prefix)
        wanted = self._local_contents(name) or _Contents(files=self._contents_of(name))
        if self._list_of(name) not in there:
            return [f"{self._bucket.where(self._list_of(name))} is missing"]
        return [
            f"{self._bucket.where(path)} {'is missing' if found is None else f'has {found.size} bytes'} "
            f"(of {one.bytes} bytes)"
            for file, one in wanted.files.items()
            if (found := there.get(path := self._path(name, file))) is None or found.size != one.bytes
        ]

    def delete(self, name: str) -> None:
        self._bucket.delete(self._list_of(name))
        self._bucket.delete_all(list(self._bucket.look(f"{self._prefix}/{name}")))
        with self._guarded(name):
            self._release(name)
            self._forget(name)

    def _store(self, name: str, file: str, wanted: _File, shared: dict[str, str]) -> None:
        """Copy the file from another folder of the bucket that has it, or bring it there."""
        if (source := shared.get(wanted.sha256)) is not None and source not in self._corrupt:
            with suppress(StoreError):  # gone meanwhile
                self._bucket.copy(source, self._path(name, file))
                return
        self._bucket.upload(self.local / name / file, self._path(name, file))
        self._corrupt.discard(self._path(name, file))

    def _elsewhere(self, name: str) -> dict[str, str]:
        """Return where the bucket has a content, by sha256."""
        others = [one for one in self.names() if one != name]
        return {f.sha256: self._path(one, file) for one in others for file, f in self._contents_of(one).items()}

    def _contents_of(self, name: str) -> dict[str, _File]:
        """Return what the bucket's list says; nothing when there is none, or it cannot be understood."""
        try:
            return _Contents.model_validate_json(self._bucket.read(self._list_of(name))).files
        except (FileNotFoundError, ValidationError):
            return {}

    def _download(self, name: str, contents: _Contents) -> None:
        """Bring a folder here, or replace the copy that is here. A file that the bucket has lost, or that is not what
        was kept, stays away: whoever reads the folder finds it missing, and makes it again.
        """
        draft = self.local / f".fetching-{name}-{os.getpid()}-{threading.get_ident()}"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        try:
            here = self._here(name)
            with ThreadPoolExecutor(TRANSFERS) as pool:
                list(pool.map(lambda file: self._bring(name, file, contents.files[file], draft, here), contents.files))
            for folder in (*(one for one in draft.rglob("*") if one.is_dir()), draft):
                sync_folder(folder)
            if not self._is_whole(name):  # another process may have been faster
                self._forget(name)
                draft.rename(self.local / name)
                self._note(name, contents)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _bring(self, name: str, file: str, wanted: _File, draft: Path, here: dict[str, Path]) -> None:
        target = draft / file
        target.parent.mkdir(parents=True, exist_ok=True)
        if (twin := here.get(wanted.sha256)) is not None:
            with suppress(OSError):
                target.hardlink_to(twin)
                if _described(target) == wanted:
                    return
            target.unlink(missing_ok=True)
        digest = hashlib.sha256()
        try:
            with target.open("wb") as out:
                for part in self._bucket.chunks(self._path(name, file)):
                    digest.update(part)
                    out.write(part)
                out.flush()
                os.fsync(out.fileno())
        except FileNotFoundError:
            target.unlink()
            return
        if digest.hexdigest() != wanted.sha256:
            self._corrupt.add(self._path(name, file))
            target.unlink()

    def _here(self, name: str) -> dict[str, Path]:
        """Return where this machine has a content, by sha256, in other copies."""
        found: dict[str, Path] = {}
        for other in self._copies():
            if other != name and (contents := self._local_contents(other)) is not None:
                found |= {one.sha256: self.local / other / file for file, one in contents.files.items()}
        return found

    def _evict(self, name: str) -> None:
        """Delete the copies that were used longest ago until the rest takes no more than it may."""
        if self._cache.is_full():
            stay = {name, *self._wanted(), *self._held}
            for one in sorted(set(self._copies()) - stay, key=lambda one: self._noted(one).stat().st_mtime):
                if self._cache.is_full():
                    with _locked(self.local / one, fcntl.LOCK_EX | fcntl.LOCK_NB) as free:
                        if free:
                            self._forget(one)

    def _copies(self) -> list[str]:
        if not self.local.is_dir():
            return []
        return [one.name for one in self.local.iterdir() if one.is_dir() and self._noted(one.name).is_file()]

    def _hold(self, name: str) -> None:
        """Keep others on this machine from evicting a copy while this object lives."""
        if name in self._held:
            self._noted(name).touch()
        elif (self.local / name).is_dir():
            descriptor = os.open(self.local / name, os.O_RDONLY)
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            self._held[name] = descriptor
            with suppress(FileNotFoundError):
                self._noted(name).touch(exist_ok=True)

    def _release(self, name: str) -> None:
        if (descriptor := self._held.pop(name, None)) is not None:
            os.close(descriptor)

    def _forget(self, name: str) -> None:
        """Delete the copy; the list goes first, so that half a copy counts for nothing."""
        self._release(name)
        self._noted(name).unlink(missing_ok=True)
        if (self.local / name).is_dir():
            aside = (self.local / name).rename(self.local / f".gone-{name}-{os.getpid()}-{threading.get_ident()}")
            shutil.rmtree(aside)

    def _is_whole(self, name: str) -> bool:
        contents = self._local_contents(name)
        if contents is None:
            return False
        try:
            return all((self.local / name / f).stat().st_size == one.bytes for f, one in contents.files.items())
        except OSError:
            return False

    def _local_contents(self, name: str) -> _Contents | None:
        try:
            return _Contents.model_validate_json(self._noted(name).read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def _note(self, name: str, contents: _Contents) -> None:
        write_atomically(self._noted(name), contents.model_dump_json().encode())

    def _noted(self, name: str) -> Path:
        return self.local / f".{name}.json"

    def _list_of(self, name: str) -> str:
        return f"{self._prefix}/{name}.json"

    def _path(self, name: str, file: str) -> str:
        return f"{self._prefix}/{name}/{file}"

    def _is_list(self, path: str) -> bool:
        return path.count("/") == self._prefix.count("/") + 1 and path.endswith(".json")

    @contextmanager
    def _guarded(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(f"{self.local / name} cannot be written: {error.strerror or error}") from error


def _files_of(folder: Path) -> list[str]:
    return sorted(one.relative_to(folder).as_posix() for one in folder.rglob("*") if one.is_file())


def _described(file: Path) -> _File:
    with file.open("rb") as content:
        return _File(bytes=file.stat().st_size, sha256=hashlib.file_digest(content, "sha256").hexdigest())


def _close(held: dict[str, int]) -> None:
    for descriptor in held.values():
        os.close(descriptor)


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[bool]:
    """Hold a lock on a folder; yield whether it was to be had."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, how)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(descriptor)
