"""Which presentations of an NWB file count, and what each of them showed."""

import numpy as np
import pytest
from hdmf.common import DynamicTable
from pynwb.base import Images
from pynwb.image import GrayscaleImage, ImageSeries, IndexSeries

from nwb_files import (
    NAMES,
    ONSET,
    ORDER,
    PICTURES,
    Session,
    assert_shown,
    counted,
    named,
    presentations,
    true_counts,
)
from pynwb_parts import coded_column, column, frames, lists, rows_of, table
from v4egg.errors import V4eggError


def session(ids=None, **columns):
    """Units, images and presentations by name."""
    return Session().units().images().presentations(named() if ids is None else ids, **columns)


def refusal(made, folder, **columns):
    """The one line with which a file is refused."""
    with pytest.raises(V4eggError) as caught:
        made.read(folder, **columns)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- coded columns ----------------------------------------------------------------------------------------------------


def stimuli(**columns):
    return table("stimuli", columns, DynamicTable)


def test_codes_stand_for_their_texts(tmp_path):
    recording = Session().units().images().presentations(coded_column("stimulus_id", named())).read(tmp_path)
    assert_shown(recording)
    np.testing.assert_array_equal(counted(recording), true_counts())


def test_rows_of_a_table_of_stimuli_stand_for_its_names(tmp_path):
    made = Session().units().images()
    names = sorted(NAMES)
    of_stimuli = stimuli(image_name=names, category=["x"] * 4)
    made.nwb.add_scratch(of_stimuli)
    made.presentations(rows_of("stimulus_id", of_stimuli, [names.index(NAMES[k]) for k in ORDER]))
    assert_shown(made.read(tmp_path))


def test_which_column_of_a_table_of_stimuli_names_images_is_asked(tmp_path):
    made = Session().units().images()
    of_stimuli = stimuli(first=["a", "b", "c", "d"], second=["d", "b", "a", "c"])
    made.nwb.add_scratch(of_stimuli)
    made.presentations(rows_of("stimulus_id", of_stimuli, ORDER))
    assert "set columns.stimulus_name to one of: first, second, row" in refusal(made, tmp_path)
    assert_shown(made.read(tmp_path, stimulus_name="second"))


def test_the_number_of_a_row_counts_where_the_configuration_says_so(tmp_path):
    made = Session().units().images(order=NAMES)
    of_stimuli = stimuli(size=[1.0, 2.0, 3.0, 4.0])
    made.nwb.add_scratch(of_stimuli)
    made.presentations(rows_of("stimulus_id", of_stimuli, ORDER))
    assert "stimulus_name" in refusal(made, tmp_path)
    assert_shown(made.read(tmp_path, stimulus_name="row"))


def test_references_stand_for_the_images_themselves(tmp_path):
    made = Session().units().images()
    images = made.nwb.stimulus_template["images"].images
    made.presentations(column("stimulus_id", [images[name] for name in named()]))
    recording = made.read(tmp_path)
    assert_shown(recording)
    assert recording.image_ids == ["a", "d", "b", "c"]  # as they were shown first


def test_references_into_two_containers_keep_images_of_one_name_apart(tmp_path):
    made = Session().units()
    for name, picture in (("faces", 0), ("scenes", 1)):
        images = Images(name=name, images=[GrayscaleImage(name="001", data=PICTURES[picture])])
        made.nwb.add_stimulus_template(images)
    objects = [made.nwb.stimulus_template[name]["001"] for name in ("faces", "scenes") * 4]
    recording = made.presentations(column("stimulus_id", objects)).read(tmp_path)
    assert_shown(recording, [0, 1] * 4)
    assert recording.image_ids == ["stimulus/templates/faces/001", "stimulus/templates/scenes/001"]


def test_samples_of_a_series_stand_for_its_frames(tmp_path):
    made = Session().units()
    stack = frames("stack", PICTURES[ORDER], ONSET, optical=False)
    made.nwb.add_stimulus(stack)
    for onset in ONSET:
        made.nwb.add_trial(start_time=onset, stop_time=onset + 0.2, timeseries=[stack])
    recording = made.read(tmp_path, stimulus="timeseries")
    assert_shown(recording)
    assert len(recording.images) == 4


def test_numbers_as_text_and_as_floats(tmp_path):
    for ids in ([f"{k}.0" for k in ORDER], [str(k) for k in ORDER], ORDER.astype(float)):
        assert_shown(Session().units().images(order=NAMES).presentations(ids).read(tmp_path))


# --- which table ------------------------------------------------------------------------------------------------------


def test_the_only_table_that_fits_is_found(tmp_path):
    made = session().presentations(None, "trials")
    made.nwb.trials = table("trials", {"start_time": ONSET, "stop_time": ONSET + 9, "response": ["left"] * 8})
    made = Session().units().images().presentations(named(), "flashes")
    made.nwb.trials = table("trials", {"start_time": ONSET, "stop_time": ONSET + 9, "response": ["left"] * 8})
    assert_shown(made.read(tmp_path))


def test_tables_outside_of_intervals_are_found(tmp_path):
    made = Session().units().images()
    made.nwb.create_processing_module("task", "task").add(presentations(named(), "flashes"))
    assert_shown(made.read(tmp_path))
    made = Session().units().images()
    made.nwb.add_stimulus(presentations(named(), "flashes"))
    assert_shown(made.read(tmp_path))


def test_of_several_tables_one_has_to_be_named(tmp_path):
    made = Session().units().images().presentations(named(), "flashes").presentations(named(ORDER[::-1]), "others")
    text = refusal(made, tmp_path)
    assert text.endswith("set columns.table to one of: /intervals/flashes, /intervals/others")
    assert_shown(made.read(tmp_path, table="others"), ORDER[::-1])
    assert_shown(made.read(tmp_path, table="/intervals/flashes"))


def test_no_other_table_than_the_one_that_is_named(tmp_path):
    made = Session().units().images().presentations(named(), "trials")
    text = refusal(made, tmp_path, table="presentations")
    assert "columns.table names presentations, which is not there; tables are /intervals/trials" in text


def test_a_missing_column_is_asked_with_what_there_is(tmp_path):
    made = Session().units().images().presentations(None, picture=named(), reward=np.ones(8))
    assert "no column stimulus_id; set columns.stimulus to one of: picture, reward" in refusal(made, tmp_path)
    assert_shown(made.read(tmp_path, stimulus="picture"))


# --- filters ----------------------------------------------------------------------------------------------------------

OUTCOME = ["correct", "aborted", "correct", "correct", "aborted", "correct", "late", "correct"]


def test_presentations_that_a_filter_removes_are_counted(tmp_path):
    recording = session(outcome=OUTCOME).read(tmp_path, presentations_filter={"outcome": ["correct"]})
    kept = np.array([word == "correct" for word in OUTCOME])
    assert_shown(recording, ORDER[kept])
    assert recording.left_out == {"outcome is aborted": 2, "outcome is late": 1}
    np.testing.assert_array_equal(counted(recording), true_counts(ORDER[kept]))


@pytest.mark.parametrize(
    ("values", "wanted", "kept"),
    [
        (np.arange(8) % 2 == 0, True, [0, 2, 4, 6]),
        (np.arange(8) // 4, 1, [4, 5, 6, 7]),
        (np.arange(8.0), [1, 2.0], [1, 2]),
        (np.where(np.arange(8) < 6, np.nan, 1.0), None, [0, 1, 2, 3, 4, 5]),
        (["", "x"] * 4, None, [0, 2, 4, 6]),
    ],
)
def test_filters_of_flags_numbers_and_missing_values(tmp_path, values, wanted, kept):
    assert_shown(session(block=values).read(tmp_path, presentations_filter={"block": wanted}), ORDER[kept])


def test_filters_of_codes_and_rows_of_tables(tmp_path):
    made = session(outcome=coded_column("outcome", OUTCOME))
    assert_shown(made.read(tmp_path, presentations_filter={"outcome": "aborted"}), ORDER[[1, 4]])
    made = Session().units().images()
    tasks = stimuli(name=["fixation", "search"])
    made.nwb.add_scratch(tasks)
    made.presentations(named(), task=rows_of("task", tasks, [0, 1] * 4))
    assert_shown(made.read(tmp_path, presentations_filter={"task": "search"}), ORDER[1::2])


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("outcome", OUTCOME, "2 of 8 rows of /intervals/presentations have outcome = aborted"),
        ("aborted", [False, True] * 4, "4 of 8 rows of /intervals/presentations have aborted = True"),
        ("valid", [1, 0, 0, 1] * 2, "4 of 8 rows of /intervals/presentations have valid = 0"),
    ],
)
def test_presentations_that_were_aborted_need_a_filter(tmp_path, name, values, words):
    made = session(**{name: values})
    assert words in refusal(made, tmp_path)
    assert "set columns.presentations_filter to one of" in refusal(made, tmp_path)
    assert_shown(made.read(tmp_path, presentations_filter={}))  # all of them count


def test_outcomes_that_are_not_filtered_are_named(tmp_path):
    recording = session(correct=[True, False] * 4).read(tmp_path)
    assert "session.nwb: /intervals/presentations/correct has False, True, and all rows count" in recording.warnings[0]


def test_a_filter_that_keeps_nothing_or_names_no_column(tmp_path):
    made = session(outcome=OUTCOME)
    text = refusal(made, tmp_path, presentations_filter={"outcome": "hit"})
    assert "keeps no row with outcome = hit; present are aborted, correct, late" in text
    assert "names the column result" in refusal(made, tmp_path, presentations_filter={"result": 1})


# --- blanks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["blank", "Omitted", "N/A", "null", "None", "nan", "", " "])
def test_usual_words_for_no_image_are_blanks(tmp_path, word):
    ids = named()
    ids[3] = word
    recording = session(ids).read(tmp_path)
    assert_shown(recording, np.delete(ORDER, 3))
    assert recording.left_out == {"stimulus_id is blank": 1}


def test_other_words_and_numbers_are_blanks_where_the_configuration_says_so(tmp_path):
    ids = named()
    ids[0] = "grey"
    assert "columns.blank" in refusal(session(ids), tmp_path)
    assert_shown(session(ids).read(tmp_path, blank=["Grey"]), ORDER[1:])
    numbers = np.where(np.arange(8) == 5, 0, ORDER + 1)
    made = Session().units().images(order=NAMES).presentations(numbers)
    assert_shown(made.read(tmp_path, blank=[0], number_from=1), np.delete(ORDER, 5))


def test_the_name_of_an_image_is_no_blank_without_a_word(tmp_path):
    names = ("blank", "b", "a", "c")
    made = Session().units().images(names).presentations([names[k] for k in ORDER])
    assert "set columns.blank to one of: [blank], []" in refusal(made, tmp_path)
    assert_shown(made.read(tmp_path, blank=[]))
    assert_shown(made.read(tmp_path, blank=["blank"]), ORDER[ORDER > 0])


# --- times ------------------------------------------------------------------------------------------------------------


def test_rows_count_in_the_order_of_their_onsets(tmp_path):
    mixed = np.random.default_rng(1).permutation(8)
    ids = [named()[row] for row in mixed]
    recording = session(ids, start_time=ONSET[mixed], stop_time=ONSET[mixed] + 0.2).read(tmp_path)
    assert_shown(recording)
    np.testing.assert_allclose(recording.trials["offset"], ONSET + 0.2)
    np.testing.assert_array_equal(counted(recording), true_counts())


def test_stops_may_be_unknown(tmp_path):
    stops = np.append(ONSET[1:], np.nan)
    recording = session(stop_time=stops).read(tmp_path)
    np.testing.assert_array_equal(recording.trials["offset"], stops)
    np.testing.assert_array_equal(counted(recording), true_counts())


def test_presentations_without_an_onset_are_left_out(tmp_path):
    recording = session(start_time=np.where(np.arange(8) == 2, np.nan, ONSET)).read(tmp_path)
    assert_shown(recording, np.delete(ORDER, 2))
    assert recording.left_out == {"the onset is missing": 1}


def test_stops_before_starts_are_refused(tmp_path):
    assert "stop is not after the start, such as 1 to 0.9 s" in refusal(session(stop_time=ONSET - 0.1), tmp_path)


def test_a_row_that_repeats_another_counts_once(tmp_path):
    twice = [0, 0, 1, 2, 3, 4, 5, 6]
    recording = session(named(ORDER[twice]), start_time=ONSET[twice], stop_time=ONSET[twice] + 0.2).read(tmp_path)
    assert_shown(recording, ORDER[:7])
    assert recording.left_out == {"the row repeats another": 1}


def test_two_pictures_at_once_are_refused(tmp_path):
    onset = np.where(np.arange(8) == 1, ONSET[0], ONSET)
    assert "shows a and d both at 1 s" in refusal(session(start_time=onset), tmp_path)


def test_overlapping_presentations_are_named(tmp_path):
    recording = session(stop_time=ONSET + 0.5).read(tmp_path)
    assert "7 of 8 presentations of /intervals/presentations end after the next one begins" in recording.warnings[0]


# --- lists in rows ----------------------------------------------------------------------------------------------------


def ragged(ids, onset, ends=(3, 4, 8), **columns):
    """Three trials of 3, 1 and 4 presentations."""
    firsts = [0, *ends[:-1]]
    starts, stops = ONSET[firsts] - 0.1, ONSET[np.array(ends) - 1] + 0.2
    values = {"start_time": starts, "stop_time": stops}
    return table(
        "trials", {**values, **lists(column("stimuli", ids), ends), **lists(column("onsets", onset), ends), **columns}
    )


RAGGED = {"stimulus": "stimuli", "start": "onsets"}


def test_trials_with_lists_of_stimuli_are_expanded(tmp_path):
    made = Session().units().images()
    made.nwb.trials = ragged(named(), ONSET, outcome=["hit", "miss", "hit"])
    recording = made.read(tmp_path, **RAGGED)
    assert_shown(recording)
    assert np.isnan(recording.trials["offset"]).all()  # the row's stop is that of the trial
    np.testing.assert_array_equal(counted(recording), true_counts())
    kept = made.read(tmp_path, **RAGGED, presentations_filter={"outcome": "hit"})
    assert_shown(kept, np.delete(ORDER, 3))
    assert kept.left_out == {"outcome is miss": 1}


def test_onsets_in_lists_may_count_from_the_start_of_the_trial(tmp_path):
    made = Session().units().images()
    made.nwb.trials = ragged(named(), ONSET - np.repeat(ONSET[[0, 3, 4]] - 0.1, [3, 1, 4]))
    recording = made.read(tmp_path, **RAGGED)
    np.testing.assert_allclose(recording.trials["onset"], ONSET)


def test_lists_that_do_not_fit_are_refused(tmp_path):
    made = Session().units().images()
    made.nwb.trials = ragged(named(), ONSET + 100)
    assert "lie neither inside their rows nor count from" in refusal(made, tmp_path, **RAGGED)
    assert "set columns.start to a column with as many values" in refusal(made, tmp_path, stimulus="stimuli")
    made = Session().units().images()
    made.nwb.trials = table(
        "trials",
        {
            "start_time": ONSET[[0, 3, 4]],
            "stop_time": ONSET[[0, 3, 4]] + 2,
            **lists(column("stimuli", named()), (3, 4, 8)),
            **lists(column("onsets", ONSET), (2, 4, 8)),
        },
    )
    assert "has 3 stimuli and 2 onsets" in refusal(made, tmp_path, **RAGGED)


def test_an_array_in_each_row_is_no_stimulus(tmp_path):
    made = session(positions=np.zeros((8, 2)))
    assert "holds an array in each row" in refusal(made, tmp_path, stimulus="positions")


# --- series -----------------------------------------------------------------------------------------------------------


def test_indices_into_a_container_are_presentations(tmp_path):
    made = Session().units().images(order=NAMES)
    images = made.nwb.stimulus_template["images"]
    made.nwb.add_stimulus(
        IndexSeries(name="shown", data=ORDER.astype("uint32"), indexed_images=images, timestamps=ONSET, unit="N/A")
    )
    recording = made.read(tmp_path)
    assert_shown(recording)
    assert np.isnan(recording.trials["offset"]).all()
    np.testing.assert_array_equal(counted(recording), true_counts())


def of_older_file(kind, **values):
    """An object as it is read from a file that pynwb would not write today."""
    made = kind.__new__(kind, in_construct_mode=True)
    made.__init__(**values)
    return made


def test_indices_into_a_stack_are_presentations(tmp_path):
    made = Session().units()
    stack = frames("stack", PICTURES, range(4), optical=True)
    made.nwb.add_stimulus_template(stack)
    made.nwb.add_stimulus(
        of_older_file(
            IndexSeries,
            name="shown",
            data=ORDER.astype("uint32"),
            indexed_timeseries=stack,
            timestamps=ONSET,
            unit="N/A",
        )
    )
    assert_shown(made.read(tmp_path))


@pytest.mark.parametrize("optical", [True, False])
def test_a_stack_with_a_frame_per_presentation(tmp_path, optical):
    made = Session().units()
    made.nwb.add_stimulus(frames("shown", PICTURES[ORDER], ONSET, optical))
    recording = made.read(tmp_path)
    assert len(recording.images) == 4  # repeats are found by their pixels
    assert_shown(recording)
    np.testing.assert_array_equal(counted(recording), true_counts())


def test_a_series_with_a_rate_is_taken_only_where_it_is_named(tmp_path):
    made = Session().units()
    made.nwb.add_stimulus(ImageSeries(name="shown", data=PICTURES[ORDER], rate=1 / 0.3, starting_time=1.0, unit="n.a."))
    assert "no table of presentations" in refusal(made, tmp_path)
    recording = made.read(tmp_path, table="shown")
    np.testing.assert_allclose(recording.trials["onset"], ONSET)
    assert_shown(recording)


def test_series_with_other_times_than_samples_are_refused(tmp_path):
    made = Session().units().images(order=NAMES)
    images = made.nwb.stimulus_template["images"]
    with pytest.warns(UserWarning, match="Length of data does not match"):
        series = of_older_file(
            IndexSeries,
            name="shown",
            data=ORDER.astype("uint32"),
            indexed_images=images,
            timestamps=ONSET[:-1],
            unit="N/A",
        )
    made.nwb.add_stimulus(series)
    assert "has 8 samples and 7 times" in refusal(made, tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_bytes_are_text_in_the_encodings_of_programs(tmp_path, encoding):
    names = [f"Bild ä{number}" for number in range(4)]
    ids = np.array([names[picture].encode(encoding) for picture in ORDER])
    made = Session().units().images(names).presentations(ids)
    assert_shown(made.read(tmp_path))
