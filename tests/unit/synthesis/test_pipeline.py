"""The pipeline is energy guided diffusion as diffusers' users know pipelines: called, saved, loaded."""

import numpy as np
import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

from v4egg.errors import V4eggError
from v4egg.priors.training import new_prior
from v4egg.synthesis.constraints import PixelRange
from v4egg.synthesis.energy_guided import energy_guided
from v4egg.synthesis.pipeline import EnergyGuidedPipeline


def dark(images):
    return images.mean((1, 2, 3))


def draws(n=2):
    return [torch.Generator().manual_seed(i) for i in range(n)]


@pytest.fixture(scope="module")
def prior():
    torch.manual_seed(0)
    options = {"size": 16, "channels": 3, "patch_size": 2, "widths": [32, 32], "layers": 1}
    return new_prior(options).eval().requires_grad_(False)


@pytest.fixture
def pipe(prior):
    made = EnergyGuidedPipeline.from_prior(prior)
    made.set_progress_bar_config(disable=True)
    return made


def call(pipe, n=2, **options):
    options = {"num_inference_steps": 4, "generator": draws(n), "output_type": "pt", **options}
    return pipe(dark, batch_size=n, **options).images


def test_it_is_energy_guided_diffusion(pipe, prior):
    expected = energy_guided(dark, draws(), prior, steps=4, energy_scale=3.0, constraint=PixelRange())
    assert torch.equal(call(pipe, energy_scale=3.0), expected.images)
    assert expected.evaluations == 4
    assert dark(call(pipe, energy_scale=3.0)).sum() < dark(call(pipe, energy_scale=0.0)).sum()


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_any_pixel_space_unet_with_its_schedule_is_a_prior(prediction, tmp_path):
    torch.manual_seed(0)
    unet = UNet2DModel(
        sample_size=8,
        block_out_channels=(32, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
    )
    pipe = EnergyGuidedPipeline(unet, DDPMScheduler(prediction_type=prediction, beta_schedule="linear"))
    DDPMPipeline(pipe.unet, pipe.scheduler).save_pretrained(tmp_path / "pipe")  # what others publish
    again = EnergyGuidedPipeline.from_pretrained(tmp_path / "pipe")
    for made in (pipe, again):
        made.set_progress_bar_config(disable=True)
    assert again.config.patch_size == 1
    assert torch.allclose(call(pipe, n=1), call(again, n=1), atol=1e-5)


def test_folded_priors_survive_saving(pipe, tmp_path):
    pipe.save_pretrained(tmp_path / "pipe")
    again = EnergyGuidedPipeline.from_pretrained(tmp_path / "pipe")
    again.set_progress_bar_config(disable=True)
    assert torch.allclose(call(pipe), call(again), atol=1e-5)


def test_images_come_as_asked(pipe):
    tensors = call(pipe)
    arrays = call(pipe, output_type="np")
    pictures = call(pipe, output_type="pil")
    assert tensors.shape == (2, 3, 16, 16)
    assert np.allclose(arrays, tensors.permute(0, 2, 3, 1).numpy())
    assert np.abs(np.asarray(pictures[1]) / 255 - arrays[1]).max() <= 1 / 255
    assert torch.equal(call(pipe, return_dict=True), tensors)


def test_the_progress_bar_shows_every_step(pipe, capsys):
    pipe.set_progress_bar_config(disable=False)
    call(pipe, num_inference_steps=3)
    assert "3/3" in capsys.readouterr().err


def test_an_image_with_its_own_generator_is_the_same_in_any_batch(pipe):
    together = call(pipe, n=3)
    alone = pipe(dark, generator=[torch.Generator().manual_seed(2)], num_inference_steps=4, output_type="pt").images
    assert torch.allclose(together[2:], alone, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"energy_scale": -1.0}, "energy_scale is -1"),
        ({"generator": draws(3)}, "3 generators for 2 images"),
        ({"output_type": "jpeg"}, "use pil, np or pt"),
    ],
)
def test_wrong_calls_are_one_line(pipe, options, message):
    with pytest.raises(V4eggError, match=message):
        call(pipe, **options)


def test_an_energy_that_is_not_one_number_an_image_is_named(pipe):
    with pytest.raises(V4eggError, match=r"2 images has shape \(\)"):
        pipe(lambda images: images.mean(), batch_size=2, num_inference_steps=2, generator=draws())
