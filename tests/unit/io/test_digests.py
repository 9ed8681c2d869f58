"""Digests of files: what is replaced is seen whatever its times say, and what stays is not read again."""

import os

import pytest

from v4egg.io import digests
from v4egg.io.digests import digest_of, files_below

OLD = 10**18  # ns since 1970: 2001


@pytest.fixture(autouse=True)
def remembered(tmp_path, monkeypatch):
    """The cache, beside the files; files may be trusted at once."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(digests, "_SETTLED", -(10**10))
    return tmp_path / "cache"


@pytest.fixture
def pictures(tmp_path):
    for name in ("a.png", "b/c.png"):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("one")
    return tmp_path / "pictures"


def test_a_file_replaced_by_an_older_one_of_the_same_size_is_seen(pictures):
    for path in (pictures, pictures / "a.png"):
        before, times = digest_of(path), (pictures / "a.png").stat().st_mtime_ns
        (pictures / "new").write_text("two")
        os.utime(pictures / "new", ns=(times, times))  # as cp -p and rsync -a do
        (pictures / "new").replace(pictures / "a.png")
        assert digest_of(path) != before
        (pictures / "a.png").write_text("one")
        os.utime(pictures / "a.png", ns=(OLD, OLD))
        assert digest_of(path) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "d.png").write_text("one"),
        lambda folder: (folder / "a.png").unlink(),
        lambda folder: (folder / "a.png").rename(folder / "z.png"),
        lambda folder: (folder / "b/c.png").rename(folder / "c.png"),
        lambda folder: (folder / "b/c.png").write_text("On3"),
    ],
    ids=["added", "removed", "renamed", "moved", "changed"],
)
def test_every_change_of_a_folder_is_seen(pictures, change):
    before = digest_of(pictures)
    change(pictures)
    assert digest_of(pictures) != before


def test_what_programs_leave_behind_and_where_the_folder_lies_do_not_matter(pictures):
    before = digest_of(pictures)
    for name in (".DS_Store", "b/Thumbs.db", "._a.png"):
        (pictures / name).write_text("x")
    os.utime(pictures / "a.png", ns=(OLD, OLD))
    assert digest_of(pictures) == before
    assert digest_of(pictures.rename(pictures.with_name("moved"))) == before


def test_links_are_followed_once_and_broken_ones_are_no_error(pictures):
    (pictures / "round").symlink_to(pictures)
    (pictures / "nowhere.png").symlink_to(pictures / "gone.png")
    assert list(files_below(pictures)) == ["a.png", "nowhere.png", "b/c.png"]
    before = digest_of(pictures)
    (pictures / "gone.png").write_text("x")
    assert digest_of(pictures) != before


def test_only_what_has_changed_is_read(pictures, monkeypatch):
    read = []
    real = digests._digest_of_file
    monkeypatch.setattr(digests, "_digest_of_file", lambda path, status: read.append(path.name) or real(path, status))
    first = digest_of(pictures)
    assert digest_of(pictures) == first
    (pictures / "b/c.png").write_text("longer")
    digest_of(pictures)
    assert read == ["a.png", "c.png", "c.png"]


def test_a_file_that_has_just_changed_is_read_again(pictures, monkeypatch):
    """Within one tick of the clock a second change has the time of the first."""
    monkeypatch.setattr(digests, "_SETTLED", 2 * 10**9)
    read = []
    real = digests._digest_of_file
    monkeypatch.setattr(digests, "_digest_of_file", lambda path, status: read.append(path.name) or real(path, status))
    for _ in range(2):
        digest_of(pictures / "a.png")
    assert read == ["a.png", "a.png"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"": [1]}'])
def test_a_damaged_cache_costs_time_only(pictures, remembered, content):
    expected = digest_of(pictures / "a.png")
    (cached,) = (remembered / "v4egg/digests").iterdir()
    cached.write_text(content)
    assert digest_of(pictures / "a.png") == expected


def test_large_files_are_sampled_with_their_time(pictures, monkeypatch):
    monkeypatch.setattr(digests, "WHOLE", 100)
    monkeypatch.setattr(digests, "SAMPLE", 4)
    large = pictures / "large.nwb"
    large.write_bytes(bytes(4000))
    os.utime(large, ns=(OLD, OLD))
    before = digest_of(large)
    assert digest_of(large) == before
    os.utime(large, ns=(OLD - 1, OLD - 1))
    assert digest_of(large) != before
    os.utime(large, ns=(OLD, OLD))
    assert digest_of(large) == before
    large.write_bytes(bytes(3999) + b"x")
    os.utime(large, ns=(OLD, OLD))
    assert digest_of(large) != before
