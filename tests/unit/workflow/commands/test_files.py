"""inspect, init and check on NWB files in many layouts: plain ones are read right, others ask one question."""

import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from large_recording import write_large
from nwb_layouts import Layout
from nwb_outcomes import outcome_of
from nwb_writer import write
from v4egg.workflow.command_line import main

PLAIN = {
    "names": Layout(),
    "unpadded names and numbers": Layout(names="unpadded", ids="number"),
    "a folder": Layout(container="folder", ids="name_with_suffix"),
    "folders below a folder": Layout(container="nested_folder", names="same_stems", ids="path"),
    "trials": Layout(table="trials"),
    "another column": Layout(stimulus="picture"),
    "another table": Layout(table="own"),
    "rows of a table of stimuli": Layout(ids="stimulus_table"),
    "codes": Layout(ids="enum"),
    "references": Layout(ids="reference"),
    "a lost unit": Layout(intervals="lost_unit"),
    "blanks": Layout(blank="blank"),
    "sixteen bits": Layout(container="folder", values="uint16", ids="name_with_suffix"),
}
ASKED = {
    "columns.images": Layout(second_container=True),
    "columns.pixel_range": Layout(values="uint12"),
    "images.aspect": Layout(shape="wide", aspect="crop"),
}


def configured(folder: Path) -> Path:
    """The configuration that `v4egg init` writes for the file in a folder."""
    (file,) = folder.glob("*.nwb")
    output = folder / "mine.yaml"
    assert main(["init", str(file), "--session", "s1", "--output", str(output)]) == 0
    return output


@pytest.mark.parametrize("layout", PLAIN.values(), ids=PLAIN)
def test_a_plain_file_is_read_right_as_init_configures_it(layout, tmp_path, capsys):
    written = write(layout, tmp_path)
    output = configured(tmp_path)
    assert "QUESTION" not in output.read_text()
    assert main(["check", str(output)]) == 0, capsys.readouterr().err
    config = yaml.safe_load(output.read_text())
    found = outcome_of(replace(written, entry=config["sessions"]["s1"], images={}))
    assert found.kind == "right", found


@pytest.mark.parametrize(("key", "layout"), ASKED.items(), ids=ASKED)
def test_what_a_file_does_not_tell_is_one_question_until_it_is_answered(key, layout, tmp_path, capsys):
    write(layout, tmp_path)
    output = configured(tmp_path)
    text = output.read_text()
    assert text.count("QUESTION") == 2, "once in the head, once where the answer goes"
    name = key.rpartition(".")[2]
    answers = [line for line in text.splitlines() if line.strip().startswith(f"# {name}: ")]
    assert len(answers) > 1
    capsys.readouterr()
    assert main(["check", str(output)]) == 1
    assert name in capsys.readouterr().err
    output.write_text(text.replace(answers[0], answers[0].replace("# ", "", 1)))
    main(["check", str(output)])
    assert f"set {key}" not in capsys.readouterr().err


def test_a_large_file_is_inspected_in_seconds(tmp_path, capsys):
    path = write_large(tmp_path / "large.nwb")
    start = time.process_time()
    assert main(["inspect", str(path)]) == 0
    assert time.process_time() - start < 20
    told = capsys.readouterr().out
    assert "20000 of 1024 x 1024, uint8" in told
    assert "of them looked at" in told
    assert "200,000,000 spikes were not looked at" in told


def test_a_damaged_file_is_one_line(tmp_path, capsys):
    path = tmp_path / "broken.nwb"
    path.write_bytes(b"\x89HDF\r\n\x1a\n cut off")
    assert main(["inspect", str(path)]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
