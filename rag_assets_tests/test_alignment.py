"""Ids are found where they stand, whether they are compared as integers or as strings."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.alignment import Ids
from resources.identity import digest

HEX = [digest(str(number)) for number in range(8)]
TWINS = ["a" * 16 + "b" * 16, "a" * 16 + "c" * 16, "A" * 32]
ANY = st.lists(st.sampled_from([*HEX, *TWINS, "d1", ""]), unique=True)
DIGESTS = st.lists(st.sampled_from(HEX + TWINS[:2]), unique=True)


def ids(*values):
    return Ids(pa.chunked_array([pa.array(values, pa.string())]))


@given(DIGESTS | ANY, DIGESTS | ANY, st.integers(0, 2), st.booleans())
def test_places(left, right, cut, chunked):
    columns = [pa.array(one, pa.string()).slice(cut) for one in (left, right)]
    columns = [pa.chunked_array([one.slice(0, 1), one.slice(1)] if chunked else [one]) for one in columns]
    mine, theirs = (Ids(one) for one in columns)
    expected = [right[cut:].index(one) if one in right[cut:] else -1 for one in left[cut:]]
    assert mine.places_in(theirs).tolist() == expected


def test_digests_are_compared_as_integers_and_others_are_not():
    assert ids(*HEX)._keys is not None
    assert ids(*HEX, "A" * 32)._keys is None
    assert ids(*HEX, "d1")._keys is None


@pytest.mark.parametrize("twice", [HEX[0], "d1"])
def test_an_id_that_occurs_twice_is_found(twice):
    places = ids(twice, twice).places_in(ids(HEX[1], twice, twice))
    assert set(places.tolist()) <= {1, 2}
