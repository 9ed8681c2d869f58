"""Stimulus ids mean one image each, or are refused with the key that decides."""

import numpy as np
import pytest

from v4egg.errors import V4eggError
from v4egg.images.names import match_names, natural_order

UNPADDED = natural_order(f"img_{k}" for k in range(12))
FROM_ONE = natural_order(f"img_{k}" for k in range(1, 13))
SHUFFLED = [f"img_{k}" for k in (3, 0, 2, 1)]
TWO_FOLDERS = ["faces/001.png", "faces/002.png", "scenes/001.png"]


def match(ids, names, *, ordered=False, **options):
    return match_names(ids, names, ordered=ordered, where="s.nwb: stimulus_id", **options)


def test_natural_order_counts_numbers_by_value_and_folders_one_by_one():
    assert natural_order(["b/2.png", "a10.png", "a9.png", "B/10.png", "a/1.png", "a2.png"]) == [
        "a/1.png", "a2.png", "a9.png", "a10.png", "b/2.png", "B/10.png",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("ids", "names", "expected"),
    [
        ([0, 2, 10, 11], UNPADDED, [0, 2, 10, 11]),
        ([1, 2, 12], FROM_ONE, [0, 1, 11]),
        ([3, 5], FROM_ONE, [2, 4]),
        (["3", "10.0"], UNPADDED, [3, 10]),
        ([3.0, np.int64(5)], UNPADDED, [3, 5]),
        ([2], ["run1/img_001.png", "run1/img_002.png"], [1]),
        ([2, 1], ["img1/img1.png", "img2/img2.png"], [1, 0]),
        ([3, 10], ["a/set2_img_3.png", "b/set2_img_10.png"], [0, 1]),
        ([1, 3], ["run1/img_1.png", "run1/img_2.png", "run2/img_3.png"], [0, 2]),
        ([2, 1], ["1_cat.png", "2_dog.png"], [1, 0]),
        ([7, 3], ["blank.png", "x3.png", "x7.png"], [2, 1]),
        ([1, 2], ["1", "2", "img_2024_05"], [0, 1]),
        (["007", "7"], ["007.png", "7.png"], [0, 1]),
        (["001"], ["img_001.png", "img_002.png"], [0]),
    ],
)
def test_the_number_in_the_name_wins_where_no_order_is_stated(ids, names, expected):
    assert match(ids, names) == expected


@pytest.mark.parametrize(
    ("ids", "names", "expected", "warned"),
    [
        ([0, 2, 2], [None] * 4, [0, 2, 2], False),
        ([1, 2, 4], [None] * 4, [0, 1, 3], True),
        ([0, 3], ["cherry", "apple", "fig", "date"], [0, 3], False),
        ([0, 7], ["cherry", "apple"], [0, None], False),
        ([5, 7], [None] * 4, [None, None], False),
        ([0, 2], ["coco_391895", "coco_12", "coco_77"], [0, 2], False),
        ([1, 0, 11], UNPADDED, [1, 0, 11], False),
        ([12, 1], FROM_ONE, [11, 0], False),
    ],
)
def test_positions_in_a_stated_order(ids, names, expected, warned):
    warnings = []
    assert match(ids, names, ordered=True, warnings=warnings) == expected
    assert bool(warnings) == warned


@pytest.mark.parametrize(
    ("ids", "names", "ordered", "words"),
    [
        ([1, 2, 3], [None] * 4, True, "from 1 to 3 of 4 images, which may count from 0 or from 1; set number_from"),
        ([0, 1], SHUFFLED, True, "stimulus 0 is the number of image img_0, but .* is img_3; set number_from to name"),
        ([1, 2], FROM_ONE, True, "stimulus 1 is the number of image img_1, but .* from 0, is img_2"),
        ([0, 1], FROM_ONE, False, "stimulus 0 is the number of no image .* a blank, or set number_from"),
        ([0, 1], FROM_ONE, True, "stimulus 0 is the number of no image"),
        ([0, 1], ["apple", "fig"], False, "no stated order .* set number_from"),
        ([0, 1], ["coco_391895", "coco_12"], False, "no stated order .* set number_from"),
        ([1], TWO_FOLDERS, False, "fits several images, faces/001.png, scenes/001.png"),
        ([1], ["1.png", "01.png"], False, "fits several images, 1.png, 01.png"),
        ([1, 3], ["img_1_v1", "img_1_v2", "img_3_v1"], False, "no stated order"),
    ],
)
def test_whole_numbers_that_can_be_read_in_several_ways_are_refused(ids, names, ordered, words):
    with pytest.raises(V4eggError, match=words) as caught:
        match(ids, names, ordered=ordered)
    assert str(caught.value).startswith("s.nwb: stimulus_id")


@pytest.mark.parametrize(
    ("number_from", "ids", "names", "expected"),
    [
        (0, [0, 1, 3], SHUFFLED, [0, 1, 3]),
        (1, [1, 2, 4], SHUFFLED, [0, 1, 3]),
        ("name", [0, 1, 3], SHUFFLED, [1, 3, 0]),
        (1, [1, 2, 3], [None] * 4, [0, 1, 2]),
        (0, [1, 2, 3], [None] * 4, [1, 2, 3]),
        (1, [0, 1, 5], [None] * 4, [None, 0, None]),
        (0, [1], ["apple", "fig"], [1]),
        (0, [0, 1], FROM_ONE, [0, 1]),
        ("name", [1, 99], FROM_ONE, [0, None]),
    ],
)
def test_number_from_decides(number_from, ids, names, expected):
    assert match(ids, names, ordered=True, number_from=number_from) == expected


def test_numbers_in_names_that_have_none_are_refused():
    with pytest.raises(V4eggError, match="number_from is name, but not each"):
        match([1], ["apple", "fig"], number_from="name")


@pytest.mark.parametrize(
    ("ids", "names", "expected"),
    [
        (["faces/001.png", "scenes/001.png"], TWO_FOLDERS, [0, 2]),
        (["scenes\\001.png", "faces\\001"], TWO_FOLDERS, [2, 0]),
        (["002.png"], TWO_FOLDERS, [1]),
        (["/home/lab/stim/faces/002.png", "C:\\stim\\scenes\\001.png"], TWO_FOLDERS, [1, 2]),
        (["a.png", "a.jpg"], ["a.jpg", "a.png"], [1, 0]),
        (["a.png"], ["x/a.png", "a.png"], [1]),
        (["x/a.png"], ["a.png", "x/a.png"], [1]),
        (["a"], ["a", "a.png"], [0]),
        (["folder/b.png"], ["a", "b"], [1]),
        (["A.PNG", "b"], ["a.png", "B.png"], [0, 1]),
        (["A.png", "a.png"], ["a.png", "A.png"], [1, 0]),
        (["cat.v1"], ["cat.v1.png", "cat.v2.png"], [0]),
        (["caf\u00e9"], ["cafe\u0301.png"], [0]),  # one letter, or a letter and its accent
        (["a", "nothing"], ["a.png"], [0, None]),
        (["other/001.png"], TWO_FOLDERS, [None]),
        (["a", 3], ["3.png", "a.png"], [1, 0]),
        (["a", "a ", b"a"], ["a.png"], [0, 0, 0]),
    ],
)
def test_names_and_paths(ids, names, expected):
    assert match(ids, names) == expected


@pytest.mark.parametrize(
    ("ids", "names", "words"),
    [
        (["001.png"], TWO_FOLDERS, "001.png fits several images, faces/001.png, scenes/001.png"),
        (["a"], ["a.png", "a.jpg"], "stimulus a fits several images, a.png, a.jpg; give more of the path"),
        (["img"], ["Img.png", "IMG.png"], "img fits several images"),
        (["faces/1.png", "scenes/1.png"], ["1.png", "2.png"], "faces/1.png and scenes/1.png would both be the image"),
        (["a.png", "a.jpg"], ["a.png"], "a.png and a.jpg would both be the image a.png"),
    ],
)
def test_names_that_fit_several_images_are_refused(ids, names, words):
    with pytest.raises(V4eggError, match=words):
        match(ids, names)


def test_another_suffix_is_taken_with_a_warning():
    warnings = []
    assert match(["cat.jpg"], ["cat.png", "dog.png"], warnings=warnings) == [0]
    assert warnings == ["s.nwb: stimulus_id: stimulus cat.jpg is taken to be the image cat.png, of another suffix"]
