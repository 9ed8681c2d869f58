"""Files and folders are written whole or not at all."""

import hashlib

import pytest

from v4egg.io.files import replacing, sha256_of


def _write(path, text, folder):
    if folder:
        path.mkdir()
        path = path / "part"
    path.write_text(text)


def _read(path):
    return (path / "part" if path.is_dir() else path).read_text()


@pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
def test_what_is_written_takes_the_place_of_what_was_there(tmp_path, folder):
    path = tmp_path / "new" / "result"
    for text in ("first", "second"):
        with replacing(path) as temporary:
            assert not temporary.exists()
            _write(temporary, text, folder)
        assert _read(path) == text
        assert [left.name for left in path.parent.iterdir()] == ["result"]


@pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
def test_a_write_that_fails_leaves_the_old_and_nothing_else(tmp_path, folder):
    path = tmp_path / "result"
    _write(path, "old", folder)
    with pytest.raises(KeyboardInterrupt), replacing(path) as temporary:
        _write(temporary, "half", folder)
        raise KeyboardInterrupt
    assert _read(path) == "old"
    assert [left.name for left in tmp_path.iterdir()] == ["result"]


@pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
def test_what_a_killed_process_left_is_no_obstacle(tmp_path, folder):
    _write(tmp_path / "result.tmp", "left", not folder)
    with replacing(tmp_path / "result") as temporary:
        _write(temporary, "whole", folder)
    assert _read(tmp_path / "result") == "whole"


def test_processes_with_suffixes_of_their_own_do_not_meet(tmp_path):
    path = tmp_path / "result"
    with replacing(path, ".1.part") as one, replacing(path, ".2.part") as other:
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one"  # the last to end


def test_sha256_of_a_file(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256_of(tmp_path / "x") == hashlib.sha256(b"abc").hexdigest()
