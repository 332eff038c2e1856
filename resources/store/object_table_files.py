"""The files of a Lance table in a bucket, known by one listing, which is taken when something is first asked for."""

from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING

from resources.identity import digest
from resources.store.cache import Cache
from resources.store.damage import versions
from resources.store.files import write_atomically
from resources.store.objects import LANCE_OPTIONS, Bucket, Found
from resources.store.table_files import VERSIONS

if TYPE_CHECKING:
    import lance

Opened = dict[tuple[str, int], "lance.LanceDataset"]

OPENED = 12
SMALL = "small"


class ObjectTableFiles:
    """A table in a bucket. `opened`: versions that were opened before; a version never changes."""

    def __init__(self, bucket: Bucket, folder: str, opened: Opened, cache: Cache) -> None:
        self._bucket, self._folder, self._opened, self._cache = bucket, folder, opened, cache
        self.uri = bucket.where(folder)
        self.options: dict[str, str] | None = LANCE_OPTIONS

    @cached_property
    def _listed(self) -> dict[str, Found]:
        start = len(self._folder) + 1
        return {path[start:]: one for path, one in self._bucket.look(self._folder).items()}

    def open(self, version: int | None = None) -> "lance.LanceDataset":
        import lance

        number = version or next(iter(versions(self)), None)
        if number is None:
            return lance.dataset(self.uri, storage_options=self.options)
        found = self._opened.get((self.uri, number))
        if found is None or found.version != number:  # writing through a dataset moves it on
            found = lance.dataset(self.uri, version=number, storage_options=self.options)
            for oldest in list(self._opened)[: max(0, len(self._opened) + 1 - OPENED)]:
                self._opened.pop(oldest, None)
            self._opened[self.uri, number] = found
        return found

    def exists(self) -> bool:
        return bool(self.names(VERSIONS))

    def make_room(self) -> None:
        pass

    def names(self, folder: str) -> list[str]:
        return [path.rsplit("/", 1)[1] for path in self._listed if path.rsplit("/", 1)[0] == folder]

    def size(self, file: str) -> int | None:
        return found.size if (found := self._listed.get(file)) is not None else None

    def read(self, file: str) -> bytes:
        """Return a small file; from here where the listing has the same tag for it as when it was read."""
        path, found = f"{self._folder}/{file}", self._listed.get(file)
        if found is None:
            raise FileNotFoundError(self._bucket.where(path))
        kept = self._cache.folder / SMALL / digest("small", self._bucket.where(path), found.tag)
        if kept.is_file():
            return kept.read_bytes()
        content = self._bucket.read(path)
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(kept, content)
        return content

    def probe(self, file: str) -> None:
        with suppress(FileNotFoundError):
            for _ in self._bucket.chunks(f"{self._folder}/{file}"):
                pass

    def delete(self, file: str) -> None:
        self._bucket.delete(f"{self._folder}/{file}")
        self._listed.pop(file, None)

    def delete_all(self) -> None:
        manifests = [one for one in self._listed if one.startswith(f"{VERSIONS}/")]
        for group in (manifests, [one for one in self._listed if one not in set(manifests)]):
            self._bucket.delete_all([f"{self._folder}/{one}" for one in group])
        self._listed.clear()
