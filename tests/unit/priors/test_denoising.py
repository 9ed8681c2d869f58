"""A prior has to denoise: networks that do are known under their own schedule, and refused under every other."""

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, ConfigMixin, ModelMixin, UNet2DModel
from diffusers.configuration_utils import register_to_config
from diffusers.models.unets.unet_2d import UNet2DOutput

from v4egg.errors import V4eggError
from v4egg.images.photographs import photograph_crops
from v4egg.priors.denoising import LEVELS, check_denoises, denoising_error
from v4egg.priors.latent import LatentPrior
from v4egg.priors.prior import Prior
from v4egg.priors.schedule import noise_schedule

SIZE = 32


class Wiener(ModelMixin, ConfigMixin):
    """The best linear denoiser of images with a power spectrum of 1 / f^2, trained, so to speak, under one schedule."""

    @register_to_config
    def __init__(
        self, sample_size=SIZE, in_channels=3, out_channels=3, schedule="cosine", steps=4000, predicts="epsilon"
    ):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.kept = Prior.scheduler(_Schedule(noise_schedule(schedule, steps))).alphas_cumprod
        frequency = torch.hypot(torch.fft.fftfreq(sample_size)[:, None], torch.fft.rfftfreq(sample_size)[None])
        power = 1 / frequency.clamp_min(0.5 / sample_size).square()
        self.power = 0.25 * power / power.mean()  # of images in [-1, 1] with an sd of one half

    def forward(self, sample, timestep):
        kept = self.kept[min(int(timestep), len(self.kept) - 1)]
        gain = kept.sqrt() * self.power / (kept * self.power + 1 - kept)
        clean = torch.fft.irfft2(torch.fft.rfft2(sample) * gain, s=sample.shape[-2:])
        noise = (sample - kept.sqrt() * clean) / (1 - kept).sqrt()
        velocity = kept.sqrt() * noise - (1 - kept).sqrt() * clean
        return UNet2DOutput(sample={"epsilon": noise, "v": velocity, "sample": clean}[self.config.predicts])


class _Schedule:
    def __init__(self, schedule):
        self.schedule = schedule


@pytest.fixture(scope="module")
def images():
    return photograph_crops(12, SIZE, "test", "denoising")[0]


def read_as(network, schedule="linear", steps=1000, predicts="epsilon"):
    return Prior(network, noise_schedule(schedule, steps, predicts), patch_size=1).eval()


@pytest.mark.parametrize("predicts", ["epsilon", "v", "sample"])
@pytest.mark.parametrize(("schedule", "steps"), [("linear", 1000), ("cosine", 4000), ("scaled_linear", 1000)])
def test_a_denoiser_is_known_under_its_own_schedule_and_refused_under_others(images, schedule, steps, predicts):
    own = {"schedule": schedule, "steps": steps, "predicts": predicts}
    network = Wiener(**own)
    errors = check_denoises(read_as(network, **own), images, "unet.pt")
    assert (errors < 0.75).all()
    others = {"linear": ("cosine", 1000), "cosine": ("linear", 1000), "scaled_linear": ("cosine", 4000)}
    wrong = dict(zip(("schedule", "steps"), others[schedule], strict=True))
    for other in (wrong, {"predicts": "sample" if predicts == "v" else "v"}):
        with pytest.raises(V4eggError, match=r"^unet\.pt: the prior does not take noise away") as error:
            check_denoises(read_as(network, **{**own, **other}), images, "unet.pt")
        assert f"steps: {steps} and predicts: {predicts} under prior.pretrained" in str(error.value)
        assert schedule == "scaled_linear" or f"set schedule: {schedule}, " in str(error.value)  # nearly a linear one
        assert "\n" not in str(error.value)


def test_the_error_is_that_of_its_formula(images):
    """A network that predicts no noise leaves all of it: r^2 over r^2 / (1 + r^2)."""
    network = Wiener()
    network.forward = lambda sample, timestep: UNet2DOutput(sample=torch.zeros_like(sample))
    errors = denoising_error(read_as(network), images)
    assert np.allclose(errors, 1 + np.square(LEVELS), rtol=0.1)


def test_random_weights_are_refused_whatever_their_schedule(images):
    torch.manual_seed(0)
    kinds = {"down_block_types": ("DownBlock2D",), "up_block_types": ("UpBlock2D",)}
    unet = UNet2DModel(sample_size=SIZE, block_out_channels=(32,), layers_per_block=1, **kinds)
    with pytest.raises(V4eggError, match=r"no common schedule fits; set under prior\.pretrained how it was trained"):
        check_denoises(read_as(unet), images, "unet.pt")


def test_latents_are_those_of_the_images(images):
    torch.manual_seed(0)
    blocks = {"block_out_channels": (32, 32), "down_block_types": ("DownEncoderBlock2D",) * 2}
    blocks |= {"up_block_types": ("UpDecoderBlock2D",) * 2}
    vae = AutoencoderKL(**blocks, latent_channels=3, scaling_factor=0.5, shift_factor=0.25).eval()
    prior = LatentPrior(Wiener(sample_size=16), noise_schedule(), vae)
    shown = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        expected = (vae.encode(shown * 2 - 1).latent_dist.mean - 0.25) * 0.5
        assert torch.allclose(prior.encode(shown), expected, atol=1e-5)
        assert denoising_error(prior, images).shape == (len(LEVELS),)
