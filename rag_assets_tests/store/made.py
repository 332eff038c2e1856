"""Rows, and corpora that were published many times, made directly in a store: no model, no text."""

from dataclasses import dataclass, field

import pyarrow as pa

from resources.identity import digest
from resources.store.base import CorpusStore
from resources.store.snapshots import Manifest, now
from resources.store.tables import CHUNKS, DOCUMENTS, token_embeddings

DIMENSION = 4


def made_row(schema, **values):
    """A row with something in every column that must not be null."""

    def default(one):
        if one.nullable:
            return None
        if pa.types.is_string(one.type):
            return "x"
        if pa.types.is_integer(one.type):
            return 1
        return [0.5] * one.type.list_size if pa.types.is_fixed_size_list(one.type) else b"\x01\x02"

    return {one.name: values.get(one.name, default(one)) for one in schema}


def made_rows(table, ids, **values):
    rows = [made_row(table.schema, **{table.key: one}, **values) for one in ids]
    return pa.Table.from_pylist(rows, schema=table.schema)


@dataclass
class Publisher:
    """Publishes contents of its own making, and remembers what each snapshot served."""

    store: CorpusStore
    contents: dict[int, dict[str, list]] = field(default_factory=dict)
    made: int = 0
    model: str = "aaaa"

    @property
    def embeddings(self):
        return token_embeddings(self.model, DIMENSION)

    def tables(self, manifest: Manifest):
        embeddings = token_embeddings(manifest.model_fingerprint, manifest.dimension)
        return (
            (DOCUMENTS, manifest.documents_version),
            (CHUNKS, manifest.chunks_version),
            (embeddings, manifest.embeddings_version),
        )

    def original(self, content):
        return f"originals/{digest(content)[:2]}/{digest(content)}"

    def change(self):
        """Move the candidate on, without publishing."""
        self.made += 1
        content = str(self.made)
        self.store.files.create(self.original(content), content.encode())
        ids = [f"d{self.made % 3}"]
        self.store.upsert(DOCUMENTS, made_rows(DOCUMENTS, ids, version=content, content_hash=digest(content)))
        self.store.upsert(CHUNKS, made_rows(CHUNKS, ids, text=content))
        self.store.upsert(self.embeddings, made_rows(self.embeddings, ids, text_hash=content))
        return content

    def publish(self) -> Manifest:
        content = self.change()
        for folders, names in (
            (self.store.indexes, (f"dense-{content}", f"bm25-{content}")),
            (self.store.reports, (content,)),
        ):
            for name in names:
                (folders.local / name).mkdir(parents=True)
                (folders.local / name / "file").write_text(content)
                folders.keep(name)
        numbers = self.store.snapshots.numbers()
        manifest = Manifest(
            number=(numbers[-1] if numbers else 0) + 1, corpus="c", kind="publish", created=now(), run="r",
            content=content, documents_version=self.store.version(DOCUMENTS),
            chunks_version=self.store.version(CHUNKS), embeddings_version=self.store.version(self.embeddings),
            model=self.model, model_fingerprint=self.model, dimension=DIMENSION, dense=f"dense-{content}",
            bm25=f"bm25-{content}", chunks_digest="", counts={}, report=content,
        )  # fmt: skip
        return self._published(manifest)

    def remove(self):
        removed = self.store.snapshots.remove_documents([f"gone-{self.made}-{len(self.contents)}"], "r")
        if removed is not None:
            self._published(removed, create=False)

    def roll_back(self, number):
        snapshots = self.store.snapshots
        self._published(snapshots.successor(snapshots.read(number), kind="rollback", pinned=True))

    def _published(self, manifest, *, create=True):
        if create:
            for table, version in self.tables(manifest):
                self.store.retain(table, version, f"snapshot-{manifest.number:08d}")
            self.store.snapshots.publish(manifest)
        self.contents[manifest.number] = self.read(manifest)
        return manifest

    def read(self, manifest):
        """Everything that a snapshot serves, read at the versions that it names."""
        found = {
            table.name: sorted(self.store.rows(table, table.schema.names, version=at).to_pylist(), key=str)
            for table, at in self.tables(manifest)
        }
        for folders, names in (
            (self.store.indexes, (manifest.dense, manifest.bm25)),
            (self.store.reports, (manifest.report,)),
        ):
            found |= {name: [(folders.fetch(name) / "file").read_text()] for name in names}
        hashes = {row["content_hash"] for row in found["documents"]} - {None}
        found["originals"] = [self.store.files.read(f"originals/{one[:2]}/{one}") for one in sorted(hashes)]
        return found
