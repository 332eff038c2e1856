"""What dense and BM25 generations share: naming, sharing by hard link, damage, crashes, locks."""

import multiprocessing
import random
import resource
import shutil
import time
from collections.abc import Iterator
from functools import partial
from multiprocessing.queues import Queue
from pathlib import Path
from threading import Thread
from typing import Any

import pyarrow as pa
import pytest

from resources.errors import IndexDamagedError, LeaseHeldError, RagAssetsError, StoreError
from resources.identity import set_digest
from resources.index import generation
from resources.index.bm25 import Bm25Index, Bm25Parameters
from resources.index.dense import DenseIndex
from resources.index.generation import read_manifest, verify
from resources.index.shards import DenseParameters

from .made import BUILDS, bm25, chunk_id, dense, fetch_texts, fetch_vectors, slowly

SPAWN = multiprocessing.get_context("spawn")
PARAMETERS = {"dense": DenseParameters(), "bm25": Bm25Parameters()}
KINDS = pytest.mark.parametrize("kind", BUILDS)


def files(path: Path) -> list[Path]:
    """All files but the empty locks that tantivy leaves where it reads."""
    return sorted(file for file in path.rglob("*") if file.is_file() and file.suffix != ".lock")


def flip_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)


@KINDS
def test_a_generation_is_named_for_its_content(kind: str, tmp_path: Path) -> None:
    build, answers = BUILDS[kind]
    first = build(tmp_path, range(100))
    inodes = [file.stat().st_ino for file in files(first)]
    assert build(tmp_path, range(99, -1, -1)) == first
    assert [file.stat().st_ino for file in files(first)] == inodes
    assert build(tmp_path, range(101)) != first
    manifest = read_manifest(first)
    assert manifest.count == 100
    assert manifest.ids_digest == set_digest(chunk_id(number) for number in range(100))
    assert set(manifest.files) == {file.relative_to(first).as_posix() for file in files(first)} - {"manifest.json"}
    assert verify(first) == []
    assert answers(first) == answers(build(tmp_path / "elsewhere", range(100)))


@KINDS
def test_other_parameters_or_fingerprint_share_nothing(kind: str, tmp_path: Path) -> None:
    build, _ = BUILDS[kind]
    first = build(tmp_path, range(100))
    changes: dict[str, dict[str, Any]] = {
        "dense": {"fingerprint": "another model"},
        "bm25": {"parameters": Bm25Parameters(language="german")},
    }
    other = build(tmp_path, range(100), first, **changes[kind])
    assert other != first
    assert all(file.stat().st_nlink == 1 for file in files(other))
    assert verify(first) == verify(other) == []


@KINDS
def test_a_small_change_links_the_large_files(kind: str, tmp_path: Path) -> None:
    build, _ = BUILDS[kind]
    first = build(tmp_path, range(600))
    second = build(tmp_path, [*range(3, 600), 1000], first)
    shared = {file.stat().st_ino for file in files(first)} & {file.stat().st_ino for file in files(second)}
    written = sum(file.stat().st_size for file in files(second) if file.stat().st_ino not in shared)
    total = sum(file.stat().st_size for file in files(first))
    assert len(shared) >= 5
    assert written < total / 2
    assert all(file.stat().st_nlink == 2 for file in files(second) if file.stat().st_ino in shared)
    shutil.rmtree(first)
    assert verify(second) == []


@KINDS
def test_an_old_generation_answers_as_before_while_a_new_one_is_built(kind: str, tmp_path: Path) -> None:
    build, answers = BUILDS[kind]
    first = build(tmp_path, range(100))
    before = answers(first)
    seen = []

    def fetch(ids: list[str]) -> Iterator[pa.RecordBatch]:
        seen.append(answers(first))
        yield from (fetch_vectors if kind == "dense" else fetch_texts)(ids)

    build(tmp_path, range(2, 110), first, fetch=fetch)
    assert seen and all(one == before for one in seen)
    assert answers(first) == before
    assert verify(first) == []


@KINDS
def test_every_damaged_file_is_noticed_and_replaced(kind: str, tmp_path: Path) -> None:
    build, answers = BUILDS[kind]
    whole = build(tmp_path, range(101), build(tmp_path, range(100)))
    before = answers(whole)
    opens = {"dense": DenseIndex.open, "bm25": Bm25Index.open}[kind]
    for file in files(whole):
        name = file.relative_to(whole)
        for damage in ("flip", "truncate", "remove"):
            broken = tmp_path / damage / whole.name
            shutil.copytree(whole, broken)
            if damage == "flip":
                flip_byte(broken / name)
            elif damage == "truncate":
                (broken / name).write_bytes(file.read_bytes()[:-1])
            else:
                (broken / name).unlink()
            problems = verify(broken)
            assert len(problems) == 1 and name.name in problems[0], (name, damage)
            if damage != "flip":
                with pytest.raises(IndexDamagedError, match=name.name.replace(".", r"\.")):
                    opens(broken)
            assert build(broken.parent, range(101)) == broken
            assert verify(broken) == []
            assert answers(broken) == before
            shutil.rmtree(broken.parent)


@KINDS
def test_damage_is_never_handed_on_by_a_hard_link(kind: str, tmp_path: Path) -> None:
    build, answers = BUILDS[kind]
    first = build(tmp_path, range(300))
    for file in files(first):
        if file.suffix in (".faiss", ".idx"):
            flip_byte(file)
            break
    second = build(tmp_path, range(301), first)
    assert verify(first) != []
    assert verify(second) == []
    assert answers(second) == answers(build(tmp_path / "elsewhere", range(301)))


@KINDS
def test_a_foreign_or_older_folder_is_refused(kind: str, tmp_path: Path) -> None:
    build, _ = BUILDS[kind]
    other_kind, other_build = ("bm25", bm25) if kind == "dense" else ("dense", dense)
    opens = {"dense": DenseIndex.open, "bm25": Bm25Index.open}[kind]
    with pytest.raises(IndexDamagedError, match=r"has no manifest\.json"):
        opens(tmp_path)
    with pytest.raises(IndexDamagedError, match=f"is of kind {other_kind}"):
        opens(other_build(tmp_path, range(5)))
    path = build(tmp_path, range(5))
    manifest = path / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(IndexDamagedError, match="has format 2, this version reads 1"):
        opens(path)
    renamed = path.rename(tmp_path / f"{kind}-000000000000")
    assert verify(renamed) != []


@KINDS
def test_two_builders_at_once_agree(kind: str, tmp_path: Path) -> None:
    build, _ = BUILDS[kind]
    made: list[Path] = []
    builders = [Thread(target=lambda: made.append(build(tmp_path, range(200)))) for _ in range(4)]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join()
    assert len(made) == 4 and len(set(made)) == 1
    assert verify(made[0]) == []
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".lock")] == [made[0].name]


def test_a_builder_that_hangs_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation, "LOCK_SECONDS", 0.05)
    with generation.drafting(tmp_path, "dense"), pytest.raises(LeaseHeldError, match="still building a dense index"):
        dense(tmp_path, range(5))


def build_until_killed(folder: Path, previous: dict[str, Path]) -> None:
    dense(folder, range(30, 480), previous["dense"], fetch=partial(slowly, fetch_vectors))
    bm25(folder, range(30, 480), previous["bm25"], fetch=partial(slowly, fetch_texts))


def test_a_killed_builder_leaves_the_last_generation_and_the_next_build_succeeds(tmp_path: Path) -> None:
    seeded = random.Random(7)
    builds = {kind: build for kind, (build, _) in BUILDS.items()}
    previous = {kind: build(tmp_path, range(450)) for kind, build in builds.items()}
    before = {kind: BUILDS[kind][1](path) for kind, path in previous.items()}
    scratch = {kind: BUILDS[kind][1](build(tmp_path / "scratch", range(30, 480))) for kind, build in builds.items()}
    unfinished = 0
    for _ in range(8):
        builder = SPAWN.Process(target=build_until_killed, args=(tmp_path, previous))
        builder.start()
        kind = seeded.choice(list(builds))
        while builder.is_alive() and not (tmp_path / f".building-{kind}").exists():
            time.sleep(0.001)
        time.sleep(seeded.uniform(0.0, 0.12))
        builder.kill()
        builder.join()
        unfinished += bool(list(tmp_path.glob(".building-*")))
        for kind, build in builds.items():
            assert verify(previous[kind]) == []
            assert BUILDS[kind][1](previous[kind]) == before[kind]
            path = build(tmp_path, range(30, 480), previous[kind])
            assert verify(path) == []
            if kind == "dense":
                assert BUILDS[kind][1](path) == scratch[kind]
            shutil.rmtree(path)
        assert not list(tmp_path.glob(".building-*"))
    assert unfinished >= 2, "the kills came too early or too late to prove anything"


def build_on_a_full_disk(folder: Path, kind: str, outcome: "Queue[tuple[str, str]]") -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    try:
        BUILDS[kind][0](folder, range(2_000), parameters=PARAMETERS[kind])
    except RagAssetsError as error:
        outcome.put((type(error).__name__, str(error)))


@KINDS
def test_a_disk_that_takes_no_more_is_one_clear_error(kind: str, tmp_path: Path) -> None:
    outcome = SPAWN.Queue()
    builder = SPAWN.Process(target=build_on_a_full_disk, args=(tmp_path, kind, outcome))
    builder.start()
    name, message = outcome.get(timeout=60)
    builder.join()
    assert name == StoreError.__name__
    assert "cannot write the" in message
    assert [path.name for path in tmp_path.iterdir()] == [f".lock-{kind}"]
