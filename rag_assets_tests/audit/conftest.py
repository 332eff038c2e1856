"""A small published corpus of real text, built once and copied for each test, and defects planted in its rows."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from pydoc_data.topics import topics

import dagster as dg
import numpy as np
import pyarrow as pa
import pytest

from rag_assets.instance import register_corpora
from rag_assets.runs import materialise
from resources.corpus import Corpus, open_corpus
from resources.embedding.codec import TokenCodec
from resources.embedding.encoder import load_encoder
from resources.embedding.vectors import checksum
from resources.reconciliation.analyse import analyse
from resources.reconciliation.audit.defects import DEFECTS, Vectors
from resources.reconciliation.audit.look import audit
from resources.reconciliation.audit.marks import record
from resources.reconciliation.observe import SystemState
from resources.settings import load_settings
from resources.store.tables import CHUNKS
from resources.store.writer import writing


@dataclass(frozen=True)
class Shelf:
    """A corpus `default` over the folder `docs`, with what tests do to it."""

    folder: Path

    @property
    def settings(self):
        return load_settings(self.folder / "rag.yaml")

    @property
    def corpus(self) -> Corpus:
        return open_corpus(self.settings, "default")

    def run(self, instance):
        register_corpora(instance, ["default"])
        return materialise(self.settings, self.corpus, None, instance, "test")

    def audit(self, depth="checksum", **options):
        """Look, and return {type: (where, ids)}."""
        return {one.type: (one.where, set(one.ids)) for one in audit(self.corpus, depth, seed=1, **options).issues}

    def mark(self, depth="checksum"):
        found = audit(self.corpus, depth, seed=1)
        with writing(self.corpus.store, "audit", wait=1) as writer:
            record(writer, self.corpus, found.issues, found.live)
        self.corpus.store.lease.release("audit")

    def issues(self):
        return {one.type: (one.severity.name, one.where, set(one.ids)) for one in self.drift()}

    def drift(self):
        return analyse(SystemState(self.corpus), "search-ready")

    def rows(self):
        """Return the candidate's rows by chunk id, of distinct texts, in the order of their token counts."""
        table = self.corpus.embeddings
        rows = self.corpus.store.rows(table, table.schema.names).to_pylist()
        return {row["chunk_id"]: row for row in sorted(rows, key=lambda row: (row["n_tokens"], row["chunk_id"]))}

    def plant(self, name, chunk_ids, *, consistent=True):
        """Plant a defect in these rows; with `consistent`, checksum and token count are those of the bad vectors."""
        rows = self.rows()
        victims = [rows[one] for one in chunk_ids]
        bad = DEFECTS[name][0]([vectors(row) for row in victims], np.random.default_rng(7))
        self.store(victims, bad, consistent=consistent)

    def plant_foreign(self, chunk_ids, model):
        """Store what another model makes of the chunks' texts, in the form of this corpus's model."""
        rows = self.rows()
        encoder, codec = load_encoder(model), TokenCodec.for_model(self.corpus.model)
        texts = {row["chunk_id"]: row for row in self.corpus.store.rows(CHUNKS, CHUNKS.schema.names).to_pylist()}
        inputs = [f"{texts[one]['heading']}\n{texts[one]['text']}" for one in chunk_ids]
        made = encoder.encode(inputs)
        tokens = [codec.encode(TokenCodec.decode(matrix)) for matrix in made.tokens]
        bad = [Vectors(one, matrix) for one, matrix in zip(made.pooled, tokens, strict=True)]
        self.store([rows[one] for one in chunk_ids], bad, consistent=True)

    def store(self, victims, bad, *, consistent):
        table = self.corpus.embeddings
        planted = []
        for row, (pooled, tokens) in zip(victims, bad, strict=True):
            data = tokens.tobytes()
            changed = row | {"pooled": pooled.tolist(), "tokens": data}
            if consistent:
                changed |= {"n_tokens": len(tokens), "checksum": checksum(data, pooled.tobytes())}
            planted.append(changed)
        self.corpus.store.upsert(table, pa.Table.from_pylist(planted, schema=table.schema))

    def publish_as_it_is(self, instance):
        """Make live serve the candidate's vectors, good and bad: they were published before anyone looked."""
        store = self.corpus.store
        live = store.snapshots.live()
        version = store.version(self.corpus.embeddings)
        store.snapshots.publish(store.snapshots.successor(live, embeddings_version=version))


def vectors(row) -> Vectors:
    tokens = np.frombuffer(row["tokens"], np.int8).reshape(row["n_tokens"], -1)
    return Vectors(np.asarray(row["pooled"], np.float32), tokens)


@pytest.fixture(scope="session")
def built_shelf(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("shelf")
    (folder / "docs").mkdir()
    for name in sorted(topics)[:16]:
        (folder / "docs" / f"{name}.txt").write_text(topics[name], "utf-8")
    (folder / "rag.yaml").write_text(
        "corpora: {default: {sources: [{type: folder, path: docs}], chunking: {tokens: 64, overlap: 0}}}"
    )
    with dg.instance_for_test() as instance:
        outcome = Shelf(folder).run(instance)
        assert outcome.success, outcome.problem
    return folder


@pytest.fixture
def shelf(built_shelf, tmp_path) -> Shelf:
    return Shelf(Path(shutil.copytree(built_shelf, tmp_path / "shelf")))


@pytest.fixture
def instance():
    with dg.instance_for_test() as made:
        yield made
