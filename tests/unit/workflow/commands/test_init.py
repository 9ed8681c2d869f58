"""`v4egg init` from descriptions: the configuration is valid, says what is taken, and asks what is not known."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from v4egg.recordings.outline import Outline
from v4egg.recordings.readers.description import Answer, Description, Question, Taken, UnitFacts
from v4egg.workflow.command_line import main
from v4egg.workflow.commands.init import configuration, session_name
from v4egg.workflow.configuration import check
from v4egg.workflow.configuration_files import schema_file

FILE = Path("data/monkey.nwb")
EQUAL = np.full(40, 5)
TESTED = np.where(np.arange(40) < 30, 2, 20)


def described(*, repeats=EQUAL, shape=(1, 64, 64), **more):
    outline = None if more.get("questions") else Outline(len(repeats), shape, 3, repeats)
    facts = {"units": UnitFacts(3, rate=(1.0, 2.0, 3.0)), "options": {"file": str(FILE)}, "outline": outline}
    return Description("nwb", "NWB", **{**facts, **more})


def valid(text):
    """The configuration, with the defaults that checking it fills in."""
    return check(yaml.safe_load(text), schema_file())


def test_it_is_valid_and_names_the_file():
    config = valid(configuration(described(), FILE, "monkey"))
    assert config["name"] == "monkey"
    assert config["sessions"]["monkey"]["file"] == "data/monkey.nwb"
    assert config["sessions"]["monkey"]["split"] == "halves"


def test_images_that_were_shown_clearly_more_often_test():
    session = valid(configuration(described(repeats=TESTED), FILE, "monkey"))["sessions"]["monkey"]
    assert (session["split"], session["min_repeats"]) == ("repeated", 20)


@pytest.mark.parametrize(("side", "size"), [(400, 48), (48, 48), (47, 40), (24, 24), (10, 16)])
def test_models_see_no_more_pixels_than_there_are_nor_than_the_demo(side, size):
    assert valid(configuration(described(shape=(1, side, side)), FILE, "m"))["images"]["size"] == size


def test_counts_are_trained_with_squared_errors():
    without_spikes = described(units=UnitFacts(3))
    assert valid(configuration(without_spikes, FILE, "m"))["encoders"]["training"]["loss"] == "mse"
    assert valid(configuration(described(), FILE, "m"))["encoders"]["training"]["loss"] == "poisson"


def test_what_is_taken_stands_with_its_reason():
    taken = [Taken("columns.table", "trials", "the only table"), Taken("order of images", "by name", "no order")]
    text = configuration(described(taken=taken), FILE, "m")
    assert valid(text)["sessions"]["m"]["columns"]["table"] == "trials"
    assert "      table: trials   # the only table\n" in text
    assert "order of images" not in yaml.safe_load(text)["sessions"]["m"]


def test_what_may_be_said_is_a_comment():
    text = configuration(
        described(
            taken=[Taken("columns.table", "trials", "the only table")],
            suggested=[Taken("columns.unit_filter", {"location": "V4"}, "90 of 96 units")],
        ),
        FILE,
        "m",
    )
    assert "      # Optional: 90 of 96 units\n      # unit_filter: {location: V4}\n" in text
    assert "unit_filter" not in yaml.safe_load(text)["sessions"]["m"]["columns"]


@pytest.mark.parametrize("answer", ["faces", "scenes"])
def test_a_question_stands_where_its_answer_goes(answer):
    question = Question("columns.images", "it has 2 containers", [Answer("faces", "8 images"), Answer("scenes")])
    taken = [Taken("columns.table", "trials", "the only table")]
    text = configuration(described(taken=taken, questions=[question]), FILE, "m")
    assert text.count("QUESTION:") == 1
    assert "It asks one question" in text
    assert "images" not in yaml.safe_load(text)["sessions"]["m"]["columns"]
    answered = text.replace(f"# images: {answer}", f"images: {answer}")
    assert valid(answered)["sessions"]["m"]["columns"]["images"] == answer


def test_a_question_alone_leaves_a_valid_configuration():
    question = Question("columns.table", "it has 2 tables", [Answer("faces"), Answer("scenes")])
    text = configuration(described(questions=[question]), FILE, "m")
    assert valid(text)
    assert valid(text.replace("# table: faces", "table: faces"))["sessions"]["m"]["columns"]["table"] == "faces"


def test_a_question_about_all_sessions_stands_outside_the_session():
    question = Question("images.size", "images are wide", [Answer(16), Answer(24)])
    text = configuration(described(questions=[question]), FILE, "m")
    assert "\n  # size: 24" in text.split("\nimages:")[1].split("\nprior:")[0]


@pytest.mark.parametrize(
    ("name", "session"),
    [("a b.nwb", "a_b"), ("20240501.nwb", "s20240501"), ("sub-01.x.nwb", "sub_01_x"), ("é.nwb", "s")],
)
def test_sessions_are_named_after_their_file(name, session):
    assert session_name(Path(name)) == session


def test_names_and_paths_that_yaml_would_read_otherwise(tmp_path):
    odd = described(options={"file": "data/a: b #1.nwb"})
    assert valid(configuration(odd, FILE, "m"))["sessions"]["m"]["file"] == "data/a: b #1.nwb"


def test_a_wrong_session_is_refused(tmp_path, capsys):
    assert main(["init", str(tmp_path), "--session", "1"]) == 1
    assert "--session 1: give a letter" in capsys.readouterr().err


def test_a_configuration_is_never_replaced(tmp_path, capsys):
    output = tmp_path / "mine.yaml"
    output.write_text("name: mine\n")
    assert main(["init", str(tmp_path), "--output", str(output)]) == 1
    assert "is there already" in capsys.readouterr().err
    assert output.read_text() == "name: mine\n"
