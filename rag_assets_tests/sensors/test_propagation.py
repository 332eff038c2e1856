"""What comes after an asset that changed is requested once, and not when nothing changed or a check blocked it."""

import dagster as dg

AFTER_DOCUMENTS = {"chunks", "token_embeddings", "dense_index", "bm25_index", "ragas_report", "snapshot"}


class Ticks:
    """Evaluate the automation conditions as the daemon does, tick after tick."""

    def __init__(self, desk):
        self.desk, self.cursor = desk, None

    def requested(self):
        result = dg.evaluate_automation_conditions(
            defs=self.desk.definitions, instance=self.desk.instance, cursor=self.cursor
        )
        self.cursor = result.cursor
        keys = self.desk.definitions.resolve_asset_graph().materializable_asset_keys
        return {key.path[-1] for key in keys if result.get_requested_partitions(key)}


def test_a_change_is_followed_once_and_no_change_never(desk):
    desk.write(3)
    ticks = Ticks(desk)
    assert ticks.requested() == set(), "nothing was ever made"
    assert desk.run()
    assert ticks.requested() == set(), "the run made everything itself"
    desk.write(1, suffix="\nThe zyxomma is a dragonfly.")
    assert desk.run("documents")
    assert ticks.requested() == AFTER_DOCUMENTS
    assert ticks.requested() == set(), "asked for once"
    assert desk.run(*AFTER_DOCUMENTS)
    assert ticks.requested() == set()
    desk.write(2, suffix="\nThe zyxomma flies at dusk.")
    assert desk.run("documents", "chunks", tags={"rag/reason": "drift"})
    assert ticks.requested() == set(), "a run of ours goes as far as it is meant to"
    assert desk.run("documents", "chunks")
    assert ticks.requested() == set(), "made again by hand, and nothing changed"


def test_what_a_check_blocked_is_not_followed(desk):
    desk.write(3)
    ticks = Ticks(desk)
    assert desk.run()
    ticks.requested()
    for number in range(12):
        (desk.folder / "docs" / f"broken-{number}.txt").write_bytes(b"\0" * 100)
    assert not desk.run("documents")
    assert ticks.requested() == set()


def test_the_first_asset_follows_nothing_and_every_other_does(desk):
    graph = desk.definitions.resolve_asset_graph()
    followed = {key.path[-1] for key in graph.materializable_asset_keys if graph.get(key).automation_condition}
    assert followed == AFTER_DOCUMENTS
