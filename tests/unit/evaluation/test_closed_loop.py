"""The closed loop: equal arms at the start, noisy answers, and encoders that learn from what they promised wrongly."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from small_models import ARCHITECTURE
from v4egg.encoders.training import train_member
from v4egg.encoders.training_data import TrainingSession
from v4egg.errors import V4eggError
from v4egg.evaluation.closed_loop import closed_loop, present, with_new
from v4egg.images.processing import to_float

UNITS = ["sim-u000", "sim-u001"]
OPTIONS = {
    "size": 8, "channels": 3, "loss": "poisson", "epochs": 4, "batch_size": 16, "learning_rate": 0.01,
    "weight_decay": 0.0, "shift": 0, "noise": 0.0, "adversarial": 0.0, "ema_decay": 0.0, "patience": 0,
    "rounds": 2, "repeats": 6, "oversample": 4,
}  # fmt: skip


class Brain(nn.Module):
    """Unit 0 likes red, unit 1 blue; 1 to 9 spikes."""

    units = UNITS

    def forward(self, images, units):
        return 1 + 8 * images.mean((2, 3))[:, [0, 2]][:, units]

    def paired(self, images, units):
        return (1 + 8 * images.mean((2, 3))[:, [0, 2]])[torch.arange(len(images)), units]


def colours(n, key, low=0, high=255):
    return np.random.default_rng(key).integers(low, high, (n, 3, 1, 1)).astype(np.uint8).repeat(8, 2).repeat(8, 3)


@pytest.fixture(scope="module")
def trained():
    """Encoders that have seen dark images only, and their session; silent unit sim-u009 is nobody's."""
    images = colours(120, 0, high=110)
    counts = Brain()(to_float(images), torch.arange(2)).numpy()
    units = [*UNITS, "sim-u009"]
    counts = np.c_[counts, np.full(len(counts), 2.0)].astype(np.float32)
    session = TrainingSession(
        "sim", units, images, counts, np.ones(counts.shape, np.float32), np.arange(96), np.arange(96, 120)
    )
    responses = SimpleNamespace(
        session="sim",
        units=units,
        selected_units=units,
        selected=np.ones(3, bool),
        mean_count=counts.mean(0),
        sd_count=counts.std(0),
    )
    members = []
    for i in range(2):
        member, _ = train_member([session], ARCHITECTURE, OPTIONS | {"epochs": 3}, seed=i)
        member.arch, member.member, member.role = "attention", f"m{i}", "generator"
        members.append(member)
    return members, session, responses


def favourites(ensemble, round_index):
    """For each unit the two of 40 candidate colours that the ensemble likes best: synthesis without a gradient."""
    candidates = to_float(colours(40, round_index))
    with torch.no_grad():
        order = ensemble(candidates)[:, :2].argsort(0, descending=True)[:2]
    return candidates[order.T].numpy()


def loop(trained, **options):
    members, session, responses = trained
    natural = colours(20, 99, high=110)
    arguments = (session.images[:30], UNITS, favourites, natural, OPTIONS | options)
    return closed_loop(members, Brain(), [session], responses, *arguments, seed=1)


def test_both_arms_start_alike_and_see_equally_much(trained):
    found = loop(trained, rounds=1, epochs=1)
    assert found["image"].shape == (2, 2, 2, 3, 8, 8)
    assert found["presentations"].values.tolist() == [0, 24]  # 2 units x 2 samples x 6 presentations
    assert np.array_equal(found["image"].sel(arm="natural", round=0), found["image"].sel(arm="synthesised", round=0))
    red = found["image"].sel(unit="sim-u000")[..., 0, :, :].mean(("y", "x"))
    assert np.allclose(found["activation"].sel(unit="sim-u000"), 1 + 8 * red, atol=1e-4)
    again = loop(trained, rounds=1, epochs=1)
    assert all(np.array_equal(found[name], again[name]) for name in found)


def test_no_target_unit_is_one_line(trained):
    members, session, responses = trained
    with pytest.raises(V4eggError, match="no target unit is of session sim"):
        closed_loop(members, Brain(), [session], responses, session.images, [], favourites, colours(2, 0), OPTIONS)


def test_encoders_learn_from_the_answers_to_their_own_images(trained):
    members, session, _ = trained
    before = [{name: tensor.clone() for name, tensor in member.state_dict().items()} for member in members]
    found = loop(trained)
    error = abs(found["predicted"] - found["activation"]).mean("unit")
    assert error.sel(arm="synthesised").values[-1] < 0.5 * error.sel(arm="synthesised").values[0]
    for member, state in zip(members, before, strict=True):
        assert all(torch.equal(state[name], tensor) for name, tensor in member.state_dict().items())
    assert len(session.images) == 120


@pytest.mark.parametrize("loss", ["poisson", "mse"])
def test_what_was_shown_joins_the_training_images_and_nothing_else_changes(trained, loss):
    _, session, responses = trained
    some = {"selected": np.array([True, True, False]), "selected_units": responses.units[:2]}
    responses = SimpleNamespace(**{**vars(responses), **some})
    session = replace(session, target=session.target[:, :2], trials=session.trials[:, :2])
    counts = np.array([[[2.0, 4.0], [4.0, 8.0]]], np.float32)  # one image, two trials
    after = with_new(session, colours(1, 7), counts, responses, OPTIONS | {"loss": loss})
    expected = np.array([3.0, 6.0])
    if loss == "mse":
        expected = (expected - responses.mean_count[:2]) / responses.sd_count[:2]
    assert np.allclose(after.target[120], expected)
    assert after.trials[120].tolist() == [2, 2]
    assert np.array_equal(after.images[120], colours(1, 7)[0])
    assert after.train.tolist() == [*range(96), *[120] * OPTIONS["oversample"]]
    assert np.array_equal(after.validation, session.validation)
    assert len(session.images) == 120


def test_counts_are_noisy_around_the_true_response(trained):
    responses = trained[2]
    images = colours(3, 5)
    counts = present(Brain(), images, responses, 4000, ("key",))
    expected = Brain()(to_float(images), torch.arange(2)).numpy()
    assert counts.shape == (3, 4000, 3)
    assert np.allclose(counts[:, :, :2].mean(1), expected, rtol=0.05)
    assert (counts[:, :, :2].var(1) > counts[:, :, :2].mean(1)).all()  # Poisson, and the gain of the trial
    assert np.allclose(counts[:, :, 2].mean(1), responses.mean_count[2], rtol=0.05)
    assert np.array_equal(counts, present(Brain(), images, responses, 4000, ("key",)))
