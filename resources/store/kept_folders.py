"""Immutable folders whose files lie among a corpus's files, with a copy here of those that are used.

A folder is there once its list of files is, which is written last; it names every file with its size and digest, and
what is fetched is compared with it. Not here: how long copies stay.
"""

import hashlib
import json
import shutil
from pathlib import Path, PurePosixPath
from uuid import uuid4

from resources.errors import StoreError
from resources.store.files import Files

CONTENTS = "contents.json"


class KeptFolders:
    """Folders kept below `prefix` of the corpus's files; see `Folders`."""

    def __init__(self, files: Files, prefix: str, local: Path) -> None:
        self.files = files
        self.prefix = prefix
        self.local = local

    def fetch(self, name: str) -> Path:
        target = self.local / name
        if target.is_dir():
            return target
        try:
            contents: dict[str, str] = json.loads(self.files.read(self._contents(name)))
        except FileNotFoundError:
            return target
        draft = self.local / f".{name}-{uuid4().hex[:8]}"
        try:
            for path, expected in contents.items():
                content = self.files.read(f"{self._folder(name)}/{path}")
                if hashlib.sha256(content).hexdigest() != expected:
                    raise StoreError(f"{self.files.where(f'{self._folder(name)}/{path}')} is damaged")
                (draft / path).parent.mkdir(parents=True, exist_ok=True)
                (draft / path).write_bytes(content)
            if not target.is_dir():
                draft.replace(target)
        except FileNotFoundError as error:
            raise StoreError(f"{self.prefix}/{name} lacks a file: {error}") from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return target

    def keep(self, name: str) -> None:
        self.delete_kept(name)
        contents = {}
        for path in sorted((self.local / name).rglob("*")):
            if path.is_file():
                content, relative = path.read_bytes(), path.relative_to(self.local / name).as_posix()
                self.files.write(f"{self._folder(name)}/{relative}", content)
                contents[relative] = hashlib.sha256(content).hexdigest()
        self.files.write(self._contents(name), json.dumps(contents).encode())

    def names(self) -> list[str]:
        paths = [PurePosixPath(one) for one in self.files.list(self.prefix)]
        return sorted(one.parts[1] for one in paths if len(one.parts) == 3 and one.name == CONTENTS)

    def lacks(self, name: str) -> list[str]:
        there = self.files.list(f"{self.prefix}/{name}")
        if self._contents(name) not in there:
            return [f"{self.files.where(self._contents(name))} is missing"]
        wanted = [f"{self._folder(name)}/{path}" for path in json.loads(self.files.read(self._contents(name)))]
        return [f"{self.files.where(path)} is missing" for path in wanted if path not in there]

    def delete(self, name: str) -> None:
        self.delete_kept(name)
        shutil.rmtree(self.local / name, ignore_errors=True)

    def delete_kept(self, name: str) -> None:
        """Delete what is kept of a folder, its list first; the copy here stays."""
        self.files.delete(self._contents(name))
        for path in self.files.list(f"{self.prefix}/{name}"):
            self.files.delete(path)

    def _contents(self, name: str) -> str:
        return f"{self.prefix}/{name}/{CONTENTS}"

    def _folder(self, name: str) -> str:
        return f"{self.prefix}/{name}/files"
