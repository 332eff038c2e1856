"""Plans, by their properties: what any set of issues leads to."""

from hypothesis import given
from hypothesis import strategies as st

from resources.reconciliation.analyse import ASSETS, TARGET_STATES
from resources.reconciliation.drift import DriftIssue, Severity
from resources.reconciliation.plan import make_plan
from resources.reconciliation.rates import START_SECONDS, Measured, Rates, measured_rates
from resources.reconciliation.remedies import Facts, remedy_for

DOCUMENTS = [f"s:{number}" for number in range(8)]
CHUNKS = {f"{document}/{number}": document for document in DOCUMENTS[:6] for number in range(3)}
BY_DOCUMENT = {"fetch", "remove", "chunk"}
BY_CHUNK = {"embed", "delete chunks", "rebuild index"}
BY_PERSON = {"check the source", "sources confirm s", "snapshots unpin", "add sources"}
FACTS = Facts(
    document_of=CHUNKS,
    chunks_of=dict.fromkeys(DOCUMENTS[:6], 3),
    copyable=frozenset(list(CHUNKS)[::2]),
    chunks=len(CHUNKS),
    questions=7,
    vector_bytes=1000,
    index_bytes=100,
)


ACTIONS = sorted(BY_DOCUMENT | BY_CHUNK | BY_PERSON)


@st.composite
def issues(draw, target=None):
    """One issue; of an index only where the target state has indexes."""
    actions = [one for one in ACTIONS if target != "token-embeddings" or one != "rebuild index"]
    action = draw(st.sampled_from(actions))
    ids = draw(st.sets(st.sampled_from(list(CHUNKS) if action in BY_CHUNK else DOCUMENTS), min_size=1))
    type_, asset = ("dense_index_mismatch", "dense_index") if action == "rebuild index" else (f"t {action}", "chunks")
    return DriftIssue(type_, Severity.HIGH, "candidate", len(ids), tuple(sorted(ids)), action, "", asset)


TARGETS = st.sampled_from(sorted(TARGET_STATES))
CASES = TARGETS.flatmap(lambda target: st.tuples(st.just(target), st.lists(issues(target), max_size=6)))
PAIRS = TARGETS.flatmap(lambda one: st.tuples(st.just(one), st.lists(issues(one), max_size=6), issues(one)))


@given(CASES)
def test_a_plan_touches_only_documents_that_an_issue_affects(case):
    target, found = case
    affected = {CHUNKS.get(one, one) for issue in found for one in issue.ids}
    plan = make_plan("c", target, found, FACTS)
    assert set(plan.documents) <= affected
    for step in plan.steps:
        assert len(step.documents) == len(step.chunks) and sorted(set(step.documents)) == list(step.documents)
        assert all(
            count <= FACTS.expected(document) for document, count in zip(step.documents, step.chunks, strict=True)
        )


@given(CASES, st.randoms())
def test_a_plan_is_deterministic_and_named_for_its_content(case, dice):
    target, found = case
    plan = make_plan("c", target, found, FACTS)
    shuffled = list(found)
    dice.shuffle(shuffled)
    slow = Rates({"embed": 9.0}, frozenset({"embed"}))
    again = make_plan("c", target, shuffled, FACTS, slow)
    assert plan.id == again.id and plan.assets == again.assets
    assert plan.id != make_plan("other", target, found, FACTS).id


@given(CASES)
def test_a_plan_is_empty_if_and_only_if_no_run_can_repair_anything(case):
    target, found = case
    repairable = [issue for issue in found if remedy_for(issue) is not None]
    plan = make_plan("c", target, found, FACTS)
    assert bool(plan.steps) == bool(repairable) == bool(plan.assets)
    assert plan == make_plan("c", target, repairable, FACTS), "what only a person can repair changes nothing"
    assert (plan.seconds > START_SECONDS) if plan.steps else (plan.seconds, plan.bytes, plan.chunks) == (0, 0, 0)


@given(PAIRS)
def test_more_drift_never_costs_less(case):
    target, found, more = case
    less, both = make_plan("c", target, found, FACTS), make_plan("c", target, [*found, more], FACTS)
    assert both.chunks >= less.chunks and both.seconds >= less.seconds and both.bytes >= less.bytes
    assert set(less.documents) <= set(both.documents)


@given(CASES)
def test_assets_are_in_order_and_reach_as_far_as_the_target(case):
    target, found = case
    plan = make_plan("c", target, found, FACTS)
    assert list(plan.assets) == sorted(plan.assets, key=ASSETS.index)
    steps = [ASSETS.index(step.asset) for step in plan.steps]
    assert steps == sorted(steps)
    if plan.steps:
        assert plan.assets[-1] == ("token_embeddings" if target == "token-embeddings" else "snapshot")
        assert plan.assets[0] == ("documents" if "snapshot" in plan.assets else plan.steps[0].asset), (
            "whatever may become live is audited from the start"
        )
    assert {step.asset for step in plan.steps} <= set(plan.assets)


def one(action, *ids, asset="chunks"):
    return DriftIssue("drift", Severity.HIGH, "candidate", len(ids), ids, action, "", asset)


def test_an_edited_document_goes_through_every_asset_and_no_other_does():
    plan = make_plan("c", "search-ready", [one("fetch", "s:1")], FACTS)
    assert [(step.asset, step.action, step.documents, step.items) for step in plan.steps] == [
        ("documents", "fetch", ("s:1",), 0),
        ("chunks", "chunk", ("s:1",), 3),
        ("token_embeddings", "embed", ("s:1",), 3),
        ("dense_index", "update", ("s:1",), 3),
        ("bm25_index", "update", ("s:1",), 3),
        ("ragas_report", "evaluate", (), 7),
        ("snapshot", "publish", (), 18),
    ]
    assert plan.chunks == 3 and plan.bytes == 3 * 1000 + 2 * 3 * 100


def test_rows_that_can_be_copied_are_not_counted_as_embedded():
    first, second, *_ = CHUNKS
    plan = make_plan("c", "token-embeddings", [one("embed", first, second)], FACTS)
    assert [(step.action, step.items) for step in plan.steps] == [("copy", 1), ("embed", 1)]
    assert plan.chunks == 1


def test_nothing_is_published_over_a_pin():
    pinned = Facts(document_of=CHUNKS, chunks_of=FACTS.chunks_of, is_pinned=True)
    steps = make_plan("c", "search-ready", [one("fetch", "s:1")], pinned).steps
    assert "publish" not in [step.action for step in steps]


def test_nothing_is_published_while_an_index_is_unsound_that_nobody_asked_to_repair():
    found = [DriftIssue("bm25_index_damaged", Severity.HIGH, "candidate", 1, ("x",), "rebuild index", "", "bm25_index")]
    both = Facts(chunks=18, unsound=frozenset({"bm25_index", "dense_index"}))
    assert make_plan("c", "search-ready", found, both, pipeline="bm25").assets == ("bm25_index",)
    one_only = Facts(chunks=18, unsound=frozenset({"bm25_index"}))
    plan = make_plan("c", "search-ready", found, one_only, pipeline="bm25")
    assert plan.assets == ASSETS and [step.asset for step in plan.steps] == ["bm25_index", "ragas_report", "snapshot"]


def test_removals_alone_are_a_plan_of_their_own():
    plan = make_plan("c", "search-ready", [one("remove", "s:1"), one("fetch", "s:2")], FACTS)
    removals = plan.removals()
    assert removals.documents == ("s:1",) and removals.assets == ("documents",) and removals.chunks == 0


def test_rates_are_believed_once_they_were_measured_on_enough():
    few = measured_rates([{"embed": Measured(10, 1.0)}])
    assert few == Rates()
    enough = measured_rates([{"embed": Measured(40, 10.0)}, {"embed": Measured(60, 5.0)}])
    assert enough.seconds["embed"] == 0.15 and enough.measured == {"embed"}
    assert enough.estimate("embed", 100) == 15.0
    assert measured_rates([{"start": Measured(1, 30.0)}, {"start": Measured(1, 40.0)}]).start == 35.0
