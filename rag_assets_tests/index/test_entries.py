"""The entries' digests and files."""

from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.errors import StoreError
from resources.identity import set_digest
from resources.index.entries import Part, canonical, digests, keep, read_part, write_part

SCHEMA = pa.schema({"chunk_id": pa.string(), "document_id": pa.string()})
IDS = st.lists(st.text(), unique=True, max_size=30)


def rows(ids: list[str], documents: list[str]) -> pa.Table:
    return canonical(pa.table({"chunk_id": pa.array(ids, pa.string()), "document_id": documents}), SCHEMA)


@settings(deadline=None)
@given(IDS)
def test_the_ids_digest_is_the_one_of_identity(ids: list[str]) -> None:
    assert digests(rows(ids, ["d"] * len(ids))).ids == set_digest(ids)


@settings(deadline=None)
@given(IDS, st.randoms(use_true_random=False), st.integers(min_value=0, max_value=30))
def test_order_and_chunking_do_not_matter_and_content_does(ids: list[str], random: Random, cut: int) -> None:
    table = rows(ids, [f"d{one}" for one in ids])
    order = list(range(len(ids)))
    random.shuffle(order)
    shuffled = table.take(pa.array(order, pa.int64()))
    assert digests(pa.concat_tables([shuffled.slice(cut), shuffled.slice(0, cut)])) == digests(table)
    if ids:
        other = rows(ids, ["elsewhere", *table["document_id"].to_pylist()[1:]])
        assert digests(other).rows != digests(table).rows


def test_neighbouring_values_do_not_run_together() -> None:
    assert digests(rows(["a", "b"], ["xy", "z"])).rows != digests(rows(["a", "b"], ["x", "yz"])).rows


def test_a_repeated_or_missing_id_is_named() -> None:
    with pytest.raises(StoreError, match="chunk twin occurs twice"):
        digests(rows(["twin", "a", "twin"], ["d", "d", "d"]))
    with pytest.raises(StoreError, match=r"nulls in \['chunk_id'\]"):
        canonical(pa.table({"chunk_id": pa.array([None], pa.string()), "document_id": ["d"]}), SCHEMA)
    with pytest.raises(StoreError, match=r"lack the columns \['document_id'\]"):
        canonical(pa.table({"chunk_id": ["a"]}), SCHEMA)


def test_large_strings_of_a_store_are_welcome() -> None:
    table = pa.table({"chunk_id": pa.array(["a"], pa.large_string()), "document_id": ["d"], "more": [1]})
    assert canonical(table, SCHEMA).schema == SCHEMA


@settings(deadline=None)
@given(st.lists(st.booleans(), max_size=40))
def test_a_part_is_read_back_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, live: list[bool]) -> None:
    folder: Path = tmp_path_factory.mktemp("part")
    table = rows([f"c{at}" for at in range(len(live))], [f"\N{SNOWMAN}{at}" for at in range(len(live))])
    write_part(folder, "p", Part(table, np.array(live, dtype=np.bool_)))
    part = read_part(folder, "p")
    assert part.rows.equals(table)
    assert part.live.tolist() == live
    assert part.living()["chunk_id"].to_pylist() == [f"c{at}" for at, alive in enumerate(live) if alive]
    assert (folder / "p.live").exists() == (not all(live))


def test_a_row_is_kept_only_when_all_its_columns_agree() -> None:
    parts = [
        Part(rows(["a", "b"], ["1", "2"]), np.array([True, True])),
        Part(rows(["c", "d"], ["3", "4"]), np.array([False, True])),
    ]
    kept, missing = keep(parts, rows(["d", "c", "b", "e"], ["4", "3", "moved", "5"]))
    assert [part.live.tolist() for part in kept] == [[False, False], [False, True]]
    assert missing["chunk_id"].to_pylist() == ["c", "b", "e"]
