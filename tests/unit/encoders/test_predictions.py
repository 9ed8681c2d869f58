"""Predictions of all members for a session's natural images: right ones, asked once, of the images that are wanted."""

import numpy as np
import pytest
import torch
from torch import nn

from v4egg.encoders.ensemble import Ensemble
from v4egg.encoders.predictions import predict_session
from v4egg.io import stores


class Frozen(nn.Module):
    def __init__(self):
        super().__init__()
        self.options, self.seen = {"name": "brightness"}, 0

    def forward(self, images):
        self.seen += len(images)
        return images.mean((1, 2, 3))


class Member(nn.Module):
    """Brightness, as a frozen network sees it, times a gain and the unit's number."""

    def __init__(self, name, role, gain):
        super().__init__()
        self.spec = {"output": "identity", "core": {"name": "frozen"}, "readout": {"name": "gain"}}
        self.units, self.member, self.role, self.gain = ["u1", "u2", "u3"], name, role, gain
        self.core = nn.Module()
        self.core.backbone = Frozen()

    def features(self, images, frozen):
        key = id(self.core.backbone)
        if key not in frozen:
            frozen[key] = self.core.backbone(images)
        return frozen[key]

    def respond(self, features, units):
        return features[:, None] * self.gain * (units + 1.0)

    def index(self, units):
        return torch.tensor([self.units.index(unit) for unit in units])


@pytest.fixture
def ensembles():
    roles = {"m0": "generator", "m1": "validator"}
    gains = {"one": 2.0, "other": 5.0}
    return {arch: Ensemble([Member(*named, gain) for named in roles.items()]) for arch, gain in gains.items()}


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 255, (40, 3, 4, 4), dtype=np.uint8)


def test_every_member_of_every_architecture(ensembles, images, tmp_path):
    found = predict_session(ensembles, images, ["u3", "u1"])
    brightness = images.mean((1, 2, 3)) / 255
    for arch, gain in {"one": 2.0, "other": 5.0}.items():
        for member in ("m0", "m1"):
            said = found["response"].sel(arch=arch, member=member)
            assert np.allclose(said, brightness[:, None] * gain * np.array([3.0, 1.0]), atol=1e-5)
    assert dict(zip(found["member"].values, found["role"].values, strict=True)) == {
        "m0": "generator",
        "m1": "validator",
    }
    assert list(found["readout"].values) == ["gain", "gain"]
    named = found.assign_coords(image=[f"i{i}" for i in range(40)])
    stores.save(named, tmp_path / "predictions.zarr", "predictions")
    assert stores.load(tmp_path / "predictions.zarr", "predictions")["output"].values[0] == "identity"


def test_a_frozen_network_sees_each_image_once(ensembles, images):
    predict_session(ensembles, images, ["u1"])
    counts = [member.core.backbone.seen for ensemble in ensembles.values() for member in ensemble.members]
    assert max(counts) == 40


def test_images_that_are_not_wanted_are_not_asked_for(ensembles, images):
    rows = np.array([30, 2, 7])
    found = predict_session(ensembles, images, ["u2"], rows)["response"].sel(arch="one", member="m1").values
    assert np.flatnonzero(np.isfinite(found[:, 0])).tolist() == [2, 7, 30]
    assert np.allclose(found[rows, 0], images[rows].mean((1, 2, 3)) / 255 * 2.0 * 2.0, atol=1e-5)
    assert ensembles["one"].members[0].core.backbone.seen == 3
