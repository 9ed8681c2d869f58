"""The pipeline is energy guided diffusion as diffusers' users know pipelines: called, saved, loaded."""

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    PNDMScheduler,
    UNet2DModel,
)

from v4egg.errors import V4eggError
from v4egg.images.processing import Preprocess
from v4egg.priors.training import new_prior
from v4egg.synthesis.constraints import L2Norm, PixelRange, chain
from v4egg.synthesis.diversity import Diverse
from v4egg.synthesis.energies import Excite
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
        ({"latents": torch.zeros(3, 3, 16, 16)}, "3 latents for 2 images"),
        ({"latents": torch.zeros(2, 3, 8, 8)}, r"latents have shape \(2, 3, 8, 8\); give \(2, 3, 16, 16\)"),
        ({"energy_scale": [1.0]}, "1 energy_scale for 2 images"),
        ({"max_batch_size": 0}, "max_batch_size 0; use 1 or more"),
        ({"num_inference_steps": 0}, "steps is 0; use 1 to 1000"),
        ({"callback_on_step_end_tensor_inputs": ["noise"]}, "has 'noise'; known: latents, clean, energies"),
    ],
)
def test_wrong_calls_are_one_line(pipe, options, message):
    with pytest.raises(V4eggError, match=message):
        call(pipe, **options)


def test_an_energy_that_is_not_one_number_an_image_is_named(pipe):
    with pytest.raises(V4eggError, match=r"2 images has shape \(\)"):
        pipe(lambda images: images.mean(), batch_size=2, num_inference_steps=2, generator=draws())


SCHEDULERS = [
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    EulerAncestralDiscreteScheduler,
    DDPMScheduler,
]


def plain(prior, scheduler, steps=4):
    """Samples by the scheduler as diffusers' own pipelines make them, at the last denoised image."""
    rngs = draws()
    noise = torch.cat([torch.randn((1, 3, 16, 16), generator=rng) for rng in rngs])
    scheduler.set_timesteps(steps)
    noisy = noise * scheduler.init_noise_sigma
    for timestep in scheduler.timesteps:
        output = prior.predict(scheduler.scale_model_input(noisy, timestep), timestep)
        drawn = {"generator": rngs} if isinstance(scheduler, DDPMScheduler | EulerAncestralDiscreteScheduler) else {}
        noisy = scheduler.step(output, timestep, noisy, **drawn).prev_sample
    return ((noisy + 1) / 2).clamp(0, 1)


@pytest.mark.parametrize("kind", SCHEDULERS)
def test_the_scheduler_that_is_set_is_obeyed(kind, pipe, prior):
    default = call(pipe)
    pipe.scheduler = kind.from_config(pipe.scheduler.config)
    before = dict(pipe.scheduler.config)
    free = call(pipe, energy_scale=0.0)
    with torch.no_grad():
        expected = plain(prior, kind.from_config(pipe.scheduler.config))
    assert torch.allclose(free, expected, atol=2e-4)  # the last step adds no noise
    assert torch.equal(default, call(pipe)) == (kind is DDPMScheduler)
    assert (dark(call(pipe)) < dark(free) - 0.01).all()
    assert dict(pipe.scheduler.config) == before


@pytest.mark.parametrize("kind", SCHEDULERS[:-1])
def test_lambda_means_the_same_for_every_scheduler(kind, pipe):
    """Energies after guidance are as low as by the default scheduler, though Euler's x_t is larger at first."""
    lowered = {}
    for scheduler in (DDIMScheduler, kind):
        pipe.scheduler = scheduler.from_config(pipe.scheduler.config)
        options = {"num_inference_steps": 12}
        change = dark(call(pipe, energy_scale=0.0, **options)) - dark(call(pipe, energy_scale=3.0, **options))
        lowered[scheduler] = change.mean().item()
    assert 0.5 < lowered[kind] / lowered[DDIMScheduler] < 2.0


def test_schedulers_that_cannot_be_guided_are_one_line(pipe):
    pipe.scheduler = PNDMScheduler.from_config(pipe.scheduler.config)
    with pytest.raises(V4eggError, match=r"PNDMScheduler cannot be guided; set pipe.scheduler to one of DDPMScheduler"):
        call(pipe)
    pipe.scheduler = EulerDiscreteScheduler(prediction_type="sample")
    with pytest.raises(V4eggError, match="does not step a denoiser that predicts the sample"):
        call(pipe)
    pipe.scheduler = DPMSolverMultistepScheduler(use_flow_sigmas=True, prediction_type="flow_prediction")
    with pytest.raises(V4eggError, match="which cannot be guided"):
        call(pipe)


def test_a_call_leaves_the_network_as_it_was(pipe):
    unet = pipe.unet
    unet.train().requires_grad_(True)
    unet.conv_in.eval().requires_grad_(False)

    def flags():
        return [p.requires_grad for p in unet.parameters()], [m.training for m in unet.modules()], unet.dtype

    before = flags()
    call(pipe)
    assert flags() == before
    with pytest.raises(ZeroDivisionError):
        pipe(lambda images: 1 / 0, num_inference_steps=2)
    assert flags() == before
    assert all(parameter.grad is None for parameter in unet.parameters())
    unet.eval().requires_grad_(False)  # the prior is shared by the tests


def test_generators_latents_and_batches(pipe):
    assert torch.equal(call(pipe, n=3), call(pipe, n=3))
    one = torch.Generator().manual_seed(3)
    assert not torch.equal(*call(pipe, generator=one))
    torch.manual_seed(5)
    unseeded = call(pipe, generator=None)
    torch.manual_seed(5)
    assert torch.equal(unseeded, call(pipe, generator=None))
    for size in (1, 2, 5):
        assert torch.allclose(call(pipe, n=3, max_batch_size=size), call(pipe, n=3), atol=1e-5)
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    noise = torch.cat([torch.randn((1, 3, 16, 16), generator=rng) for rng in draws()])
    assert torch.equal(call(pipe, latents=noise, generator=draws(2)[::-1]), call(pipe))


def test_parts_of_a_batch_have_their_own_units_weights_and_norms(pipe):
    class Channels(torch.nn.Module):
        def paired(self, images, units):
            return images.mean((2, 3)).gather(1, units[:, None])[:, 0]

    preprocess = Preprocess(16, 3, [0.5] * 3, [0.2] * 3)
    energy = torch.tensor([1.0, 2.0, 0.5]) * Excite(Channels(), torch.tensor([0, 1, 2]))
    options = {
        "batch_size": 3,
        "num_inference_steps": 3,
        "energy_scale": [1.0, 2.0, 3.0],
        "constraint": chain(L2Norm(torch.tensor([5.0, 10.0, 15.0]), preprocess), PixelRange()),
        "output_type": "pt",
    }
    whole = pipe(energy, generator=draws(3), **options)
    parts = pipe(energy, generator=draws(3), max_batch_size=2, **options)
    assert torch.allclose(whole.images, parts.images, atol=1e-5)
    assert torch.allclose(whole.energies, parts.energies, atol=1e-4)
    assert parts.trajectory.shape == (3, 3)
    assert torch.allclose(whole.energies, energy(whole.images), atol=1e-5)
    with pytest.raises(V4eggError, match="a group of images is cut by batches"):
        pipe(energy + Diverse(torch.tensor([0, 1, 0])), generator=draws(3), max_batch_size=2, **options)


def test_the_callback_sees_each_step_and_can_change_it(pipe):
    seen = []

    def watch(pipeline, step, timestep, tensors):
        assert pipeline is pipe
        seen.append((step, int(timestep), sorted(tensors), tensors["energies"].shape))

    names = ["latents", "energies"]
    unchanged = call(pipe, callback_on_step_end=watch, callback_on_step_end_tensor_inputs=names)
    assert [step for step, *_ in seen] == [0, 1, 2, 3]
    assert seen[0][1] > seen[1][1] and seen[0][2:] == (["energies", "latents"], (2,))
    assert torch.equal(unchanged, call(pipe))

    def restart(pipeline, step, timestep, tensors):
        return {"latents": torch.zeros_like(tensors["latents"])}

    assert not torch.allclose(call(pipe, callback_on_step_end=restart), unchanged, atol=1e-3)


def test_outputs_hold_energies_and_the_way_there(pipe):
    options = {"batch_size": 2, "num_inference_steps": 4, "output_type": "pt"}
    made = pipe(dark, generator=draws(), **options)
    assert torch.allclose(made.energies, dark(made.images), atol=1e-6)
    assert made.trajectory.shape == (2, 4)
    images, energies, trajectory = pipe(dark, generator=draws(), return_dict=False, **options)
    assert torch.equal(images, made.images) and torch.equal(energies, made.energies)
    assert torch.equal(trajectory, made["trajectory"])


@pytest.mark.parametrize(
    "energy", [lambda images: images.detach().mean((1, 2, 3)), lambda images: torch.zeros(2, requires_grad=True)]
)
def test_an_energy_without_a_gradient_is_named(pipe, energy):
    with pytest.raises(V4eggError, match="the energy has no gradient with respect to the images"):
        call_with(pipe, energy)


def call_with(pipe, energy):
    return pipe(energy, batch_size=2, num_inference_steps=2, generator=draws(), output_type="pt")


def test_it_works_where_gradients_are_off(pipe):
    expected = call(pipe)
    with torch.no_grad():
        assert torch.equal(call(pipe), expected)
