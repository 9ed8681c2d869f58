"""Files that a configuration names: declared one by one, or by a digest of their folder."""

import os

import pytest

from v4egg.workflow.given_files import folder_digest, given_files


def test_a_folder_stands_for_all_its_files(tmp_path):
    (tmp_path / "unet").mkdir()
    for name in ("unet/weights.safetensors", "model_index.json"):
        (tmp_path / name).write_text("x")
    assert given_files(tmp_path) == [str(tmp_path / "model_index.json"), str(tmp_path / "unet/weights.safetensors")]


@pytest.mark.parametrize("path", ["nowhere/unet.pt", "/nowhere/unet", "./nowhere/unet"])
def test_a_file_that_is_not_there_stays_an_input_so_that_the_dry_run_refuses_it(path):
    assert given_files(path) == [path]


@pytest.mark.parametrize("path", ["", None, "google/ddpm-celebahq-256"])
def test_nothing_and_the_id_of_a_model_are_no_files(path):
    assert given_files(path) == []


def test_the_digest_of_a_folder_changes_with_its_files(tmp_path):
    assert folder_digest(tmp_path / "nowhere") == folder_digest("") == ""
    image = tmp_path / "a.png"
    image.write_text("one")
    before = folder_digest(tmp_path)
    assert folder_digest(tmp_path) == before
    image.write_text("two")
    os.utime(image, ns=(1, 1))
    assert folder_digest(tmp_path) != before
