"""Distillation: a teacher of the students' own kind is learned, company changes nothing, and splits stay apart."""

import numpy as np
import pandas as pd
import pytest
import torch

from compact_nets import active_network
from v4egg.compact import students as students_module
from v4egg.compact.distillation import centred_pixels, compact_networks, r2_to_teacher, responses_of, smooth, train
from v4egg.compact.model import STAGES, load_compact_models
from v4egg.compact.network import CompactModels
from v4egg.compact.shared import SharedStudents, shared_students
from v4egg.compact.students import Students, new_network
from v4egg.compact.teacher import DistillationDataset, load_distillation_dataset, teach
from v4egg.compact.views import SPLITS, draw_view, duplicate_groups, make_view, split_groups
from v4egg.encoders.ensemble import Ensemble
from v4egg.errors import V4eggError
from v4egg.evaluation.compact_scores import compact_dataset, gather_compact, shared_dataset
from v4egg.io import stores
from v4egg.io.checkpoints import Checkpoint
from v4egg.recordings.recording import Recording
from v4egg.recordings.responses import Responses
from v4egg.seeding import numpy_generator

SIZE = 12
UNITS = ["s-u000", "s-u001", "s-u002"]
OPTIONS = {
    "widths": [6, 6, 6, 6, 6],
    "batch_size": 8,
    "sample": 1.0,
    "smoothing": 0,
    "distillation": {"epochs": 5, "learning_rate": 0.01},
    "retraining": {"epochs": 2, "learning_rate": 0.005},
    "keep_r2": 0.9,
    "keep_output": 0.9,
    "units_at_once": 3,
}
VIEWS = {"size": SIZE, "views": 2, "scale": 0.6, "contrast": 0.5, "mirror": True, "pruning": 0.2, "test": 0.2}


def pictures(n, size=SIZE, key="pictures"):
    """Blocks that vary around a colour of the picture's own."""
    draw = numpy_generator(key)
    blocks = draw.integers(40, 216, (n, 3, 1, 1)) + draw.integers(-40, 40, (n, 3, 4, 4))
    return blocks.astype(np.uint8).repeat(size // 4, 2).repeat(size // 4, 3)


@pytest.fixture(scope="module")
def dataset():
    """Responses to 200 pictures of three units that like one colour each."""
    images = pictures(200)
    colours = images.mean((2, 3))
    split = np.array(["fit"] * 128 + ["pruning"] * 36 + ["test"] * 36)
    responses = (colours / 20 - 3).astype(np.float32)
    return DistillationDataset(images, responses, split, np.arange(200), UNITS)


@pytest.fixture(scope="module")
def made(dataset):
    return compact_networks(dataset, OPTIONS, 0)


def test_students_learn_and_pruning_shrinks_them(dataset, made):
    networks, seconds = made
    untrained = [new_network(OPTIONS["widths"], SIZE, (2, 2, 1, 1), 0, unit) for unit in UNITS]
    distilled, retrained = (np.median(r2_to_teacher(networks[stage], dataset)) for stage in ("distilled", "retrained"))
    assert distilled > np.median(r2_to_teacher(untrained, dataset)) + 0.2
    assert distilled > 0.5
    assert retrained > 0.8 * distilled
    for before, after in zip(networks["distilled"], networks["pruned"], strict=True):
        assert after.parameters_count < before.parameters_count
    assert [n.widths for n in networks["pruned"]] == [n.widths for n in networks["retrained"]]
    assert all(len(seconds[stage]) == 3 for stage in STAGES)


def test_responses_are_in_the_teacher_s_unit(dataset, made):
    images, responses = dataset.part("fit")
    found = responses_of(made[0]["distilled"], images)
    slopes = [np.polyfit(found[:, u], responses[:, u], 1)[0] for u in range(3)]
    assert np.allclose(slopes, 1, atol=0.3)


def test_company_changes_nothing(dataset, monkeypatch):
    monkeypatch.setattr(students_module, "fast_bf16", lambda device: False)  # in bf16 rounding grows from step to step
    short = OPTIONS | {"distillation": {"epochs": 1, "learning_rate": 0.01}}
    together = compact_networks(dataset, short, 0)[0]
    alone = compact_networks(dataset.of([UNITS[1]]), short, 0)[0]
    images = dataset.part("test")[0]
    for stage in ("distilled", "retrained"):
        found, expected = responses_of(alone[stage], images)[:, 0], responses_of(together[stage], images)[:, 1]
        np.testing.assert_allclose(found, expected, atol=1e-2 * expected.std())


def test_interrupted_training_goes_on_to_the_same_result(dataset, tmp_path):
    images, responses = dataset.part("fit")

    def trained(epochs, checkpoint):
        students = Students([new_network((3,) * 5, SIZE, (2, 2, 1, 1), 0)])
        options = OPTIONS | {"distillation": {"epochs": 2, "learning_rate": 0.01}}
        stopping = iter if epochs == 2 else Stopping(epochs)
        try:
            losses = train(students, images, responses[:, :1], "distillation", options, 0, checkpoint, stopping)
        except KeyboardInterrupt:
            return None
        return losses, students.state_dict()

    class Stopping:
        """Progress that breaks off after so many epochs."""

        def __init__(self, epochs):
            self.left = epochs

        def __call__(self, steps):
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            return iter(steps)

    checkpoint = Checkpoint(tmp_path, {"test": 1})
    assert trained(1, checkpoint) is None
    losses, state = trained(2, checkpoint)
    expected, whole = trained(2, None)
    assert losses == expected
    torch.testing.assert_close(state, whole, rtol=0, atol=0)


def test_a_loss_that_explodes_is_said(dataset):
    students = Students([new_network((3,) * 5, SIZE, (2, 2, 1, 1), 0)])
    images, responses = dataset.part("fit")
    options = OPTIONS | {"distillation": {"epochs": 1, "learning_rate": 1e30}}
    with pytest.raises(V4eggError, match=r"lower compact\.distillation\.learning_rate"):
        train(students, images, responses[:, :1], "distillation", options, 0)


def test_smoothing_makes_kernels_smoother():
    students = Students([new_network((6,) * 5, SIZE, (2, 2, 1, 1), 0)])

    def roughness(name):
        maps = students.get_parameter(name).detach()
        return float(maps.diff(dim=-1).square().mean() / maps.square().mean())

    names = ("conv0_weight", "depthwise2", "readout_weight")
    before = {name: roughness(name) for name in names}
    points = students.pointwise1_weight.detach().clone()
    smooth(students)
    assert all(roughness(name) < 0.9 * value for name, value in before.items())
    torch.testing.assert_close(students.pointwise1_weight.detach(), points)


def test_units_share_a_model(dataset):
    images, counts = dataset.images[:40], dataset.responses[:40, None]
    ids, split = [str(i) for i in range(40)], np.array(["test"] * 40)
    known = Responses("s", ids, UNITS, counts, split, *[np.ones(3)] * 4, np.ones(3, bool))
    students = shared_students(dataset, OPTIONS | {"shared": [1, 6]}, 0)
    found = shared_dataset(students, dataset, images, known)
    r2s = found["r2_to_teacher"].median("unit")
    assert (r2s > 0.5).all()
    assert found["parameters"].diff("shared") > 0
    assert (found["correlation_to_average"].sel(shared=6) > 0.6).all()


def test_a_shared_model_is_a_network_for_each_unit():
    students = SharedStudents((3, 3, 3, 4, 4), UNITS, SIZE, 0)
    students.calibrate(centred_pixels(pictures(8)))
    shown = pictures(5, key="shown")
    expected = students(centred_pixels(shown)).detach().numpy()
    np.testing.assert_allclose(responses_of(students.networks(), shown), expected, atol=0.05 * expected.std())


def test_more_jobs_than_units(dataset):
    with pytest.raises(V4eggError, match=r"compact\.jobs"):
        compact_networks(dataset.of([]), OPTIONS, 0)


# pictures and views


def test_groups_lie_in_one_split():
    images = pictures(60)
    images[30:40] = images[:10]  # the same pictures in another session
    groups = duplicate_groups(images, ["a"] * 60)
    assert np.array_equal(groups[30:40], groups[:10])
    split = split_groups(groups, VIEWS, 1)
    assert np.array_equal(split[30:40], split[:10])
    assert set(split) == set(SPLITS)
    assert 0.1 <= np.mean(split == "test") <= 0.3


def test_crops_of_a_photograph_are_one_group():
    groups = duplicate_groups(pictures(6), ["a", "astronaut.png", "a", "astronaut.png", "a", "astronaut.png"])
    assert len(np.unique(groups)) in (4, 6)
    from v4egg.images.photographs import PHOTOGRAPHS

    name = next(iter(PHOTOGRAPHS))
    assert len(np.unique(duplicate_groups(pictures(6), ["a", name, "a", name, "a", name]))) == 4


def test_shared_groups_are_refused(dataset):
    with pytest.raises(V4eggError, match="pictures of group 0 are in both 'fit' and 'pruning'"):
        DistillationDataset(dataset.images, dataset.responses, dataset.split, np.zeros(200, int), UNITS)


def test_views():
    picture = pictures(1, 24)[0]
    whole = make_view(picture, draw_view(0, 0, 24, VIEWS, 1))
    np.testing.assert_allclose(whole.numpy() * 255, picture, atol=1e-3)
    drawn = [draw_view(0, view, 24, VIEWS, 1) for view in range(1, 60)]
    assert all(
        0.6 * 24 - 1 <= view.side <= 24 and view.top + view.side <= 24 >= view.left + view.side for view in drawn
    )
    assert {view.mirrored for view in drawn} == {False, True}
    assert draw_view(0, 3, 24, VIEWS, 1) == drawn[2]
    shown = torch.stack([make_view(picture, view) for view in drawn])
    assert shown.shape == (59, 3, 24, 24)
    assert 0 <= shown.min() < shown.max() <= 1


# the teacher, and what is stored


class Bright(torch.nn.Module):
    """A member whose units respond to one colour each."""

    def __init__(self, units, gain):
        super().__init__()
        self.units, self.gain, self.arch, self.member = units, torch.nn.Parameter(torch.tensor(gain)), "bright", "m0"

    def features(self, images, frozen):
        return images.mean((2, 3))

    def respond(self, features, units):
        return self.gain * features[:, units]

    def index(self, units):
        return torch.tensor([self.units.index(unit) for unit in units])


def teacher_store(tmp_path, checkpoint=None, progress=iter):
    shown = {"s": pictures(5, 24, "shown"), "t": pictures(3, 24, "others")}
    teacher = Ensemble([Bright(UNITS, 1.0), Bright(UNITS, 3.0)])
    result = teach(
        teacher, UNITS[:2], pictures(60, 24), ["s"] * 60, shown, VIEWS, 3, checkpoint=checkpoint, progress=progress
    )
    stores.save(result, tmp_path / "teacher.zarr", "teacher")
    return result, shown


def test_the_teacher_is_asked_about_views_and_test_images(tmp_path):
    result, shown = teacher_store(tmp_path)
    dataset = load_distillation_dataset(tmp_path / "teacher.zarr")
    fit = dataset.split == "fit"
    assert fit.sum() == 2 * len(np.unique(dataset.duplicate_group[fit]))
    assert (~fit).sum() == len(np.unique(dataset.duplicate_group[~fit]))
    mean = dataset.images.mean((2, 3)) / 255
    np.testing.assert_allclose(dataset.responses, 2 * mean[:, :2], atol=0.03)
    of_session = result["session_response"].values[result["session"].values == "t"]
    np.testing.assert_allclose(of_session, 2 * shown["t"].mean((2, 3))[:, :2] / 255, atol=0.03)
    assert result.attrs["parameters"] == 2
    with pytest.raises(V4eggError, match="no unit x"):
        load_distillation_dataset(tmp_path / "teacher.zarr", ["x"])


def test_interrupted_teaching_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr("v4egg.compact.teacher.SAVE_EVERY", 1)
    checkpoint = Checkpoint(tmp_path, {"teach": 1})

    def stopping(steps):
        for step in steps:
            if step == 3:
                raise KeyboardInterrupt
            yield step

    with pytest.raises(KeyboardInterrupt):
        teacher_store(tmp_path, checkpoint, stopping)
    asked = []
    found, _ = teacher_store(tmp_path, checkpoint, lambda steps: asked.append(steps) or steps)
    assert asked[0].start == 3
    assert found["response"].equals(teacher_store(tmp_path)[0]["response"])


def test_a_test_image_among_the_pictures_is_refused():
    images = pictures(60, 24)
    teacher = Ensemble([Bright(UNITS, 1.0)])
    with pytest.raises(V4eggError, match="a test image of a session is among the pictures"):
        teach(teacher, UNITS, images, ["s"] * 60, {"s": images[7:8]}, VIEWS, 0)


def test_stores_of_some_units_gather_to_one(tmp_path, dataset, made):
    units, ids = pd.DataFrame(index=UNITS), list("abcdefghijkl")
    recording = Recording("s", pictures(12, 24, "shown"), units, ids, counts=np.ones((12, 3, 3), np.float32))
    networks, seconds = made
    truth = responses_of(networks["retrained"], recording.images)
    noise = numpy_generator("noise").normal(size=(12, 3, 3)) * truth.std(0) * 0.1
    counts = (truth[:, None] + noise).astype(np.float32)
    known = Responses(
        "s",
        recording.image_ids,
        UNITS,
        counts,
        np.array(["train"] * 4 + ["test"] * 8),
        *[np.ones(3)] * 4,
        np.ones(3, bool),
    )
    teacher = teacher_store(tmp_path)[0].isel(unit=[0, 0, 0]).assign_coords(unit=UNITS)
    teacher = (
        teacher.drop_dims("shown")
        .assign(session_response=(("shown", "unit"), truth[4:]))
        .assign_coords(session=("shown", ["s"] * 8))
    )
    stores.save(teacher, tmp_path / "teacher.zarr", "teacher")
    paths = []
    for batch in range(2):
        rows = list(range(3))[batch::2]
        part = {stage: [found[i] for i in rows] for stage, found in networks.items()}
        time = {stage: [values[i] for i in rows] for stage, values in seconds.items()}
        own = dataset.of([UNITS[i] for i in rows])
        paths.append(tmp_path / f"{batch}.zarr")
        found = compact_dataset(part, time, own, recording, known, tmp_path / "teacher.zarr")
        stores.save(found, paths[-1], "compact")
    published = CompactModels([active_network((3,) * 5, size=SIZE)], ["s-u002"], SIZE)
    whole = gather_compact(paths, published)
    stores.save(whole, tmp_path / "s.zarr", "compact")
    assert whole["unit"].values.tolist() == UNITS
    np.testing.assert_allclose(
        whole["r2_to_teacher"].sel(stage="retrained"), r2_to_teacher(networks["retrained"], dataset)
    )
    assert (whole["correlation_to_average"].sel(stage="retrained") > 0.95).all()
    np.testing.assert_allclose(whole["teacher_r2_er"], whole["r2_er"].sel(stage="retrained"))
    assert whole["published_parameters"].values.tolist() == [0, 0, published.networks[0].parameters_count]
    loaded = load_compact_models(tmp_path / "s.zarr")
    np.testing.assert_allclose(responses_of(list(loaded.networks), recording.images), truth, rtol=1e-4, atol=1e-4)
