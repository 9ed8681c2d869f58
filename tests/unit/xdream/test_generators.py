"""Image generators: codes to images and back, weights of others read or refused, a decoder that learns and resumes."""

import shutil

import numpy as np
import pytest
import torch

from v4egg.errors import V4eggError
from v4egg.images.processing import Preprocess
from v4egg.io.checkpoints import Checkpoint
from v4egg.priors.training import new_prior
from v4egg.xdream.evolution import Evolution, evolve
from v4egg.xdream.generators import deepsim, make_image_generator
from v4egg.xdream.generators.decoder import load_decoder, train_decoder
from v4egg.xdream.generators.diffusion import Diffusion
from v4egg.xdream.optimizers import make_optimizer

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
    new_prior({"size": 16, "channels": 3, "patch_size": 2, "widths": [32, 32], "layers": 1}).save(folder / "prior.zarr")
    return {
        "decoder": make_image_generator("decoder", CANVAS, stores={"decoder": folder / "decoder.zarr"}),
        "diffusion": make_image_generator("diffusion", CANVAS, stores={"prior": folder / "prior.zarr"}, steps=3),
        "pixels": make_image_generator("pixels", CANVAS),
        "fourier": make_image_generator("fourier", CANVAS),
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
    generator = make_image_generator("fourier", Preprocess(size, 1, [0.5], [0.2]))
    images = generator.decode(torch.randn(2000, generator.size, generator=torch.Generator().manual_seed(0)))
    assert images.mean().item() == pytest.approx(0.5, abs=1e-4)
    assert images.std().item() == pytest.approx(0.2, rel=0.02)
    power = torch.fft.rfft2(images[:, 0]).abs().square().mean(0)
    assert (power[1, 1] / power[4, 4]).item() == pytest.approx(16, rel=0.15)


def test_colours_vary_mostly_in_luminance():
    generator = make_image_generator("fourier", CANVAS)
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


def test_killed_training_resumes_to_the_same_weights(killed_at, tmp_path, monkeypatch):
    monkeypatch.setattr("v4egg.priors.steps.SAVE_EVERY", 2)
    options = {**OPTIONS, "steps": 6}
    whole, _ = train_decoder(pool(), options, seed=3)
    checkpoint = Checkpoint(tmp_path, {})

    with pytest.raises(KeyboardInterrupt):
        train_decoder(pool(), options, seed=3, checkpoint=checkpoint, progress=killed_at(5))
    again, _ = train_decoder(pool(), options, seed=3, checkpoint=checkpoint)
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), again.state_dict().values(), strict=True))
    again.save(tmp_path / "d.zarr")
    loaded = load_decoder(tmp_path / "d.zarr")
    codes = torch.randn(2, 12)
    assert torch.allclose(loaded(codes), again(codes), atol=0.02)


def test_mistakes_are_one_line(tmp_path):
    with pytest.raises(V4eggError, match="image generator 'gan' is unknown; known: autoencoder, decoder, deepsim"):
        make_image_generator("gan", CANVAS)
    with pytest.raises(V4eggError, match="image generator 'decoder' reads the store 'decoder'; give it in stores"):
        make_image_generator("decoder", CANVAS)
    with pytest.raises(V4eggError, match="size 18 is not divisible by 4"):
        train_decoder(pool(), {**OPTIONS, "size": 18}, seed=0)
    with pytest.raises(V4eggError, match=r"at step \d+; lower decoder.learning_rate"):
        train_decoder(pool(), {**OPTIONS, "learning_rate": 1e30}, seed=0)
    new_prior({"size": 16, "channels": 3, "patch_size": 2, "widths": [32, 32], "layers": 1}).save(
        tmp_path / "prior.zarr"
    )
    with pytest.raises(V4eggError, match="not those of a decoder"):
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
        ({"deconv5_2.bias": torch.full((3,), torch.nan)}, r"deconv5_2\.bias is not 0 and would be dropped"),
        ({"defc7.weight": torch.zeros(256, 255)}, r"defc7\.weight has shape \(256, 255\), expected \(256, 256\)"),
        ({"conv5_1.bias": torch.ones(3)}, r"conv5_1\.bias has shape \(3,\), expected \(512,\)"),
    ],
)
def test_deepsim_refuses_what_does_not_fit(small, tmp_path, changes, message):
    with pytest.raises(V4eggError, match=message):
        deepsim.load_deepsim(written(small, tmp_path / "w.pt", caffe, **changes))


def test_deepsim_takes_zeros_that_have_no_place_and_wants_every_layer(small, tmp_path):
    deepsim.load_deepsim(
        written(small, tmp_path / "w.pt", caffe, **{"deconv9.bias": torch.zeros(3), "no.bias": torch.zeros(0)})
    )
    torch.save({"defc7.weight": torch.zeros(256, 256)}, tmp_path / "part.pt")
    with pytest.raises(V4eggError, match=r"part\.pt: tensor defc7\.bias or fc7\.bias is missing"):
        deepsim.load_deepsim(tmp_path / "part.pt")


# Autoencoders of diffusers, tiny and untrained, in folders that the tests make

TINY = {"block_out_channels": (8, 8), "norm_num_groups": 4, "latent_channels": 2}
TINY |= {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}


@pytest.fixture(scope="module")
def autoencoders(tmp_path_factory):
    from diffusers import AutoencoderKL, AutoencoderTiny, VQModel

    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("autoencoders")
    blocks = {"encoder_block_out_channels": (8, 8), "decoder_block_out_channels": (8, 8), "latent_channels": 2}
    blocks |= {"num_encoder_blocks": (1, 1), "num_decoder_blocks": (1, 1)}
    AutoencoderKL(**TINY, scaling_factor=0.5, shift_factor=0.25).save_pretrained(root / "kl")
    AutoencoderKL(**TINY, scaling_factor=0.5).save_pretrained(root / "pipeline" / "vae")
    AutoencoderKL(**TINY, latents_mean=(1.0, 2.0), latents_std=(3.0, 4.0)).save_pretrained(root / "whitened")
    VQModel(**TINY, num_vq_embeddings=16).save_pretrained(root / "vq")
    AutoencoderTiny(**blocks).save_pretrained(root / "tiny")
    return root


@pytest.mark.parametrize("name", ["kl", "pipeline", "whitened", "vq", "tiny"])
def test_an_autoencoder_of_diffusers_is_a_generator(autoencoders, name):
    generator = make_image_generator("autoencoder", CANVAS, weights=autoencoders / name)
    assert (generator.size, generator.shape) == (2 * 8 * 8, (3, 16, 16))
    codes = torch.randn(3, generator.size, generator=torch.Generator().manual_seed(1))
    images = generator(codes)
    assert images.shape == (3, 3, 16, 16)
    assert images.min() >= 0
    assert images.max() <= 1
    assert torch.equal(images, generator(codes))
    assert torch.allclose(generator(codes[1:2]), images[1:2], atol=0.02)
    assert (images[0] - images[1]).abs().mean() > 1e-3
    assert generator.encode(torch.rand(2, 3, 16, 16)).shape == (2, generator.size)
    assert not any(parameter.requires_grad for parameter in generator.parameters())
    with pytest.raises(V4eggError, match=r"codes of shape \(3, 4\); give \(B, 128\)"):
        generator(codes[:, :4])


def test_codes_of_an_autoencoder_have_its_own_scale(autoencoders):
    plain = make_image_generator("autoencoder", CANVAS, weights=autoencoders / "kl")
    codes, images = torch.randn(2, plain.size), torch.rand(2, 3, 16, 16)
    expected = plain.network.decode(codes.unflatten(1, plain.latent) / 0.5 + 0.25).sample / 2 + 0.5
    assert torch.allclose(plain.decode(codes), expected, atol=0.02)
    latents = plain.network.encode(images * 2 - 1).latent_dist.mode()
    assert torch.allclose(plain.encode(images).unflatten(1, plain.latent), (latents - 0.25) * 0.5, atol=0.02)
    whitened = make_image_generator("autoencoder", CANVAS, weights=autoencoders / "whitened")
    scale, shift = torch.tensor([3.0, 4.0]).view(2, 1, 1), torch.tensor([1.0, 2.0]).view(2, 1, 1)
    expected = whitened.network.decode(codes.unflatten(1, plain.latent) * scale + shift).sample / 2 + 0.5
    assert torch.allclose(whitened.decode(codes), expected, atol=0.02)


def test_the_size_of_an_autoencoder_s_images(autoencoders):
    odd = Preprocess(15, 3, [0.5] * 3, [0.2] * 3)
    assert make_image_generator("autoencoder", odd, weights=autoencoders / "kl").shape == (3, 16, 16)
    large = make_image_generator("autoencoder", CANVAS, weights=autoencoders / "kl", image_size=24)
    assert (large.shape, large.latent) == ((3, 24, 24), (2, 12, 12))
    with pytest.raises(V4eggError, match="image_size 25 is not divisible by 2"):
        make_image_generator("autoencoder", CANVAS, weights=autoencoders / "kl", image_size=25)


def test_an_evolution_climbs_the_codes_of_an_autoencoder(autoencoders):
    generator = make_image_generator("autoencoder", CANVAS, weights=autoencoders / "kl")
    best = {}
    for name in ("genetic", "random_search"):
        search = Evolution(make_optimizer(name, [("run",)], generator.size), budget=200)
        best[name] = evolve(search, generator, lambda images, run: images[:, 0, :8].mean((1, 2))).best_score[0]
    assert best["genetic"] > best["random_search"] + 0.01


def damage(folder, what):
    from safetensors.torch import load_file, save_file

    config, weights = folder / "config.json", folder / "diffusion_pytorch_model.safetensors"
    if what == "config":
        config.write_text("{")
    elif what == "class":
        config.write_text(config.read_text().replace("AutoencoderKL", "UNet2DModel"))
    elif what == "bytes":
        weights.write_bytes(b"nothing")
    elif what == "no weights":
        weights.unlink()
    elif what == "channels":
        config.write_text(config.read_text().replace('"out_channels": 3', '"out_channels": 4'))
    else:
        state = load_file(weights)
        name = "decoder.conv_in.bias"
        tensor = state.pop(name)
        state |= {"shape": {name: tensor[:3].clone()}, "missing": {}, "more": {name: tensor, "extra.bias": tensor + 1}}[
            what
        ]
        save_file(state, weights)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("config", "no configuration of a diffusers network"),
        ("class", "holds a 'UNet2DModel'; give one of AutoencoderKL, AutoencoderTiny, VQModel"),
        ("bytes", "unreadable AutoencoderKL"),
        ("no weights", "unreadable AutoencoderKL"),
        ("channels", "unreadable AutoencoderKL|its images have 4 channels"),
        ("shape", r"unreadable AutoencoderKL .*decoder\.conv_in\.bias"),
        ("missing", r"tensor decoder\.conv_in\.bias is missing"),
        ("more", r"tensor extra\.bias is unexpected"),
    ],
)
def test_a_damaged_autoencoder_is_one_line(autoencoders, tmp_path, what, message):
    folder = shutil.copytree(autoencoders / "kl", tmp_path / "kl")
    damage(folder, what)
    with pytest.raises(V4eggError, match=message) as error:
        make_image_generator("autoencoder", CANVAS, weights=folder)
    assert "\n" not in str(error.value)
    assert str(folder) in str(error.value) or "channels" in str(error.value)


def test_no_autoencoder_is_one_line(tmp_path):
    with pytest.raises(V4eggError, match=r"no config\.json of a diffusers autoencoder; give its local folder"):
        make_image_generator("autoencoder", CANVAS, weights=tmp_path)
    with pytest.raises(V4eggError, match="image generator 'autoencoder': option 'weights' is missing"):
        make_image_generator("autoencoder", CANVAS)
