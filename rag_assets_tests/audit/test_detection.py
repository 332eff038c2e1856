"""Every defect, planted in a real corpus: found by name and ids at its depth, healed by an ordinary run, then gone."""

import numpy as np
import pyarrow as pa
import pytest

from rag_assets_tests.models import save_second_model
from resources.embedding.vectors import checksum
from resources.expectations.quarantine import quarantine
from resources.expectations.tables import embeddings_contract
from resources.materialisation import token_embeddings as stage
from resources.reconciliation.audit.defects import DEFECTS
from resources.reconciliation.audit.look import audit
from resources.store.tables import CHUNKS, QUARANTINE
from resources.store.writer import writing

BY_REEMBEDDING = {"shuffled"}


def neighbours(shelf, count=3, start=40):
    """Return chunks of equal token counts and different texts."""
    rows = list(shelf.rows().values())[start:]
    by_count = {}
    for row in rows:
        by_count.setdefault(row["n_tokens"], {}).setdefault(row["text_hash"], row["chunk_id"])
    return next(list(ids.values())[:count] for ids in by_count.values() if len(ids) >= count)


def changed(name, victims):
    """Return the chunks whose vectors are others now: the first of a repeated batch keeps its own."""
    return victims[1:] if name == "repeated batch" else victims


def test_a_healthy_corpus_is_healthy_at_every_depth(shelf):
    for depth in ("checksum", "reembed"):
        found = audit(shelf.corpus, depth, sample=0.5, seed=3)
        assert found.issues == []
        (place,) = found.places
        assert place.where == "both" and place.rows == len(shelf.rows())
    assert place.embedded > 0.3 * place.rows


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_with_a_checksum_of_its_own_is_found_by_name_and_ids(shelf, name):
    victims = neighbours(shelf)
    shelf.plant(name, victims, consistent=True)
    depth = "reembed" if name in BY_REEMBEDDING else "checksum"
    found = shelf.audit(depth)
    if name == "bit flipped":
        # A low bit below a checksum of its own changes no answer and cannot be found; a high one breaks the norm.
        assert set(found) <= {"denormalised_vectors"}
        return
    if name in BY_REEMBEDDING:
        assert shelf.audit("checksum") == {}
    (where, ids) = found.pop(next(iter(DEFECTS[name][1])))
    assert (where, ids) == ("candidate", set(changed(name, victims))) and found == {}


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_below_an_old_checksum_needs_no_model(shelf, name):
    victims = neighbours(shelf)
    shelf.plant(name, victims, consistent=False)
    place = audit(shelf.corpus, "checksum", seed=1).places[0]
    exact = {one: found.drift for one, found in place.findings.items()}
    assert set(exact) == set(changed(name, victims))
    assert set(exact.values()) <= DEFECTS[name][1] | {"bit_rot", "denormalised_vectors"}


def test_another_model_of_the_same_size_is_told_from_other_texts(shelf, tmp_path):
    victims = neighbours(shelf)
    shelf.plant_foreign(victims, save_second_model(tmp_path / "second"))
    assert shelf.audit("reembed") == {"foreign_model_vectors": ("candidate", set(victims))}


def test_vectors_that_hardly_differ_are_low_diversity(shelf):
    rows = list(shelf.rows().values())
    pull = np.asarray(rows[0]["pooled"], np.float32)
    planted = []
    for row in rows:
        near = 0.05 * np.asarray(row["pooled"], np.float32) + pull
        near = (near / np.linalg.norm(near)).astype(np.float32)
        planted.append(row | {"pooled": near.tolist(), "checksum": checksum(row["tokens"], near.tobytes())})
    table = shelf.corpus.embeddings
    shelf.corpus.store.upsert(table, pa.Table.from_pylist(planted, schema=table.schema))
    where, ids = shelf.audit()["low_diversity"]
    assert where == "candidate" and len(ids) > 0.9 * len(rows)


def test_texts_that_embed_alike_are_not_a_repeated_batch(shelf, instance):
    text = (shelf.folder / "docs" / "assert.txt").read_text("utf-8")
    (shelf.folder / "docs" / "loud.txt").write_text(text.upper(), "utf-8")
    assert shelf.run(instance).success
    found = audit(shelf.corpus, "checksum", seed=1)
    assert found.issues == []


def test_all_that_is_bad_is_embedded_again_by_one_run_and_nothing_else(shelf, instance):
    rows = list(shelf.rows().values())
    planted = {}
    for number, name in enumerate(
        name for name in DEFECTS if name not in ("shuffled", "repeated batch", "bit flipped")
    ):
        planted[name] = [row["chunk_id"] for row in rows[20 + 2 * number : 22 + 2 * number]]
        shelf.plant(name, planted[name])
    planted["shuffled"] = neighbours(shelf, start=80)
    shelf.plant("shuffled", planted["shuffled"])
    victims = {one for ids in planted.values() for one in ids}
    untouched = {one: row["checksum"] for one, row in shelf.rows().items() if one not in victims}
    shelf.publish_as_it_is(instance)

    shelf.mark("reembed")
    issues = shelf.issues()
    for name, ids in planted.items():
        (drift,) = DEFECTS[name][1]
        severity, where, named = issues[drift]
        assert (severity, where) == ("CRITICAL", "both") and set(ids) <= named, name
    assert "dense_index_mismatch" not in issues, "the rows come back, so their absence is no drift of the index"

    assert shelf.run(instance).success
    assert shelf.issues() == {} and shelf.audit("reembed", sample=0.5) == {}
    assert {one: row["checksum"] for one, row in shelf.rows().items() if one not in victims} == untouched
    live = shelf.corpus.store.snapshots.live()
    assert live.embeddings_version == shelf.corpus.store.version(shelf.corpus.embeddings)


def test_rot_below_live_is_republished_although_nothing_else_changed(shelf, instance):
    victims = neighbours(shelf)
    shelf.plant("bit flipped", victims, consistent=False)
    shelf.publish_as_it_is(instance)
    content = shelf.corpus.store.snapshots.live().content
    shelf.mark()
    found = shelf.issues()
    assert {(severity, where) for severity, where, _ in found.values()} == {("CRITICAL", "both")}
    assert set().union(*(ids for _, _, ids in found.values())) == set(victims) and "bit_rot" in found
    assert shelf.run(instance).success
    assert shelf.issues() == {} and shelf.audit() == {}
    assert shelf.corpus.store.snapshots.live().content == content


def test_rows_that_only_live_has_bad_are_published_over(shelf, instance):
    victims = neighbours(shelf)
    healthy = [shelf.rows()[one] for one in victims]
    shelf.plant("shuffled pooled", victims)
    shelf.publish_as_it_is(instance)
    table = shelf.corpus.embeddings
    shelf.corpus.store.upsert(table, pa.Table.from_pylist(healthy, schema=table.schema))
    assert shelf.audit() == {"shuffled_vectors": ("live", set(victims))}
    shelf.mark()
    (issue,) = shelf.drift()
    assert (issue.type, issue.where, issue.action) == ("shuffled_vectors", "live", "publish")
    assert shelf.run(instance).success and shelf.issues() == {}


def test_bad_rows_are_no_donors_neither_from_the_candidate_nor_from_live(shelf, instance):
    (victim, *_) = neighbours(shelf)
    others = neighbours(shelf)
    good = shelf.rows()[victim]["pooled"]
    shelf.plant("shuffled", others)
    shelf.publish_as_it_is(instance)
    shelf.mark("reembed")
    corpus = shelf.corpus
    corpus.store.delete(corpus.embeddings, [victim])
    with writing(corpus.store, "repair", wait=1) as writer:
        stage.do(corpus, writer, 0, 1)
    corpus.store.lease.release("repair")
    again = shelf.rows()[victim]["pooled"]
    assert np.dot(again, good) > 0.9995, "live still has another text's vectors under this text's hash"
    assert {row["drift"] for row in marks(shelf)} == {"shuffled_vectors"}


def marks(shelf):
    rows = shelf.corpus.store.rows(QUARANTINE, QUARANTINE.schema.names).to_pylist()
    return [{"table": row["table"], "id": row["id"], "drift": row["reason"].partition(":")[0]} for row in rows]


def test_a_mark_outlives_a_contract_check_and_goes_when_its_row_is_embedded_or_deleted(shelf, instance):
    corpus, victims = shelf.corpus, neighbours(shelf)
    shelf.plant("N(0,1)", victims)
    shelf.mark()
    with writing(corpus.store, "check", wait=1) as writer:
        quarantine(writer, embeddings_contract(corpus))
    corpus.store.lease.release("check")
    assert {row["id"] for row in marks(shelf)} == set(victims)
    document = next(
        row["document_id"]
        for row in corpus.store.rows(CHUNKS, ("chunk_id", "document_id")).to_pylist()
        if row["chunk_id"] == victims[0]
    )
    (shelf.folder / "docs" / document.removeprefix("folder:")).unlink()
    assert shelf.run(instance).success
    assert marks(shelf) == [] and shelf.issues() == {} and shelf.audit("reembed") == {}
