"""A hundred mutated documents of every format; ten thousand are `python -m rag_assets_tests.parsing.fuzz`'s."""

from pathlib import Path

from rag_assets_tests.parsing.fuzz import fuzz, mutate, seeds


def test_mutated_documents_have_one_outcome_each(shared_data: Path):
    report = fuzz(seeds(shared_data / "files"), 100, seed=7)
    assert not report.broken
    assert report.outcomes.total() == 100
    assert report.outcomes["ok"] > 10 and report.outcomes["failed"] > 10, (
        "mutations that break all or nothing try little"
    )


def test_the_same_seed_makes_the_same_documents():
    import random

    once, again = (mutate(b"abcdefgh" * 50, b"xyz", random.Random(3)) for _ in range(2))
    assert once == again != b"abcdefgh" * 50
