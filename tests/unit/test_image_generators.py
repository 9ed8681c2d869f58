"""Image generators: codes to images and back, weights of others read or refused, a decoder that learns and resumes."""

import numpy as np
import pytest
import torch

from v4egg.checkpoints import Checkpoint
from v4egg.errors import V4eggError
from v4egg.image_generators import decoder as decoder_module
from v4egg.image_generators import deepsim, make_generator
from v4egg.image_generators.decoder import load_decoder, train_decoder
from v4egg.image_generators.diffusion import Diffusion
from v4egg.priors.training import new_prior
from v4egg.stimuli import Preprocess

CANVAS = Preprocess(16, 3, [0.5, 0.4, 0.6], [0.2, 0.1, 0.15])
OPTIONS = {"size": 16, "channels": 3, "latent": 12, "widths": [32, 16], "steps": 40, "batch_size": 32}
OPTIONS |= {"learning_rate": 0.01, "divergence": 0.0001}


def pool(n=256):
    """Half-planes of two colours: six numbers an image."""
    generator = np.random.default_rng(0)
    images = np.zeros((n, 3, 16, 16), np.uint8)
    images[:, :, :8] = generator.integers(0, 255, (n, 3, 1, 1))
    images[:, :, 8:] = generator.integers(0, 255, (n, 3, 1, 1))
    return images


@pytest.fixture(scope="module")
def trained():
    return train_decoder(pool(), {**OPTIONS, "steps": 120, "learning_rate": 0.005}, seed=0)


@pytest.fixture(scope="module")
def every(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("generators")
    trained[0].save(folder / "decoder.zarr", curves=trained[1])
    torch.manual_seed(0)
    new_prior({"size": 16, "channels": 3, "fold": 2, "widths": [32, 32], "layers": 1}).save(folder / "prior.zarr")
    return {
        "decoder": make_generator("decoder", CANVAS, decoder=folder / "decoder.zarr"),
        "diffusion": make_generator("diffusion", CANVAS, prior=folder / "prior.zarr", steps=3),
        "pixels": make_generator("pixels", CANVAS),
        "fourier": make_generator("fourier", CANVAS),
    }


@pytest.mark.parametrize("name", ["decoder", "diffusion", "pixels", "fourier"])
def test_images_are_what_can_be_shown_and_follow_from_their_own_code(every, name):
    generator = every[name]
    codes = torch.randn(4, generator.size, generator=torch.Generator().manual_seed(1))
    images = generator(codes)
    assert images.shape == (4, *generator.shape)
    assert images.min() >= 0
    assert images.max() <= 1
    assert torch.equal(images, generator(codes))
    tolerance = 0.02  # bf16 where that is fast
    assert torch.allclose(generator(codes[2:3]), images[2:3], atol=tolerance)
    assert (images[0] - images[1]).abs().mean() > tolerance
    with pytest.raises(V4eggError, match=rf"codes of shape \(4, 3\); give \(B, {generator.size}\)"):
        generator(codes[:, :3])


@pytest.mark.parametrize(("name", "tolerance"), [("decoder", 0.2), ("pixels", 1e-6), ("fourier", 1e-4)])
def test_codes_of_images_give_the_images_back(every, name, tolerance):
    images = torch.from_numpy(pool(8)).float() / 255
    images = images - (images - 0.5).mean((2, 3), keepdim=True) * 0.8 if name == "fourier" else images
    again = every[name](every[name].encode(images))
    if name == "fourier":  # the mean is the canvas's
        shift = images.mean((2, 3), keepdim=True) - CANVAS.mean
        again, images = every[name].decode(every[name].encode(images)), images - shift
    assert (again - images).abs().mean() < tolerance
    assert torch.corrcoef(torch.stack([again.flatten(), images.flatten()]))[0, 1] > 0.6


def test_diffusion_has_no_way_back_and_its_steps_are_checked(every):
    with pytest.raises(V4eggError, match="start from random codes"):
        every["diffusion"].encode(torch.zeros(1, 3, 16, 16))
    with pytest.raises(V4eggError, match="steps is 5000"):
        Diffusion(every["diffusion"].prior, 5000)


@pytest.mark.parametrize("size", [16, 15])
def test_waves_have_the_canvas_s_mean_and_spread_and_a_natural_spectrum(size):
    generator = make_generator("fourier", Preprocess(size, 1, [0.5], [0.2]))
    images = generator.decode(torch.randn(2000, generator.size, generator=torch.Generator().manual_seed(0)))
    assert images.mean().item() == pytest.approx(0.5, abs=1e-4)
    assert images.std().item() == pytest.approx(0.2, rel=0.02)
    power = torch.fft.rfft2(images[:, 0]).abs().square().mean(0)
    assert (power[1, 1] / power[4, 4]).item() == pytest.approx(16, rel=0.15)


def test_colours_vary_mostly_in_luminance():
    generator = make_generator("fourier", CANVAS)
    images = generator.decode(torch.randn(200, generator.size))
    channels = CANVAS(images).permute(1, 0, 2, 3).flatten(1)
    assert (torch.corrcoef(channels) > 0.5).all()
    assert torch.allclose(channels.std(1), torch.ones(3), atol=0.05)


def test_the_decoder_learns_and_standard_normal_codes_look_like_the_pool(trained):
    decoder, curves = trained
    assert curves["loss"][-1] < 0.3 * curves["loss"][0]
    codes = decoder.encode(torch.from_numpy(pool()).float() / 255)
    assert codes.mean(0).abs().max() < 1e-3
    assert codes.std(0).mean() > 0.5
    assert codes.std(0).max() < 1.01  # what is missing to 1 is the spread that each code has by itself
    drawn = decoder(torch.randn(256, decoder.size, generator=torch.Generator().manual_seed(0)))
    real = torch.from_numpy(pool()).float() / 255
    assert drawn.mean().item() == pytest.approx(real.mean().item(), abs=0.08)
    assert 0.4 * real.std() < drawn.std() < 1.2 * real.std()


def test_killed_training_resumes_to_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(decoder_module, "SAVE_EVERY", 2)
    options = {**OPTIONS, "steps": 6}
    whole, _ = train_decoder(pool(), options, seed=3)
    checkpoint = Checkpoint(tmp_path, {})

    def killed(steps):
        for step in steps:
            if step == 5:
                raise KeyboardInterrupt
            yield step

    with pytest.raises(KeyboardInterrupt):
        train_decoder(pool(), options, seed=3, checkpoint=checkpoint, progress=killed)
    again, _ = train_decoder(pool(), options, seed=3, checkpoint=checkpoint)
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), again.state_dict().values(), strict=True))
    again.save(tmp_path / "d.zarr")
    loaded = load_decoder(tmp_path / "d.zarr")
    codes = torch.randn(2, 12)
    assert torch.allclose(loaded(codes), again(codes), atol=0.02)


def test_mistakes_are_one_line(tmp_path):
    with pytest.raises(V4eggError, match="unknown generator 'gan'; known: decoder, deepsim, diff"):
        make_generator("gan", CANVAS)
    with pytest.raises(V4eggError, match=r"generator 'decoder': .*'decoder'.*; correct its options"):
        make_generator("decoder", CANVAS)
    with pytest.raises(V4eggError, match="size 18 is not divisible by 4"):
        train_decoder(pool(), {**OPTIONS, "size": 18}, seed=0)
    with pytest.raises(V4eggError, match=r"at step \d+; lower decoder.learning_rate"):
        train_decoder(pool(), {**OPTIONS, "learning_rate": 1e30}, seed=0)
    new_prior({"size": 16, "channels": 3, "fold": 2, "widths": [32, 32], "layers": 1}).save(tmp_path / "prior.zarr")
    with pytest.raises(V4eggError, match="not a decoder's"):
        load_decoder(tmp_path / "prior.zarr")


# DeePSiM's network, with a quarter of a side and a sixteenth of the genes, so that its files stay small


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(deepsim, "SIZE", 256)
    monkeypatch.setattr(deepsim, "_START", (256, 1, 1))
    monkeypatch.setattr(deepsim.DeepSim, "size", 256)
    torch.manual_seed(0)
    network = deepsim.DeepSim()
    for name, tensor in network.state_dict().items():
        if name.startswith("transposed") and name.endswith("bias"):
            tensor.zero_()
    return network


def written(network, path, rename, **changes):
    state = {rename(*name.split(".")[1:]): tensor for name, tensor in network.state_dict().items()}
    state = {name: tensor for name, tensor in state.items() if name} | changes
    torch.save(state, path)
    return path


def caffe(layer, kind):
    return f"{layer}.{kind}"


def infixed(layer, kind):
    return f"{layer}.1.{kind}"


def xdream(layer, kind):
    names = {row[0]: row[1] for row in (*deepsim._LINEAR, *deepsim._TRANSPOSED)}
    return "" if kind == "bias" and names[layer].startswith("tconv") else f"{names[layer]}.{kind}"


@pytest.mark.parametrize("rename", [caffe, infixed, xdream])
def test_deepsim_reads_three_dialects(small, tmp_path, rename):
    loaded = deepsim.load_deepsim(written(small, tmp_path / "w.pt", rename))
    codes = 20 * torch.randn(2, 256, generator=torch.Generator().manual_seed(0))
    assert torch.equal(loaded(codes), small.eval()(codes))


def test_deepsim_paints_bgr_about_its_mean(small):
    small.requires_grad_(False)
    last = small.transposed["deconv0"]
    last.weight.zero_()
    images = small(torch.zeros(1, 256))
    assert torch.allclose(images[0, :, 5, 5], torch.tensor([123.0, 117.0, 104.0]) / 255)
    last.bias[0] = 51.0  # blue
    assert torch.allclose(small(torch.zeros(1, 256))[0, :, 5, 5], torch.tensor([123.0, 117.0, 155.0]) / 255)
    last.bias[0] = 1e4
    assert small(torch.zeros(1, 256)).max() == 1


def test_deepsim_s_own_size():
    with torch.device("meta"):
        network = deepsim.DeepSim()
        assert network(torch.zeros(1, 4096)).shape == (1, 3, 256, 256)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"deconv5_2.bias": torch.ones(3)}, r"deconv5_2\.bias is not 0 and would be dropped"),
        ({"defc7.weight": torch.zeros(256, 255)}, r"defc7\.weight has shape \(256, 255\), expected \(256, 256\)"),
        ({"conv5_1.bias": torch.ones(3)}, r"conv5_1\.bias has shape \(3,\), expected \(512,\)"),
    ],
)
def test_deepsim_refuses_what_does_not_fit(small, tmp_path, changes, message):
    with pytest.raises(V4eggError, match=message):
        deepsim.load_deepsim(written(small, tmp_path / "w.pt", caffe, **changes))


def test_deepsim_takes_zeros_that_have_no_place_and_wants_every_layer(small, tmp_path):
    deepsim.load_deepsim(written(small, tmp_path / "w.pt", caffe, **{"deconv9.bias": torch.zeros(3)}))
    torch.save({"defc7.weight": torch.zeros(256, 256)}, tmp_path / "part.pt")
    with pytest.raises(V4eggError, match=r"part\.pt: tensor defc7\.bias or fc7\.bias is missing"):
        deepsim.load_deepsim(tmp_path / "part.pt")
