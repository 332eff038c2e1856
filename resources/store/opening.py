"""Which store a URL stands for. One line a kind of store; what each needs is imported when it is asked for."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from resources.errors import SettingsError
from resources.store.base import CorpusStore

Open = Callable[[str, str, Path, int], CorpusStore]


def open_store(url: str | None, corpus: str, local: Path, *, cache_bytes: int) -> CorpusStore:
    """Open the store of a corpus. `url`: where it is kept, None for the folder `local` itself.

    `local` is the corpus's folder on this machine, for what a remote store keeps a copy of here, in `cache_bytes` at
    most. Nothing is connected or created yet. SettingsError for a kind of store that there is not.
    """
    if url is None:
        return _open_folder(str(local), corpus, local, cache_bytes)
    scheme = urlsplit(url).scheme
    if scheme not in KINDS:
        known = ", ".join(f"{one}://…" if one else "a folder" for one in KINDS)
        raise SettingsError(f"store: {url!r} is of no kind that is known; there are: {known}")
    return KINDS[scheme](url, corpus, local, cache_bytes)


def _open_folder(url: str, corpus: str, local: Path, _: int) -> CorpusStore:
    from resources.store.lance_store import LanceStore

    return LanceStore(local if url == str(local) else Path(url.removeprefix("file://")) / corpus, corpus)


def _open_bucket(url: str, corpus: str, local: Path, cache_bytes: int) -> CorpusStore:
    from resources.store.object_store import ObjectStore

    return ObjectStore(url, corpus, local, cache_bytes=cache_bytes)


def _open_iris(url: str, corpus: str, local: Path, _: int) -> CorpusStore:
    from resources.store.iris.store import IrisStore

    return IrisStore(url, corpus, local)


KINDS: dict[str, Open] = {"": _open_folder, "file": _open_folder, "iris": _open_iris} | dict.fromkeys(
    ("s3", "gs", "az"), _open_bucket
)
