"""Files of a configuration are laid over one another as Snakemake does it; a bad one is one line."""

import pytest
import yaml

from v4egg.errors import V4eggError
from v4egg.workflow.configuration_files import read_configuration, schema_file


def written(folder, name, text):
    path = folder / name
    path.write_text(text)
    return path


def test_later_files_are_laid_over_earlier_ones(tmp_path):
    first = written(tmp_path, "a.yaml", "name: x\nimages: {size: 24}\nseed: 2\n")
    second = written(tmp_path, "b.yaml", "images: {channels: 1}\nseed: 3\n")
    assert read_configuration([first, second]) == {"name": "x", "images": {"size": 24, "channels": 1}, "seed": 3}


def test_without_a_name_all_is_laid_over_the_demo(tmp_path):
    demo = yaml.safe_load((schema_file().parents[2] / "config/config.yaml").read_text())
    overlay = written(tmp_path, "a.yaml", "images: {size: 24}\n")
    assert read_configuration([overlay]) == {**demo, "images": {**demo["images"], "size": 24}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name: x\n  size: 3\n", "line 2: no valid YAML"),
        (b"- name\n", "no keys at its top level"),
        (b"", "no keys at its top level"),
        (b"name: \xff\xfe\n", "no text of YAML; save it as UTF-8"),
    ],
)
def test_a_bad_file_is_one_line(tmp_path, content, message):
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(V4eggError) as error:
        read_configuration([path])
    assert str(error.value).startswith(f"{path}: {message}")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(V4eggError, match="no such file; correct the path of the configuration"):
        read_configuration([tmp_path / "absent.yaml"])
