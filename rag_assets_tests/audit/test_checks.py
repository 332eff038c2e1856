"""The deep audit in Dagster: runs where it is asked for by itself, names ids, and turns green after the repair."""

import dagster as dg

from rag_assets.definitions import build_defs
from rag_assets.instance import register_corpora
from rag_assets_tests.audit.test_detection import neighbours
from resources.reconciliation.vectors import CHECKSUM_CHECKS, REEMBED_CHECK

NAMES = [*(f"no_{drift}" for drift, _ in CHECKSUM_CHECKS), REEMBED_CHECK]


def evaluate(shelf, instance, names):
    """Run checks alone, as a schedule requests them, and return what each said."""
    register_corpora(instance, ["default"])
    keys = {dg.AssetCheckKey(dg.AssetKey("token_embeddings"), name) for name in names}
    job = build_defs(shelf.settings).resolve_job_def("search_ready")
    chosen = job.get_subset(asset_selection=set(), asset_check_selection=keys)
    result = chosen.execute_in_process(instance=instance, partition_key="default")
    shelf.corpus.store.lease.release(result.run_id)
    return {one.check_name: one for one in result.get_asset_check_evaluations()}


def test_red_with_ids_then_repaired_then_green(shelf, instance):
    victims = neighbours(shelf)
    shelf.plant("zeros", victims[:2])
    shelf.plant("shuffled pooled", neighbours(shelf, start=100))
    shelf.publish_as_it_is(instance)
    found = evaluate(shelf, instance, NAMES)
    assert set(found) == set(NAMES)
    red = {name for name, one in found.items() if not one.passed}
    assert red == {"no_zero_vectors", "no_shuffled_vectors", REEMBED_CHECK}
    zero = found["no_zero_vectors"]
    assert zero.partition == "default" and zero.metadata["where"].value == "both"
    assert set(zero.metadata["ids"].value) == set(victims[:2]) and zero.metadata["affected"].value == 2

    repaired = shelf.run(instance)
    assert repaired.success
    ordinary = instance.all_logs(repaired.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    assert not {one.dagster_event.event_specific_data.check_name for one in ordinary} & set(NAMES)
    assert all(one.passed for one in evaluate(shelf, instance, NAMES).values())


def test_the_checksum_depth_embeds_nothing_of_a_healthy_corpus(shelf, instance):
    found = evaluate(shelf, instance, NAMES[:-1])
    assert set(found) == set(NAMES[:-1]) and all(one.passed for one in found.values())
    assert found["no_bit_rot"].metadata["depth"].value == "checksum"
    assert found["no_bit_rot"].metadata["embedded_again"].value <= 5
