"""The simulated brain, and sessions simulated with it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nwbinspector import Importance, inspect_nwbfile

from v4egg.errors import V4eggError
from v4egg.images.photographs import photograph_crops
from v4egg.io import stores
from v4egg.recordings.readers.nwb import read_nwb
from v4egg.simulation import wiring
from v4egg.simulation.brain import SimulatedBrain, load_brain
from v4egg.simulation.session import expected_counts, simulate
from v4egg.simulation.spikes import COUNT_WINDOW, IMAGES_A_TRIAL, OFF_TIME, ON_TIME, draw_schedule, draw_spikes

SIZE = 40
SESSION = {
    "n_units": 8,
    "n_silent": 1,
    "n_unreliable": 1,
    "n_images": 24,
    "n_test_images": 6,
    "repeats": (2, 4),
    "test_repeats": 8,
    "image_size": SIZE,
    "seed": 3,
}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated")
    simulate(folder / "sim.nwb", folder / "brain.zarr", "sim", **SESSION)
    return folder


@pytest.fixture(scope="module")
def brain(session):
    return load_brain(session / "brain.zarr")


@pytest.fixture(scope="module")
def recording(session):
    return read_nwb(session / "sim.nwb", "sim")


@pytest.fixture(scope="module")
def crops():
    return torch.from_numpy(photograph_crops(60, SIZE, "fit", "test crops")[0]).float() / 255


def count(recording, window=COUNT_WINDOW):
    """Spike counts (trial, unit) in a window after onset."""
    onset = recording.trials["onset"].to_numpy()
    edges = [np.searchsorted(times, onset[:, None] + window) for times in recording.spikes.values()]
    return np.stack([pair[:, 1] - pair[:, 0] for pair in edges], axis=1)


def test_counts_are_those_of_cortex(brain, crops):
    responses = brain(crops)
    mean = responses.mean(dim=0)
    assert (responses > 0).all()
    assert ((mean > 0.8) & (mean < 7)).all()
    assert (responses.max(dim=0).values / mean).median() > 2.5


def test_calibration_meets_its_targets(brain):
    """On the reference crops themselves the mean is 1.5 to 4.5 and the best crop 4.5 to 9 times the mean."""
    reference = photograph_crops(1000, SIZE, "fit", "simulated brain reference")[0]
    expected = expected_counts(brain, reference)
    mean = expected.mean(axis=0)
    assert ((mean > 1.49) & (mean < 4.51)).all()
    peaks = expected.max(axis=0) / mean
    assert ((peaks > 4.4) & (peaks < 9.1)).all()


def test_paired_agrees_with_forward(brain, crops):
    units = torch.tensor([0, 3, 3, 7])
    together = brain(crops[:4])
    torch.testing.assert_close(brain.paired(crops[:4], units), together[torch.arange(4), units])
    torch.testing.assert_close(brain(crops[:4], torch.tensor([5, 2])), together[:, [5, 2]])


def test_responses_do_not_depend_on_the_batch(brain, crops):
    torch.testing.assert_close(brain(crops[:7])[4:5], brain(crops[4:5]))


def test_images_of_any_size_are_resized(brain, crops):
    large = torch.nn.functional.interpolate(crops[:20], (2 * SIZE, 2 * SIZE), mode="bilinear")
    same, resized = brain(crops[:20]).flatten(), brain(large).flatten()
    assert torch.corrcoef(torch.stack((same, resized)))[0, 1] > 0.95


@pytest.mark.parametrize("size", [41, 56, 57, 100])
def test_any_image_size_can_be_the_brains(size):
    brain = SimulatedBrain(2, size, 0, calibrate=False)
    assert brain(torch.rand(2, 3, 30, 30)).shape == (2, 2)


def test_gradient_agrees_with_finite_differences(brain, crops):
    double = SimulatedBrain(8, SIZE, 3, calibrate=False).double()
    double.load_state_dict({name: value.double() for name, value in brain.state_dict().items()})
    image = crops[:1].double().requires_grad_()
    response = double(image)[0]
    direction = torch.randn(image.shape, generator=torch.Generator().manual_seed(0)).double()
    for unit in range(8):
        (gradient,) = torch.autograd.grad(response[unit], image, retain_graph=True)
        step = 1e-5
        with torch.no_grad():
            up, down = (double(image + sign * step * direction)[0, unit] for sign in (1, -1))
        torch.testing.assert_close((gradient * direction).sum(), (up - down) / (2 * step), rtol=1e-4, atol=1e-6)


def test_every_unit_can_be_driven_by_gradient_from_grey(brain):
    """From a near-grey image, ascent raises each unit at least twofold: no unit is dead, and the change is local."""
    units = torch.arange(8)
    image = 0.5 + 0.03 * torch.randn(8, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    start = brain.paired(image, units)
    for _ in range(30):
        image.requires_grad_()
        (gradient,) = torch.autograd.grad(brain.paired(image, units).log().sum(), image)
        gradient = gradient / gradient.flatten(1).norm(dim=1)[:, None, None, None]
        image = (image + 0.6 * gradient).detach().clamp(0, 1)
    assert (brain.paired(image, units) > 2 * start).all()


def test_receptive_fields_are_local(brain, crops):
    """What lies far from a unit's receptive field changes its response little."""
    unit = wiring.draw_unit(3, 0)
    places = (torch.arange(SIZE) + 0.5) / SIZE
    far = ((places[None] - unit.centre[0]).abs() > 4 * unit.size) | (
        (places[:, None] - unit.centre[1]).abs() > 4 * unit.size
    )
    assert far.any()
    image = crops[:30].clone()
    index = torch.zeros(1, dtype=torch.long)
    before = brain(image, index)
    image[:, :, far] = image.flip(0)[:, :, far]
    assert (brain(image, index) - before).abs().mean() < 0.5 * before.std()


def test_a_unit_does_not_depend_on_the_population():
    few, many = (SimulatedBrain(n, SIZE, 5, calibrate=False).state_dict() for n in (2, 4))
    torch.testing.assert_close(few["channel_weights"], many["channel_weights"][:2])
    torch.testing.assert_close(few["profile_x"], many["profile_x"][:2])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), unit=st.integers(0, 500))
def test_wiring_is_sound(seed, unit):
    drawn = wiring.draw_unit(seed, unit)
    assert drawn.weights.shape == (wiring.PARTS + 1, wiring.CHANNELS)
    assert (drawn.weights >= 0).all()
    np.testing.assert_allclose(drawn.weights[: wiring.PARTS].sum(axis=1), 1)
    np.testing.assert_allclose(drawn.exponents.sum(), 1)
    assert 0.08 <= drawn.size <= 0.18
    assert (np.abs(drawn.offsets) <= 2.5 * drawn.size).all()


def test_a_saved_brain_is_restored_exactly(session, brain, crops):
    fresh = SimulatedBrain(8, SIZE, 3, "sim")
    assert brain.units == fresh.units
    torch.testing.assert_close(brain(crops[:3]), fresh(crops[:3]), rtol=1e-4, atol=1e-5)
    again = load_brain(session / "brain.zarr")
    assert torch.equal(again(crops[:3]), brain(crops[:3]))


def test_weights_of_something_else_are_no_brain(tmp_path):
    stores.save_weights(torch.nn.Linear(2, 2).state_dict(), tmp_path / "linear.zarr")
    with pytest.raises(V4eggError, match="not those of a simulated brain"):
        load_brain(tmp_path / "linear.zarr")
    attrs = {"n_units": 1, "image_size": 56, "brain_seed": 0, "session": "s"}
    stores.save_weights(torch.nn.Linear(2, 2).state_dict(), tmp_path / "other.zarr", attrs=attrs)
    with pytest.raises(V4eggError, match="a simulated brain of another version"):
        load_brain(tmp_path / "other.zarr")


def test_an_impossible_brain_is_refused():
    with pytest.raises(V4eggError, match="n_units of at least 1"):
        SimulatedBrain(0, 56, 0)
    with pytest.raises(V4eggError, match="image_size of at least 40"):
        SimulatedBrain(1, 20, 0)


def test_schedule_keeps_protocol_and_repeats():
    repeats = np.array([3, 1, 2] * 20)
    schedule = draw_schedule(repeats, ("schedule",))
    np.testing.assert_array_equal(np.bincount(schedule.image), repeats)
    assert np.bincount(schedule.trial).max() == IMAGES_A_TRIAL
    between = np.diff(schedule.onset)
    within = np.diff(schedule.trial) == 0
    assert (between >= ON_TIME + OFF_TIME - 1e-9).all()
    assert between[within].max() < 0.22
    assert between[~within].min() > 0.5
    assert len(schedule.gain) == schedule.trial[-1] + 1


def test_expected_count_is_the_brains_output_and_nothing_carries_over():
    """Strong and weak images in turn: over many presentations each has its own mean count, whatever came before."""
    schedule = draw_schedule(np.array([4000, 4000]), ("law",))
    expected = np.array([0.5, 8.0])
    times = draw_spikes(expected, 0.3, schedule, ("law", 0))
    start, stop = (np.searchsorted(times, schedule.onset + edge) for edge in COUNT_WINDOW)
    counts = stop - start
    previous = np.concatenate([[0], schedule.image[:-1]])
    for image in (0, 1):
        for before in (0, 1):
            chosen = counts[(schedule.image == image) & (previous == before)]
            error = chosen.std() / np.sqrt(len(chosen)) + 0.01 * expected[image]  # the trials' gains are shared
            assert abs(chosen.mean() - expected[image]) < 4 * error


def test_counts_follow_the_brain(recording, brain):
    counts = count(recording)
    truth = expected_counts(brain, recording.images)[recording.trials["image"].to_numpy()]
    correlations = [np.corrcoef(counts[:, i], truth[:, i])[0, 1] for i in range(8)]
    assert min(correlations) > 0.25
    assert np.median(correlations) > 0.6
    assert abs(counts[:, :8].sum() / truth.sum() - 1) < 0.1


def test_silent_and_unreliable_units(recording):
    assert len(recording.units) == 10
    assert len(recording.spikes["sim-u008"]) == 0
    counts = count(recording)[:, 9]
    by_image = [counts[recording.trials["image"] == image] for image in range(30)]
    between = np.var([part.mean() for part in by_image])
    within = np.mean([part.var(ddof=1) / len(part) for part in by_image])
    assert counts.mean() > 0.5
    assert between < 2 * within


def test_images_and_repeats_are_as_asked(recording):
    fit, _ = photograph_crops(24, SIZE, "fit", ("simulated session", 3, "sim"))
    test, _ = photograph_crops(6, SIZE, "test", ("simulated session", 3, "sim"))
    np.testing.assert_array_equal(recording.images, np.concatenate([fit, test]))
    repeats = np.bincount(recording.trials["image"], minlength=30)
    assert set(repeats[:24]) <= {2, 3, 4}
    assert set(repeats[24:]) <= {7, 8, 9}
    assert recording.image_ids[23:25] == ["fit_00023", "test_00000"]


def test_the_same_seed_gives_the_same_data(session, recording, tmp_path, monkeypatch, brain):
    monkeypatch.setattr("v4egg.simulation.session.SimulatedBrain", lambda *_: brain)  # calibration is the slow part
    simulate(tmp_path / "b.nwb", tmp_path / "b.zarr", "sim", **SESSION)
    simulate(tmp_path / "c.nwb", tmp_path / "c.zarr", "sim", **SESSION | {"seed": 4})
    again, other = (read_nwb(tmp_path / name, "sim") for name in ("b.nwb", "c.nwb"))
    assert again.trials.equals(recording.trials)
    for unit in recording.spikes:
        np.testing.assert_array_equal(again.spikes[unit], recording.spikes[unit])
    assert not np.array_equal(other.images, recording.images)
    assert not list(tmp_path.glob("*.tmp"))


def test_the_file_passes_nwbinspector(session):
    messages = list(inspect_nwbfile(nwbfile_path=session / "sim.nwb"))
    assert [m for m in messages if m.importance.value >= Importance.BEST_PRACTICE_VIOLATION.value] == []


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch, brain):
    def fail(*_):
        raise RuntimeError("disk full")

    monkeypatch.setattr("v4egg.simulation.session.SimulatedBrain", lambda *_: brain)
    monkeypatch.setattr("v4egg.simulation.nwb_writing.NWBHDF5IO.write", fail)
    with pytest.raises(RuntimeError, match="disk full"):
        simulate(tmp_path / "b.nwb", tmp_path / "b.zarr", "sim", **SESSION)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "change", [{"n_units": 0}, {"n_images": 0}, {"n_silent": -1}, {"repeats": (3, 2)}, {"repeats": (0, 2)}]
)
def test_impossible_sessions_are_refused(tmp_path, change):
    with pytest.raises(V4eggError, match="correct these numbers"):
        simulate(tmp_path / "a.nwb", tmp_path / "a.zarr", "sim", **SESSION | change)


def test_too_few_test_repeats_are_refused(tmp_path):
    with pytest.raises(V4eggError, match="test_repeats is 1"):
        simulate(tmp_path / "a.nwb", tmp_path / "a.zarr", "sim", **SESSION | {"test_repeats": 1})
