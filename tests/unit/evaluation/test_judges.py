"""Judges: who took part, which unit is whose, and activations relative to natural images."""

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

from v4egg.encoders.predictions import predict_session
from v4egg.errors import V4eggError
from v4egg.evaluation.judges import Judge, encoder_judges
from v4egg.evaluation.transfer import NaturalImages, gather_architectures, judge_images, with_cached_predictions
from v4egg.evaluation.unit_selection import rank_units
from v4egg.images.processing import conform, to_float
from v4egg.recordings.units import by_session


class Bright(nn.Module):
    """Unit i of a session responds with (i + 1) times the mean brightness."""

    def __init__(self, session, units=3, role="generator", gain=1.0, arch="attention"):
        super().__init__()
        self.arch, self.member = arch, role
        self.units = [f"{session}-u{i:03d}" for i in range(units)]
        self.role, self.gain, self.seen = role, gain, 0

    def forward(self, images, units=None):
        self.seen += len(images)
        weights = self.gain * torch.arange(1.0, len(self.units) + 1)
        return images.mean((1, 2, 3))[:, None] * (weights if units is None else weights[units])

    def paired(self, images, units):
        return images.mean((1, 2, 3)) * self.gain * (units + 1.0)


def natural(session="s1", n=5, responses=None):
    images = np.full((n, 3, 8, 8), 0, np.uint8) + np.arange(0, 50 * n, 50, dtype=np.uint8)[:, None, None, None]
    units = [f"{session}-u000", f"{session}-u002"]
    return NaturalImages(images, [f"i{k}" for k in range(n)], units, responses or {})


def meis(value, units):
    image = np.full((len(units), 2, 3, 8, 8), value, np.float32)
    return xr.DataArray(image, dims=("unit", "sample", "channel", "y", "x"), coords={"unit": units})


def test_a_judge_over_sessions_answers_for_each_unit():
    judge = Judge("published", [Bright("s1"), Bright("s2", gain=10.0)], shares_weights=False)
    images = torch.ones(3, 3, 4, 4)
    assert judge.paired(images, ["s2-u001", "s1-u002", "s9-u000"]).tolist()[:2] == [20.0, 3.0]
    assert torch.isnan(judge.paired(images, ["s9-u000"] * 3)).all()
    responses = judge(images, ["s1-u001", "s2-u000", "s9-u000"])
    assert responses[0, :2].tolist() == [2.0, 10.0]
    assert torch.isnan(responses[:, 2]).all()


def test_a_judge_computes_where_its_model_is_and_refuses_other_shapes():
    class There(nn.Module):
        """A model on another device, which the images and index tensors have to be on."""

        units = ("s1-u000", "s1-u001")

        def __init__(self):
            super().__init__()
            self.register_buffer("gain", torch.ones(2, device="meta"))

        def forward(self, images, units):
            assert images.device.type == units.device.type == "meta"
            raise LookupError("all")

        def paired(self, images, units):
            assert images.device.type == units.device.type == "meta"
            raise LookupError("paired")

    judge, images = Judge("there", [There()], shares_weights=False), torch.ones(2, 3, 4, 4)
    assert judge.independent
    with pytest.raises(LookupError, match="all"):
        judge(images, ["s1-u001"])
    with pytest.raises(LookupError, match="paired"):
        judge.paired(images, ["s1-u001", "s1-u000"])
    with pytest.raises(V4eggError, match="judge there: 2 images and 1 units"):
        judge.paired(images, ["s1-u001"])
    for call in (judge, judge.paired):
        with pytest.raises(V4eggError, match=r"judge there: images of shape \(3, 4, 4\); give \(n, channel, y, x\)"):
            call(images[0], ["s1-u001"])


def test_only_the_generators_took_part():
    from v4egg.encoders.ensemble import Ensemble

    def ensemble(arch):
        return Ensemble([Bright("s1", role="generator", arch=arch), Bright("s1", role="validator", arch=arch)])

    ensembles = {"attention": ensemble("attention"), "gaussian": ensemble("gaussian")}
    judges = encoder_judges(ensembles, "attention")
    assert [(judge.name, judge.shares_weights) for judge in judges] == [
        ("generators", True),
        ("validators", False),
        ("across", False),
    ]
    used = {id(member) for judge in judges[:2] for member in judge.models[0].members}
    across = {id(member) for member in judges[2].models[0].members}
    assert not used & across
    assert across == {id(member) for member in ensembles["gaussian"].members}


def test_a_frozen_network_that_the_generators_share_took_part():
    from v4egg.encoders.ensemble import Ensemble

    def member(arch, role, weight):
        made = Bright("s1", role=role, arch=arch)
        made.core = nn.Module()
        made.core.backbone = nn.Linear(1, 1)
        made.core.backbone.options = {"name": "frozen"}
        nn.init.constant_(made.core.backbone.weight, weight)
        nn.init.zeros_(made.core.backbone.bias)
        return made

    ensembles = {
        "task": Ensemble([member("task", "generator", 1.0), member("task", "validator", 1.0)]),
        "same": Ensemble([member("same", "generator", 1.0), member("same", "validator", 1.0)]),
        "data": Ensemble([Bright("s1", role=role, arch="data") for role in ("generator", "validator")]),
    }
    shares_weights = {judge.name: judge.shares_weights for judge in encoder_judges(ensembles, "task")}
    assert shares_weights == {"generators": True, "validators": True, "across": True}
    ensembles["same"] = Ensemble([member("same", "generator", 2.0), member("same", "validator", 2.0)])
    assert not encoder_judges(ensembles, "task")[2].shares_weights


def test_a_judge_that_reads_the_prior_took_part():
    from v4egg.encoders.ensemble import Ensemble

    def member(arch, role, name):
        made = Bright("s1", role=role, arch=arch)
        made.core = nn.Module()
        made.core.backbone = nn.Linear(1, 1)
        made.core.backbone.options = {"name": name, "arch": arch}
        return made

    data = Ensemble([Bright("s1", role=role, arch="data") for role in ("generator", "validator")])
    for name, expected in (("denoiser", True), ("timm", False)):
        other = Ensemble([member("other", role, name) for role in ("generator", "validator")])
        judges = {judge.name: judge for judge in encoder_judges({"data": data, "other": other}, "data")}
        assert judges["across"].shares_weights is expected
        assert not judges["validators"].shares_weights


def test_a_mixture_of_all_architectures_has_no_judge_across():
    from v4egg.encoders.ensemble import Ensemble

    def pair(*archs):
        return Ensemble([Bright("s1", role=role, arch=arch) for arch in archs for role in ("generator", "validator")])

    ensembles = {"a": pair("a"), "b": pair("b"), "mixed": pair("a", "b")}
    judges = encoder_judges(ensembles, "mixed")
    assert [judge.name for judge in judges] == ["generators", "validators"]
    assert {member.arch for member in judges[0].models[0].members} == {"a", "b"}
    across = encoder_judges(ensembles, "a")[2].models[0].members
    assert [(member.arch, member.role) for member in across] == [("b", "generator"), ("b", "validator")]


def test_a_refit_is_no_other_architecture_than_the_one_that_it_refits():
    from v4egg.encoders.ensemble import Ensemble

    ensembles = {a: Ensemble([Bright("s1", role=r, arch=a) for r in ("generator", "validator")]) for a in "abc"}
    for member in ensembles["b"].members:
        member.trained_as = "a"
    for name in "ab":
        assert {member.arch for member in encoder_judges(ensembles, name)[2].models[0].members} == {"c"}
    assert {member.arch for member in encoder_judges(ensembles, "c")[2].models[0].members} == {"a", "b"}


def test_normalized_activation_is_0_at_the_mean_and_1_at_the_best_natural_image():
    units = ["s1-u000", "s1-u002"]
    judges = [Judge("generators", [Bright("s1")], True), Judge("validators", [Bright("s1", gain=3.0)], False)]
    mean, best = 100 / 255, 200 / 255
    scored = judge_images({"a": meis(mean, units), "b": meis(best, units)}, judges, [natural()])
    assert np.allclose(scored["normalized_activation"].sel({"method": "a"}), 0, atol=1e-5)
    assert np.allclose(scored["normalized_activation"].sel({"method": "b"}), 1, atol=1e-5)
    rival = scored.sel({"method": "model_selected_natural"})
    assert np.allclose(rival["normalized_activation"].sel(sample=0), 1)
    assert np.isnan(rival["activation"].isel(sample=1)).all()
    assert list(scored["model_selected_natural"].values) == ["i4", "i4"]
    assert np.allclose(scored["natural_image"], best)
    assert list(scored["shares_weights"].values) == [True, False]


class Contrasted(nn.Module):
    """Unit i responds with (i + 1) times the standard deviation over pixels."""

    units = ("s1-u000", "s1-u001", "s1-u002")

    def forward(self, images, units):
        return images.flatten(1).std(1)[:, None] * (units + 1.0)

    def paired(self, images, units):
        return images.flatten(1).std(1) * (units + 1.0)


def test_a_picture_stored_at_two_sizes_has_one_contrast():
    """Natural images are stored larger than made ones, and shrinking takes contrast."""
    units = ["s1-u000", "s1-u002"]
    large = np.random.default_rng(0).integers(0, 256, (2, 3, 16, 16), dtype=np.uint8)
    large[1] = 128  # drives nothing
    small = conform(large, 8, 3)
    assert large[0].std() > 1.5 * small[0].std()
    judges = [Judge("generators", [Contrasted()], True)]
    made = {"same": xr.zeros_like(meis(0.5, units)) + small[0].astype(np.float32) / 255}
    scored = [judge_images(made, judges, [NaturalImages(images, ["i0", "i1"], units)]) for images in (large, small)]
    assert scored[0]["contrast"].equals(scored[1]["contrast"])
    same, natural = (scored[0]["contrast"].sel({"method": name}) for name in ("same", "model_selected_natural"))
    assert np.allclose(natural.isel(sample=0), same.isel(sample=0), rtol=1e-6)


def test_at_matched_contrast_a_faint_image_does_not_lose_and_noise_is_a_control():
    units = ["s1-u000", "s1-u002"]
    board = np.indices((8, 8)).sum(0) % 2
    images = np.stack([100 + 20 * k * board for k in range(5)]).astype(np.uint8)[:, None].repeat(3, 1)
    session = NaturalImages(images, [f"i{k}" for k in range(5)], units)
    judges = [Judge("generators", [Contrasted()], True)]
    faint = xr.zeros_like(meis(0.5, units)) + 0.5 + 0.01 * (board - 0.5)
    scored = judge_images({"faint": faint.astype(np.float32)}, judges, [session])
    made = scored.sel({"method": "faint"})
    assert (made["normalized_activation"] < 0).all()
    assert np.allclose(made["normalized_at_matched_contrast"], 1, atol=0.02)
    rival = scored.sel({"method": "model_selected_natural"}).isel(sample=0)
    assert np.allclose(rival["contrast"], images[4, 0].std() / 255, atol=1e-4)
    assert np.allclose(rival["normalized_at_matched_contrast"], 1)
    noise = scored.sel({"method": "noise"})
    assert np.allclose(noise["contrast"], rival["contrast"].values[:, None], rtol=0.15)  # clipping takes some
    again = judge_images({"faint": faint.isel(unit=[1]).astype(np.float32)}, judges, [natural_of(session, units[1:])])
    assert np.allclose(again["activation"].sel({"method": "noise"}), noise["activation"].sel(unit=units[1:]))


def natural_of(session, units):
    return NaturalImages(session.images, session.names, units)


def test_the_judges_own_best_image_is_the_ceiling():
    class Dark(Bright):
        def forward(self, images, units=None):
            return 1 - super().forward(images, units)

        def paired(self, images, units):
            return 1 - super().paired(images, units)

    units = ["s1-u000"]
    session = natural_of(natural(), units)
    judges = [Judge("generators", [Bright("s1")], True), Judge("other", [Dark("s1")], False)]
    scored = judge_images({"black": meis(0.0, units)}, judges, [session]).sel({"method": "black"}).isel(sample=0)
    assert np.allclose(scored["normalized_to_best_natural"].sel(judge="other"), 1)
    assert np.isnan(scored["normalized_activation"].sel(judge="other")).all()  # the generators' pick is its worst


def test_known_responses_are_not_asked_for_again():
    external_judge = Bright("s1")
    judges = [Judge("generators", [Bright("s1")], True), Judge("published", [external_judge], False)]
    known = {"published": np.linspace(0, 1, 10, dtype=np.float32).reshape(5, 2)}
    judge_images({"a": meis(0.5, ["s1-u000", "s1-u002"])}, judges, [natural(responses=known)])
    assert external_judge.seen == 0


@pytest.mark.parametrize("archs", [["attention"], ["attention", "gaussian"]])
def test_architectures_gather_whether_one_or_two(archs):
    judges = [Judge("generators", [Bright("s1")], True)]
    part = judge_images({"a": meis(0.5, ["s1-u000", "s1-u002"])}, judges, [natural()])
    gathered = gather_architectures(dict.fromkeys(archs, part))
    assert gathered["activation"].dims == ("method", "arch", "unit", "sample", "judge")
    assert gathered["natural_image"].dims[:2] == ("arch", "unit")
    assert gathered["shares_weights"].dims == ("arch", "judge")


def test_a_judge_that_one_architecture_lacks_is_nan_there():
    judges = [Judge("generators", [Bright("s1")], True), Judge("across", [Bright("s1", gain=2.0)], True)]
    both, one = (judge_images({"a": meis(0.5, ["s1-u000", "s1-u002"])}, judges[:n], [natural()]) for n in (2, 1))
    gathered = gather_architectures({"mixed": one, "attention": both})
    assert list(gathered["judge"].values) == ["generators", "across"]
    assert gathered["activation"].sel(arch="mixed", judge="across").isnull().all()
    assert gathered["shares_weights"].dtype == bool
    assert gathered["shares_weights"].values.tolist() == [[True, False], [True, True]]


def test_units_are_grouped_by_session():
    assert by_session(["s1-u000", "s2-u001", "s1-u003"]) == {"s1": ["s1-u000", "s1-u003"], "s2": ["s2-u001"]}


def scores(values, sessions):
    """Validation correlation of the validators, (arch, unit); test scores that would choose otherwise."""
    values = np.asarray(values, np.float32)
    table = np.stack([np.stack([values, 1 - values], 1)], 1)
    coords = {
        "arch": [f"a{i}" for i in range(len(values))],
        "member": ["validators"],
        "split": ["validation", "test"],
        "unit": [f"{s}-u{i:03d}" for i, s in enumerate(sessions)],
        "session": ("unit", sessions),
    }
    return xr.Dataset({"correlation_to_average": (("arch", "member", "split", "unit"), table)}, coords)


def test_targets_are_the_best_of_their_sessions_in_every_architecture():
    found = scores([[0.9, 0.5, 0.7, 0.8, 0.9], [0.2, 0.6, 0.8, 0.8, 0.9]], ["s1", "s1", "s1", "s1", "s2"])
    chosen = rank_units(found, sessions=["s1"], min_correlation=0.3)
    assert list(chosen["unit"].values) == ["s1-u003", "s1-u002", "s1-u001"]
    with pytest.raises(V4eggError, match=r"no unit of s1 reaches targets.min_correlation 0.95 \(best 0.80\)"):
        rank_units(found, sessions=["s1"], min_correlation=0.95)
    missing = scores([[np.nan, 0.5]], ["s1", "s1"])
    assert list(rank_units(missing, sessions=["s1"], min_correlation=0.3)["unit"].values) == ["s1-u001"]


class Network(Bright):
    """Part of an ensemble; counts the images that it is asked about."""

    def __init__(self, session, **names):
        super().__init__(session, **names)
        self.spec = {"output": "identity", "core": {"name": "none"}, "readout": {"name": "none"}}

    def features(self, images, frozen):
        self.seen += len(images)
        return images.mean((1, 2, 3))[:, None]

    def respond(self, features, units=None):
        return features * self.gain * (units + 1.0)

    def index(self, units):
        return torch.tensor([self.units.index(unit) for unit in units])


def test_judges_hear_what_their_members_have_predicted():
    from v4egg.encoders.ensemble import Ensemble

    def ensemble(*archs):
        return Ensemble(
            [
                Network("s1", role=role, arch=arch, gain=gain)
                for arch, gain in archs
                for role in ("generator", "validator")
            ]
        )

    attention, gaussian = ("attention", 2.0), ("gaussian", 5.0)
    ensembles = {
        "attention": ensemble(attention),
        "mixed": ensemble(attention, gaussian),
        "gaussian": ensemble(gaussian),
    }
    session = natural(responses={"published_compact": np.ones((5, 2))})
    trained = {arch: ensembles[arch] for arch in ("attention", "gaussian")}
    said = predict_session(trained, session.images, trained["attention"].units)
    for member in [member for judge in ensembles.values() for member in judge.members]:
        member.seen = 0
    outside = Judge("published_compact", [Bright("s1")], shares_weights=False)
    judges = [*encoder_judges(ensembles, "attention"), outside]
    (heard,) = with_cached_predictions(judges, [session], [said])
    assert set(heard.responses) == {"generators", "validators", "across", "published_compact"}
    assert (heard.responses["published_compact"] == 1).all()
    brightness = to_float(session.images).mean((1, 2, 3)).numpy()[:, None] * np.array([1.0, 3.0])
    assert np.allclose(heard.responses["generators"], 2 * brightness) and np.allclose(
        heard.responses["across"], 5 * brightness
    )
    (mixed,) = with_cached_predictions(encoder_judges(ensembles, "mixed")[:1], [session], [said])
    assert np.allclose(mixed.responses["generators"], 3.5 * brightness)
    assert not any(member.seen for judge in ensembles.values() for member in judge.members)
    blind = said.assign(response=said["response"].where(xr.DataArray(np.arange(5) != 3, dims="image")))
    with pytest.raises(V4eggError, match="session s1: members were not asked for all of its images"):
        with_cached_predictions(judges, [session], [blind])
