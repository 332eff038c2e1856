"""The suite catches planted bugs: three here, all of them with `python -m rag_assets_tests.iris_double.mutate`."""

import pytest

from rag_assets_tests.iris_double.mutate import MUTANTS, caught


@pytest.mark.slow
@pytest.mark.parametrize("name", ["keys fold case (SQLUPPER)", "batch answers unread", "a commit for each step"])
def test_a_planted_bug_is_caught(name):
    assert caught(next(one for one in MUTANTS if one.name == name))
