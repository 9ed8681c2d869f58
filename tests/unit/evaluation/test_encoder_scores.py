"""Scores by arch, member, split and unit: right values in the right places, NaN where there is nothing to score."""

from dataclasses import replace

import numpy as np
import pytest
from torch import nn

from v4egg.encoders.ensemble import Ensemble
from v4egg.encoders.predictions import predict_session
from v4egg.evaluation.encoder_scores import SPLITS, ScoredSession, score
from v4egg.io import stores
from v4egg.recordings.responses import Responses


class Member(nn.Module):
    """Predicts with the brightness of channel (unit + shift), so that shift 0 is right."""

    def __init__(self, units, name, role, shift):
        super().__init__()
        self.units, self.member, self.role, self.shift = units, name, role, shift
        self.spec = {"output": "identity", "core": {"name": "none"}, "readout": {"name": f"shift{shift}"}}
        self.core = nn.Identity()

    def features(self, images, frozen):
        return images.mean((2, 3))

    def respond(self, features, units):
        return features[:, (units + self.shift) % 3]

    def index(self, units):
        import torch

        return torch.tensor([self.units.index(unit) for unit in units])


def responses(session, counts, split, selected=(True, True, True)):
    n = len(selected)
    mean = np.nanmean(counts, (0, 1)).astype(np.float32)
    return Responses(
        session=session,
        image_ids=[f"i{k}" for k in range(len(counts))],
        units=[f"{session}-u{i:03d}" for i in range(n)],
        counts=counts,
        split=np.array(split),
        reliability=np.ones(n, np.float32),
        signal_to_noise=np.ones(n, np.float32),
        mean_count=mean,
        sd_count=np.nanstd(counts.mean(1), 0).astype(np.float32),
        selected=np.array(selected),
    )


class Shown:
    """A session before its encoders have seen it, and what is known of it."""

    def __init__(self, images, responses, **known):
        self.images, self.responses, self.known = images, responses, known

    def scored(self, ensembles):
        rows = np.concatenate([self.responses.images_of(split) for split in SPLITS])
        predictions = predict_session(ensembles, self.images, self.responses.selected_units, rows)
        return ScoredSession(self.responses, predictions, **self.known)


def scores_of(ensembles, sessions):
    return score([session.scored(ensembles) for session in sessions])


@pytest.fixture
def sessions():
    """Session s1 with repeats, truth and a test split; s2 without any of them but with a yardstick."""
    generator = np.random.default_rng(0)
    images = {s: generator.integers(0, 255, (30, 3, 4, 4), dtype=np.uint8) for s in ("s1", "s2")}
    drive = {s: image.mean((2, 3)) / 20 for s, image in images.items()}
    noisy = (drive["s1"][:, None] + generator.normal(size=(30, 4, 3)) * 0.5).astype(np.float32)
    plain = drive["s2"][:, None].astype(np.float32)
    split = ["train"] * 10 + ["validation"] * 10 + ["test"] * 10
    known = {"truth": drive["s1"][:, [0, 2]]}
    known["baselines"] = {"perfect": drive["s1"][:, [0, 2]], "backwards": -drive["s1"][:, [0, 2]]}
    first = Shown(images["s1"], responses("s1", noisy, split, (True, False, True)), **known)
    second = Shown(images["s2"], responses("s2", plain, ["train"] * 20 + ["validation"] * 10))
    second.known["reference_models"] = {"published_compact": -drive["s2"]}
    return first, second


def ensemble(sessions, shift):
    units = [unit for session in sessions for unit in session.responses.units]
    roles = ["generator", "generator", "validator"]
    return Ensemble([Member(units, f"m{i}", role, shift + (i == 1)) for i, role in enumerate(roles)])


@pytest.fixture
def scored(sessions):
    return scores_of({"right": ensemble(sessions, 0), "wrong": ensemble(sessions, 1)}, sessions)


def test_a_unit_is_scored_on_the_images_that_it_was_recorded_for(sessions):
    first, _ = sessions
    counts = first.responses.counts.copy()
    counts[22:, :, 0], counts[20:27, :, 2] = np.nan, np.nan  # two and three test images are left
    some = Shown(first.images, replace(first.responses, counts=counts), truth=first.known["truth"])
    found = scores_of({"right": ensemble([first], 0)}, [some]).sel(arch="right", split="test")
    for name in ("correlation_to_average", "single_trial_correlation", "feve", "r2_er"):
        lost, kept = found[name].sel(member="ensemble").values
        assert np.isnan(lost) and np.isfinite(kept), name
    assert np.isfinite(found["correlation_to_truth"]).all()
    for name in ("ceiling", "leave_one_out", "explainable_variance", "correlation_by_size"):
        assert np.isnan(found[name].isel(unit=0)).all() and np.isfinite(found[name].isel(unit=1)).all(), name


def test_yardsticks_may_be_missing_from_any_session(sessions, scored):
    first, second = sessions
    third = Shown(first.images, replace(first.responses, session="s3", units=["s3-u0", "s3-u1", "s3-u2"]))
    third.known["reference_models"] = {"published_compact": first.images.mean((2, 3))[:, [0, 2]]}
    found = scores_of({"right": ensemble([first, second, third], 0)}, [second, first, third])
    reference_model = found["reference_model_correlation"].sel(reference_model="published_compact", split="validation")
    assert np.allclose(reference_model.sel(unit=second.responses.selected_units), -1, atol=1e-5)
    assert reference_model.sel(unit=first.responses.selected_units).isnull().all()
    assert (reference_model.sel(unit=third.responses.selected_units) > 0.95).all()
    before = scored["reference_model_correlation"].sel(unit=second.responses.selected_units)
    assert np.allclose(
        found["reference_model_correlation"].sel(unit=second.responses.selected_units), before, equal_nan=True
    )


def test_ensembles_of_each_size(scored):
    """Members m0 and m2 are right and m1 is wrong; of all subsets of two, one is without it."""
    found = scored["correlation_by_size"].sel(arch="right", split="test").isel(unit=slice(0, 2))
    single = scored["correlation_to_average"].sel(arch="right", split="test").isel(unit=slice(0, 2))
    assert list(found["size"].values) == [1, 2, 3]
    assert np.allclose(found.sel(size=1), single.sel(member=["m0", "m1", "m2"]).mean("member"), atol=1e-5)
    pairs = (single.sel(member="m0") + 2 * single.sel(member="generators")) / 3
    assert np.allclose(found.sel(size=2), pairs, atol=1e-5)
    assert np.allclose(found.sel(size=3), single.sel(member="ensemble"), atol=1e-5)
    assert scored["correlation_by_size"].sel(split="test").isel(unit=slice(2, None)).isnull().all()


def test_places_and_labels(scored):
    assert list(scored["unit"].values) == ["s1-u000", "s1-u002", "s2-u000", "s2-u001", "s2-u002"]
    assert list(scored["member"].values) == ["m0", "m1", "m2", "generators", "validators", "ensemble"]
    assert list(scored["session"].values) == ["s1", "s1", "s2", "s2", "s2"]


def test_values(scored):
    at = scored.sel(arch="right", member="m0", split="test").isel(unit=slice(0, 2))
    assert (at["correlation_to_average"] > 0.95).all()
    assert np.allclose(at["correlation_to_truth"], 1, atol=1e-5)
    assert np.allclose(scored["ceiling"].isel(unit=slice(0, 2)), 1, atol=0.05)
    assert (scored.sel(arch="wrong", member="m0", split="test")["correlation_to_truth"][:2] < 0.9).all()
    validators = scored.sel(arch="right", member="validators", split="validation")["correlation_to_average"]
    assert (validators > 0.95).all()
    mixed = scored.sel(arch="right", member="generators", split="validation")["correlation_to_average"]
    assert (mixed < validators).all()


def test_nothing_where_there_is_nothing(scored):
    second = scored.isel(unit=slice(2, None))
    assert np.isnan(second["correlation_to_average"].sel(split="test")).all()
    assert np.isnan(second["correlation_to_truth"]).all()
    assert np.isnan(second["single_trial_correlation"]).all()
    assert np.isnan(second["ceiling"]).all()
    reference_model = scored["reference_model_correlation"].sel(reference_model="published_compact", split="validation")
    assert np.isnan(reference_model[:2]).all()
    assert np.allclose(reference_model[2:], -1, atol=1e-4)


def test_baselines_and_the_mixed_ensemble(scored):
    baselines = scored["baseline_correlation"].isel(unit=slice(0, 2))
    assert (baselines.sel(baseline="perfect") > 0.95).all()
    assert np.allclose(baselines.sel(baseline="backwards"), -baselines.sel(baseline="perfect"))
    own = scored["correlation_to_average"].sel(member="ensemble", split="test").isel(unit=slice(0, 2))
    mixed = scored["combined_correlation"].sel(combined="mixed", split="test").isel(unit=slice(0, 2))
    assert (mixed < own.sel(arch="right")).all()
    assert (mixed > own.sel(arch="wrong")).all()
    assert list(scored["readout"].values) == ["shift0", "shift1"]


def test_what_the_repeats_of_test_images_say(scored):
    first = scored.isel(unit=slice(0, 2))
    assert (first["explainable_variance"] > 0.7).all()
    assert (first["leave_one_out"] < first["ceiling"]).all()
    assert (first["leave_one_out"] > 0.8).all()
    for name in ("explainable_variance", "leave_one_out"):
        assert np.isnan(scored[name].isel(unit=slice(2, None))).all()


def test_it_is_a_store(scored, tmp_path):
    stores.save(scored, tmp_path / "scores.zarr", "scores")
    assert stores.load(tmp_path / "scores.zarr", "scores")["reference_model_correlation"].dims == (
        "reference_model",
        "split",
        "unit",
    )


def test_z_scored_predictions_become_counts(sessions):
    """FEVE compares predictions with counts; members that give counts are taken as they are."""
    first = sessions[0].scored({"right": ensemble(sessions[:1], 0)})
    z = first.predictions
    counts = first.responses
    scaled = z["response"] * counts.sd_count[counts.selected] + counts.mean_count[counts.selected]
    told = z.assign(response=scaled.astype("float32")).assign_coords(output=("arch", ["elu+1"]))
    found = score([first])["feve"].sel(split="test")
    assert found.notnull().all()
    assert np.allclose(found, score([replace(first, predictions=told)])["feve"].sel(split="test"))
