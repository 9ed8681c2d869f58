"""Files that a configuration names: declared one by one, or by a digest of their folder."""

import pytest

from v4egg.errors import V4eggError
from v4egg.workflow.given_files import check_given_files, files_digest, folder_digest, given_files


def test_a_folder_stands_for_all_its_files(tmp_path):
    (tmp_path / "unet").mkdir()
    (tmp_path / ".git").mkdir()
    for name in ("unet/weights.safetensors", "model_index.json", ".git/config"):
        (tmp_path / name).write_text("x")
    assert given_files(tmp_path) == [str(tmp_path / "model_index.json"), str(tmp_path / "unet/weights.safetensors")]


@pytest.mark.parametrize("path", ["nowhere/unet.pt", "/nowhere/unet", "./nowhere/unet"])
def test_a_file_that_is_not_there_stays_an_input_so_that_the_dry_run_refuses_it(path):
    assert given_files(path) == [path]


@pytest.mark.parametrize("path", ["", None, "google/ddpm-celebahq-256"])
def test_nothing_and_the_id_of_a_model_are_no_files(path):
    assert given_files(path) == []


def test_a_name_in_a_folder_that_is_there_is_no_id_of_a_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights").mkdir()
    assert given_files("weights/unet") == ["weights/unet"]
    assert given_files("google/unet") == []


def test_the_digest_of_a_folder_changes_with_its_files(tmp_path):
    assert folder_digest(tmp_path / "nowhere") == folder_digest("") == ""
    image = tmp_path / "a.png"
    image.write_text("one")
    before = folder_digest(tmp_path)
    assert folder_digest(tmp_path) == before
    image.write_text("two")
    assert folder_digest(tmp_path) != before


def test_a_download_has_the_digest_that_it_will_have(tmp_path):
    path = str(tmp_path / "images.zip")
    expected = {path: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}  # of abc
    before = files_digest([path], expected)
    (tmp_path / "images.zip").write_text("abc")
    assert files_digest([path], expected) == files_digest([path]) == before
    (tmp_path / "images.zip").write_text("abd")
    assert files_digest([path], expected) != before


def config(**parts):
    """What is read of a configuration, without any path."""
    empty = {"data": "data", "prior": {"pretrained": {"weights": ""}}, "natural": {"folder": ""}, "sessions": {}}
    empty |= {"encoders": {"architectures": {}}, "synthesis": {"methods": {}}, "evolution": {"conditions": {}}}
    return {**empty, **parts}


def driven(weights):
    return {"architectures": {"a": {"core": {"backbone": {"name": "timm", "weights": weights}}}}}


@pytest.mark.parametrize(
    ("parts", "key"),
    [
        ({"prior": {"pretrained": {"weights": "absent.pt"}}}, "prior.pretrained.weights"),
        ({"natural": {"folder": "absent"}}, "natural.folder"),
        ({"encoders": driven("absent.pt")}, "encoders.architectures.a.core.backbone.weights"),
        (
            {"evolution": {"conditions": {"c": {"image_generator": {"name": "deepsim", "weights": "absent.pt"}}}}},
            "evolution.conditions.c.image_generator.weights",
        ),
    ],
)
def test_what_is_named_and_not_there_is_refused_with_its_key(parts, key, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(V4eggError, match=f"'{key}': there is no absent.*relative to the working directory {tmp_path}"):
        check_given_files(config(**parts))


def test_braces_in_paths_are_refused_and_spaces_are_not(tmp_path):
    folder = tmp_path / "my pictures, 2nd set [final] & more"
    folder.mkdir()
    check_given_files(config(natural={"folder": str(folder)}))
    with pytest.raises(V4eggError, match=r"'sessions\.s1\.file': 'a{b}\.nwb' has braces, which mean wildcards"):
        check_given_files(config(sessions={"s1": {"file": "a{b}.nwb"}}))


@pytest.mark.parametrize("weights", ["pretrained", "google/ddpm-celebahq-256"])
def test_what_is_fetched_is_not_looked_for(weights):
    check_given_files(config(encoders=driven(weights)))
