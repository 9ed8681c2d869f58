"""Where the images of an NWB file are, how their axes lie, and which of them an id means."""

import numpy as np
import pytest
from hdmf.common import DynamicTable
from PIL import Image
from pynwb.base import Images
from pynwb.image import GrayscaleImage, ImageSeries

from nwb_files import NAMES, ORDER, PICTURES, WIDE, Session, assert_shown, counted, named, true_counts
from pynwb_parts import external_files, named_frames, picture_container, table
from v4egg.errors import V4eggError
from v4egg.recordings.sources import NwbFile

COLOURS = np.random.default_rng(1).integers(0, 256, (4, 6, 8, 3), "uint8")  # (image, y, x, channel)


def refusal(made, folder, **columns):
    """The one line with which a file is refused."""
    with pytest.raises(V4eggError) as caught:
        made.read(folder, **columns)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def stack_session(data, ids=ORDER, **more):
    """Frames in a template and presentations by number."""
    made = Session().units().presentations(ids)
    made.nwb.add_stimulus_template(ImageSeries(name="stack", data=data, rate=1.0, unit="n.a.", **more))
    return made


def files(folder, names, pictures=PICTURES):
    """Image files of these names."""
    for name, picture in zip(names, pictures, strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / name, lossless=True)


# --- places -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["add_acquisition", "add_stimulus", "add_stimulus_template", "add_analysis"])
def test_containers_are_found_wherever_they_are(tmp_path, place):
    made = Session().units().presentations(named())
    getattr(made.nwb, place)(picture_container("shown", dict(zip(NAMES, PICTURES, strict=True)), None))
    assert_shown(made.read(tmp_path))


def test_containers_in_processing_modules_are_found(tmp_path):
    made = Session().units().presentations(named())
    module = made.nwb.create_processing_module("stimuli", "stimuli")
    module.add(picture_container("shown", dict(zip(NAMES, PICTURES, strict=True)), None))
    assert_shown(made.read(tmp_path))


def test_stimuli_come_before_other_images(tmp_path):
    made = Session().units().images().presentations(named())
    made.nwb.add_acquisition(Images(name="camera", images=[GrayscaleImage(name="frame", data=PICTURES[0])]))
    assert_shown(made.read(tmp_path))


def test_of_two_containers_one_is_named_by_name_or_path(tmp_path):
    made = Session().units().images(name="scenes").images(NAMES[::-1], name="masks").presentations(named())
    text = refusal(made, tmp_path)
    assert text.endswith("set columns.images to one of: /stimulus/templates/masks, /stimulus/templates/scenes")
    assert_shown(made.read(tmp_path, images="scenes"))
    assert_shown(made.read(tmp_path, images="/stimulus/templates/masks"), 3 - ORDER)
    assert "neither images in the file nor a folder beside it" in refusal(made, tmp_path, images="faces")


def test_a_folder_with_the_name_of_a_container(tmp_path):
    files(tmp_path / "images", [f"{name}.png" for name in NAMES[::-1]])
    made = Session().units().images().presentations(named())
    assert "write /stimulus/templates/images or ./images" in refusal(made, tmp_path, images="images")
    assert_shown(made.read(tmp_path, images="./images"), 3 - ORDER)
    assert_shown(made.read(tmp_path, images="/stimulus/templates/images"))


def test_nested_folders_and_webp(tmp_path):
    names = ["faces/1.webp", "faces/2.webp", "scenes/1.webp", "scenes/2.webp"]
    files(tmp_path / "shown", names, [np.repeat(picture[..., None], 3, axis=-1) for picture in PICTURES])
    made = Session().units().presentations([names[k].removesuffix(".webp") for k in ORDER])
    assert_shown(made.read(tmp_path, images="shown"))


def test_external_files_of_a_series(tmp_path):
    names = ["pictures/two.png", "pictures/one.png", "pictures/4.png", "pictures/3.png"]
    files(tmp_path, names)
    for ids in ([names[k] for k in ORDER], [names[k].split("/")[1] for k in ORDER]):
        made = Session().units().presentations(ids)
        made.nwb.add_stimulus_template(external_files("shown", names))
        assert_shown(made.read(tmp_path))
    (tmp_path / names[1]).unlink()
    assert "its images in 4 files, of which 1 are not there, such as" in refusal(made, tmp_path)


def test_movies_are_refused_with_a_way_on(tmp_path):
    made = Session().units().presentations(ORDER)
    made.nwb.add_stimulus_template(external_files("shown", ["movie.avi"]))
    assert "contains no images" in refusal(made, tmp_path)
    assert "names shown, neither images" in refusal(made, tmp_path, images="shown")


# --- axes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arrangement", "axes"),
    [
        ("nyxc", None),
        ("nxyc", "xy"),
        ("ncyx", None),
        ("ncxy", "xy"),
    ],
)
def test_axes_of_colour_frames(tmp_path, arrangement, axes):
    data = np.transpose(COLOURS, ["nyxc".index(axis) for axis in arrangement])
    recording = stack_session(data).read(tmp_path, axes=axes)
    np.testing.assert_array_equal(recording.images[recording.trials["image"]], COLOURS[ORDER].transpose(0, 3, 1, 2))


def test_grey_frames_with_x_first(tmp_path):
    made = stack_session(PICTURES.transpose(0, 2, 1))
    assert_shown(made.read(tmp_path, axes="xy"))
    recording = made.read(tmp_path, axes=None)
    assert recording.images.shape == (4, 1, WIDE, 6)  # as users of pynwb write, and with a warning
    assert "are read with axes yx; if pictures appear transposed, set columns.axes to xy" in recording.warnings[0]


@pytest.mark.parametrize(("data", "warned"), [(PICTURES, False), (PICTURES.transpose(0, 2, 1), True)])
def test_the_stated_number_of_pixels_tells_axes(tmp_path, data, warned):
    recording = stack_session(data, dimension=[WIDE, 6]).read(tmp_path, axes=None)
    assert_shown(recording)
    assert len(recording.warnings) == warned


def test_files_that_matlab_wrote_have_x_first(tmp_path):
    made = stack_session(PICTURES.transpose(0, 2, 1))
    made.nwb.was_generated_by = [["matnwb", "2.9.0"]]
    recording = made.read(tmp_path, axes=None)
    assert_shown(recording)
    assert "with axes xy because MATLAB wrote the file, which reverses axes" in recording.warnings[0]


def test_image_files_need_no_axes(tmp_path):
    files(tmp_path / "shown", [f"{name}.png" for name in NAMES])
    recording = Session().units().presentations(named()).read(tmp_path, images="shown", axes="xy")
    assert_shown(recording)
    assert recording.warnings == []


# --- pixels -----------------------------------------------------------------------------------------------------------


def test_one_rule_for_all_frames_of_a_stack(tmp_path):
    data = PICTURES / 255
    data[0] /= 9  # a dark frame stays dark
    recording = stack_session(data).read(tmp_path)
    np.testing.assert_array_equal(recording.images[0, 0], np.rint(PICTURES[0] / 9))
    np.testing.assert_array_equal(recording.images[1:, 0], PICTURES[1:])


def test_a_declared_range_of_pixels(tmp_path):
    made = stack_session(PICTURES.astype("uint16") * 4)
    assert "set pixel_range" in refusal(made, tmp_path)
    assert_shown(made.read(tmp_path, pixel_range=[0, 1020]))


def test_images_of_another_dtype_that_were_never_shown_do_not_count(tmp_path):
    made = Session().units().presentations(named())
    pictures = {name: picture.astype("uint16") * 257 for name, picture in zip(NAMES, PICTURES, strict=True)}
    pictures["mask"] = np.ones((6, 8), "uint8")
    made.nwb.add_stimulus_template(picture_container("shown", pictures, None))
    assert_shown(made.read(tmp_path))


# --- ids --------------------------------------------------------------------------------------------------------------


def test_numbers_in_names_without_an_order(tmp_path):
    names = ["img_2", "img_10", "img_1", "img_3"]
    made = Session().units().images(names).presentations(np.array([2, 10, 1, 3])[ORDER])
    assert_shown(made.read(tmp_path))


def test_whole_numbers_that_may_count_from_0_or_1_are_asked(tmp_path):
    ids = np.array([1, 2, 1, 2, 2, 1, 1, 2])
    made = stack_session(PICTURES, ids)
    assert refusal(made, tmp_path).endswith("set columns.number_from to one of: 0, 1")
    assert_shown(made.read(tmp_path, number_from=0), ids)
    assert_shown(made.read(tmp_path, number_from=1), ids - 1)


def test_an_id_without_an_image(tmp_path):
    made = Session().units().images().presentations(["x", *named()[1:]])
    text = refusal(made, tmp_path)
    assert "1 values of stimulus_id have no image among the 4 of /stimulus/templates/images, such as x" in text


def test_a_list_for_images_from_python_is_an_error_of_one_line(tmp_path):
    made = Session().units().images().presentations(named())
    assert "option 'images' is ['a']" in refusal(made, tmp_path, images=["a"])


# --- names of frames --------------------------------------------------------------------------------------------------


def test_frames_have_the_names_of_their_control_descriptions(tmp_path):
    made = Session().units().presentations(named())
    made.nwb.add_stimulus_template(named_frames("stack", PICTURES, NAMES))
    recording = made.read(tmp_path)
    assert_shown(recording)
    assert recording.image_ids == list(NAMES)


def test_control_descriptions_that_repeat_are_no_names(tmp_path):
    made = Session().units().presentations(ORDER)
    series = ImageSeries(
        name="stack",
        data=PICTURES,
        control=np.array([0, 1, 0, 1], "uint8"),
        control_description=["face", "scene"],
        rate=1.0,
        unit="n.a.",
    )
    made.nwb.add_stimulus_template(series)
    assert_shown(made.read(tmp_path))


def stimuli(**columns):
    return table("stimuli", columns, DynamicTable)


def test_frames_have_the_names_of_a_table_beside_them(tmp_path):
    made = stack_session(PICTURES, named())
    made.nwb.add_scratch(stimuli(image=list(NAMES), kind=["x", "y"] * 2))
    recording = made.read(tmp_path)
    assert_shown(recording)
    assert recording.image_ids == list(NAMES)


def test_of_two_columns_of_names_one_is_chosen(tmp_path):
    made = stack_session(PICTURES, named())
    made.nwb.add_scratch(stimuli(image=list(NAMES), other=list(NAMES[::-1])))
    text = refusal(made, tmp_path)
    assert text.endswith("set columns.image_names to one of: scratch/stimuli/image, scratch/stimuli/other")
    assert_shown(made.read(tmp_path, image_names="stimuli/image"))
    assert "which is 0 columns" in refusal(made, tmp_path, image_names="stimuli/third")


def test_numbers_that_a_table_gives_another_order_are_asked(tmp_path):
    numbers = np.array([2, 0, 3, 1])
    made = stack_session(PICTURES, numbers[ORDER])
    made.nwb.add_scratch(stimuli(stimulus_id=numbers))
    text = refusal(made, tmp_path)
    assert text.endswith("set columns.image_names to one of: scratch/stimuli/stimulus_id")
    assert_shown(made.read(tmp_path, image_names="scratch/stimuli/stimulus_id"))
    assert_shown(made.read(tmp_path, number_from=0), numbers[ORDER])


# --- tables of stimuli ------------------------------------------------------------------------------------------------


def test_numbers_are_looked_up_in_a_table_of_stimuli(tmp_path):
    made = Session().units().images().presentations(ORDER + 1)
    rows = [3, 1, 0, 2]
    made.nwb.create_processing_module("task", "task").add(
        stimuli(
            stimulus_id=np.array(rows) + 1,
            filename=[f"{NAMES[k]}.png" for k in rows],
            category=["face", "scene"] * 2,
        )
    )
    recording = made.read(tmp_path)
    assert_shown(recording)
    np.testing.assert_array_equal(counted(recording), true_counts())


def test_a_table_of_stimuli_that_is_named(tmp_path):
    made = Session().units().images().presentations(ORDER)
    made.nwb.add_scratch(stimuli(first=list(NAMES), second=list(NAMES[::-1])))
    assert "columns.stimulus_name" in refusal(made, tmp_path, stimulus_table="stimuli")
    assert_shown(made.read(tmp_path, stimulus_table="stimuli", stimulus_name="first"))
    assert_shown(made.read(tmp_path, stimulus_table="stimuli", stimulus_name="second"), 3 - ORDER)
    assert "of which there are 0; tables are /scratch/stimuli" in refusal(made, tmp_path, stimulus_table="other")
    assert "has no column third but first, second" in refusal(
        made, tmp_path, stimulus_table="stimuli", stimulus_name="third"
    )


def test_columns_of_a_table_of_stimuli_that_disagree_are_asked(tmp_path):
    made = Session().units().images().presentations(ORDER)
    made.nwb.add_scratch(stimuli(stimulus_id=[0, 1, 2, 3], first=list(NAMES), second=list(NAMES[::-1])))
    assert refusal(made, tmp_path).endswith("set columns.stimulus_name to one of: first, second")
    assert_shown(made.read(tmp_path, stimulus_name="second"), 3 - ORDER)


def test_a_table_of_stimuli_without_a_row_for_an_id(tmp_path):
    made = Session().units().images().presentations(ORDER)
    made.nwb.add_scratch(stimuli(stimulus_id=[0, 1, 2, 7], image=list(NAMES)))
    assert "has no row for 3" in refusal(made, tmp_path, stimulus_table="stimuli")


def test_external_files_are_known_without_reading_the_session(tmp_path):
    """They rerun the reading rule when they change."""
    names = ["pictures/two.png", "pictures/one.png"]
    made = Session().units().presentations(ORDER)
    made.nwb.add_stimulus_template(external_files("shown", names))
    made.nwb.add_acquisition(external_files("eye", ["eye.avi"]))
    path = made.write(tmp_path)
    source = NwbFile("s1", {"file": str(path)})
    assert source.attachments() == [str(tmp_path / name) for name in names]
    source.check(named=False)
    path.write_text("no longer a file of HDF5")
    assert source.attachments() == []
