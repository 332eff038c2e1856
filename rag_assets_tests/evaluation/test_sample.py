from hypothesis import given
from hypothesis import strategies as st

from resources.evaluation.sample import fixed_sample
from resources.sources.base import JudgedQuery

names = st.lists(st.text(max_size=4), unique=True, max_size=30)


def _queries(ids: list[str]) -> list[JudgedQuery]:
    return [JudgedQuery(one, one, {"d": 1}) for one in ids]


@given(names, st.integers(0, 40), st.randoms())
def test_the_choice_does_not_depend_on_the_order(ids: list[str], size: int, random: object) -> None:
    chosen = fixed_sample(_queries(ids), size)
    shuffled = list(ids)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert {one.query_id for one in fixed_sample(_queries(shuffled), size)} == {one.query_id for one in chosen}
    assert len(chosen) == min(size, len(ids))
    assert [one.query_id for one in chosen] == [one for one in ids if one in {query.query_id for query in chosen}]


@given(names.filter(bool), st.integers(1, 20))
def test_a_new_query_replaces_at_most_one(ids: list[str], size: int) -> None:
    before = {one.query_id for one in fixed_sample(_queries(ids[:-1]), size)}
    after = {one.query_id for one in fixed_sample(_queries(ids), size)}
    assert len(before - after) <= 1
    assert after - before <= {ids[-1]}
