"""ZIP and tar archives: what is listed, what is read, and what is refused."""

import io
import struct
import tarfile
import zipfile

import pytest

from rag_assets_tests.sources.reading import failures, fetch_listed
from resources.errors import SourceError
from resources.sources import archive_formats
from resources.sources.base import RawDocument
from resources.sources.failures import HostileError
from resources.sources.registry import open_source

PAGES = {"a.txt": b"alpha", "deep/b.txt": b"beta " * 400, "skip.bin": b"\0"}


def archive(path, **options):
    return open_source("archive", "archive", {"path": str(path), **options})


def zipped(files, compression=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as target:
        for name, data in files.items():
            target.writestr(name, data)
    return file.getvalue()


def tarred(files, mode="w"):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as target:
        for name, data in files.items():
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(data)
            target.addfile(info, io.BytesIO(data))
    return file.getvalue()


def texts(source):
    return {key: one.data for key, one in fetch_listed(source).items() if isinstance(one, RawDocument)}


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("a.zip", zipped),
        ("a.tar", tarred),
        ("a.tar.gz", lambda files: tarred(files, "w:gz")),
        ("a.tar.bz2", lambda files: tarred(files, "w:bz2")),
        ("a.txz", lambda files: tarred(files, "w:xz")),
    ],
)
def test_members_are_listed_and_read_also_those_of_archives_within(tmp_path, name, make):
    inner = make({"c.txt": b"gamma", "inner.zip": zipped({"d.txt": b"delta"})})
    (tmp_path / name).write_bytes(make({**PAGES, f"sub/{name}": inner}))
    source = archive(tmp_path / name)
    assert [item.key for item in source.discover()] == [
        "a.txt",
        "deep/b.txt",
        f"sub/{name}!/c.txt",
        f"sub/{name}!/inner.zip!/d.txt",
    ]
    assert texts(source) == {
        "a.txt": b"alpha",
        "deep/b.txt": b"beta " * 400,
        f"sub/{name}!/c.txt": b"gamma",
        f"sub/{name}!/inner.zip!/d.txt": b"delta",
    }


def test_an_archive_that_has_not_changed_is_not_read_again_to_list_it(tmp_path, monkeypatch):
    path = tmp_path / "a.tar.gz"
    path.write_bytes(tarred(PAGES, "w:gz"))
    listed = list(archive(path).discover())
    monkeypatch.setattr(archive_formats.TarArchive, "members", lambda self: 1 / 0)
    assert list(archive(path).discover()) == listed
    monkeypatch.undo()
    path.write_bytes(tarred({**PAGES, "a.txt": b"other"}, "w:gz"))
    changed = {item.key: item.version for item in archive(path).discover()}
    assert [item.key for item in listed if changed[item.key] != item.version] == ["a.txt"]
    assert [item.key for item in archive(path, include=["deep/**"]).discover()] == ["deep/b.txt"]


@pytest.mark.parametrize("make", [zipped, tarred])
def test_packing_it_again_changes_just_what_changed(tmp_path, make):
    path = tmp_path / "pack"
    path.write_bytes(make(PAGES))
    source = archive(path)
    before = {item.key: item.version for item in source.discover()}
    path.write_bytes(make({"new.txt": b"new", **PAGES, "a.txt": b"alphA"}))
    after = {item.key: item.version for item in source.discover()}
    assert after.keys() - before.keys() == {"new.txt"}
    assert [key for key in before if before[key] != after[key]] == ["a.txt"]
    assert texts(source)["a.txt"] == b"alphA"


def test_names_that_lead_out_are_refused_and_the_rest_is_read(tmp_path):
    wicked = ("../../up.txt", "/etc/passwd", "C:\\x.txt", "..\\up.txt", "good/../../x.txt", "a!/b.txt")
    (tmp_path / "a.zip").write_bytes(zipped({**dict.fromkeys(wicked, b"x"), "good.txt": b"good"}))
    outcomes = fetch_listed(archive(tmp_path / "a.zip"))
    assert {kind for kind, _ in failures(outcomes).values()} == {"hostile"} and len(failures(outcomes)) == len(wicked)
    assert texts(archive(tmp_path / "a.zip")) == {"good.txt": b"good"}
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.zip"], "nothing is written anywhere"


def test_links_devices_and_encrypted_members_are_refused(tmp_path):
    links = {}
    for name, kind in (("soft.txt", tarfile.SYMTYPE), ("hard.txt", tarfile.LNKTYPE), ("fifo.txt", tarfile.FIFOTYPE)):
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, "/etc/passwd"
        links[info] = b""
    (tmp_path / "a.tar").write_bytes(tarred({**links, "good.txt": b"good"}))
    outcomes = fetch_listed(archive(tmp_path / "a.tar"))
    assert {key: kind for key, (kind, _) in failures(outcomes).items()} == dict.fromkeys(
        ("soft.txt", "hard.txt", "fifo.txt"), "hostile"
    )
    link = zipfile.ZipInfo("link.txt")
    link.external_attr = 0o120777 << 16
    content = bytearray(zipped({link: b"/etc/passwd", "secret.txt": b"secret"}))
    central = content.rindex(b"PK\x01\x02")
    content[central + 8] |= 1
    (tmp_path / "a.zip").write_bytes(content)
    outcomes = fetch_listed(archive(tmp_path / "a.zip"))
    assert {key: kind for key, (kind, _) in failures(outcomes).items()} == {
        "link.txt": "hostile",
        "secret.txt": "unsupported",
    }


def test_bombs_are_refused_before_they_unpack(tmp_path):
    (tmp_path / "a.zip").write_bytes(zipped({"bomb.txt": b"0" * (64 << 20), "good.txt": b"good"}))
    outcomes = fetch_listed(archive(tmp_path / "a.zip"))
    assert failures(outcomes)["bomb.txt"][0] == "hostile" and isinstance(outcomes["good.txt"], RawDocument)
    (tmp_path / "many.zip").write_bytes(zipped({f"{number}.txt": b"" for number in range(11)}))
    with pytest.raises(HostileError, match="max_entries"):
        list(archive(tmp_path / "many.zip", max_entries=10).discover())
    (tmp_path / "large.zip").write_bytes(zipped({f"{n}.txt": bytes([n]) * (1 << 20) for n in range(3)}, 0))
    with pytest.raises(HostileError, match="max_total_mb"):
        list(archive(tmp_path / "large.zip", max_total_mb=2).discover())
    (tmp_path / "bomb.tgz").write_bytes(tarred({"bomb.txt": b"0" * (64 << 20)}, "w:gz"))
    with pytest.raises(HostileError, match="unpacks to more than"):
        list(archive(tmp_path / "bomb.tgz").discover())


def test_nesting_ends_at_five(tmp_path):
    nested = zipped({"bottom.txt": b"five"})
    for depth in (4, 3, 2):
        nested = zipped({f"{depth}.zip": nested, f"{depth}.txt": b"x"})
    (tmp_path / "five.zip").write_bytes(zipped({"1.zip": nested}))
    assert texts(archive(tmp_path / "five.zip"))["1.zip!/2.zip!/3.zip!/4.zip!/bottom.txt"] == b"five"
    (tmp_path / "six.zip").write_bytes(zipped({"0.zip": zipped({"1.zip": nested})}))
    outcomes = fetch_listed(archive(tmp_path / "six.zip"))
    [(key, (kind, reason))] = failures(outcomes).items()
    assert kind == "hostile" and key.endswith("4.zip") and "5 deep" in reason


def test_a_directory_that_lies_about_a_size_is_found_out(tmp_path):
    content = bytearray(zipped({"liar.txt": b"0123456789" * 100}, zipfile.ZIP_STORED))
    central = content.rindex(b"PK\x01\x02")
    struct.pack_into("<I", content, central + 24, 10)
    (tmp_path / "a.zip").write_bytes(content)
    outcomes = fetch_listed(archive(tmp_path / "a.zip"))
    assert failures(outcomes)["liar.txt"][0] in ("corruption", "hostile")


def test_a_damaged_inner_archive_fails_alone_and_a_damaged_outer_one_is_no_empty_listing(tmp_path):
    whole = zipped({"x.txt": b"x" * 1000, "y.txt": b"y"})
    (tmp_path / "a.zip").write_bytes(zipped({"good.txt": b"good", "bad.zip": whole[:-40]}))
    outcomes = fetch_listed(archive(tmp_path / "a.zip"))
    assert failures(outcomes)["bad.zip"][0] == "corruption" and isinstance(outcomes["good.txt"], RawDocument)
    (tmp_path / "b.zip").write_bytes(whole[:-40])
    (tmp_path / "cut.tgz").write_bytes(tarred(PAGES, "w:gz")[:-30])
    for name in ("b.zip", "cut.tgz", "missing.zip"):
        with pytest.raises(SourceError):
            list(archive(tmp_path / name).discover())
