"""Noise schedules by name are those of the published trainings, and what cannot work is refused."""

import pytest
import torch
from diffusers import DDPMScheduler, EulerDiscreteScheduler

from v4egg.errors import V4eggError
from v4egg.priors.schedule import check_schedule, check_variance, last_signal, noise_schedule
from v4egg.synthesis.schedulers import guidable


@pytest.mark.parametrize("steps", [1000, 4000])
def test_linear_betas_are_those_of_guided_diffusion(steps):
    """get_named_beta_schedule: the ends are scaled by 1000 / steps."""
    betas = DDPMScheduler.from_config(noise_schedule("linear", steps)).betas
    expected = torch.linspace(0.0001 * 1000 / steps, 0.02 * 1000 / steps, steps)
    assert torch.allclose(betas, expected, atol=1e-8)


def test_the_cosine_schedule_is_that_of_improved_diffusion():
    """alpha_bar = cos^2((t + 0.008) / 1.008 pi / 2), and betas of at most 0.999."""
    found = DDPMScheduler.from_config(noise_schedule("cosine", 4000)).alphas_cumprod.double()
    time = torch.arange(4001, dtype=torch.float64) / 4000
    curve = ((time + 0.008) / 1.008 * torch.pi / 2).cos().square()
    assert torch.allclose(found[:3990], (curve[1:] / curve[0])[:3990], atol=1e-4)


def test_given_betas_are_taken_as_they_are():
    options = noise_schedule("scaled_linear", 1000, betas=(0.0015, 0.0195))
    betas = DDPMScheduler.from_config(options).betas
    assert torch.allclose(betas, torch.linspace(0.0015**0.5, 0.0195**0.5, 1000) ** 2)


def test_predicted_noise_is_clipped_where_its_error_would_be_amplified():
    assert noise_schedule("cosine")["clip_sample"] and not noise_schedule("linear")["clip_sample"]
    assert not noise_schedule("cosine", predicts="v")["clip_sample"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"schedule": "sigmoid"}, "schedule is 'sigmoid'; give one of linear, cosine, scaled_linear"),
        ({"predicts": "noise"}, "predicts is 'noise'; give one of epsilon, v, sample"),
        ({"schedule": "cosine", "betas": (1e-4, 0.02)}, "the cosine schedule has none"),
        ({"betas": (0.02, 1e-4)}, "betas are 0.02 and 0.0001; give the first and the last, ascending"),
    ],
)
def test_what_is_unknown_or_impossible_is_refused(options, words):
    with pytest.raises(V4eggError, match=words):
        noise_schedule(**options)


@pytest.mark.parametrize("kind", [DDPMScheduler, EulerDiscreteScheduler])
def test_noise_alone_at_the_end_needs_another_prediction(kind):
    """The energy was blamed, and its step size."""
    scheduler = kind(rescale_betas_zero_snr=True)
    with pytest.raises(V4eggError, match=r"ends in noise alone \(rescale_betas_zero_snr\).*v_prediction or sample, or"):
        guidable(scheduler)
    velocity = kind(rescale_betas_zero_snr=True, prediction_type="v_prediction")
    assert guidable(velocity).config.prediction_type == "v_prediction"
    check_schedule(noise_schedule("cosine"))
    assert last_signal(velocity.config) == 0


def test_a_variance_has_to_fit_the_channels():
    check_variance({"variance_type": "learned_range"}, learned=True)
    check_variance({}, learned=False)
    with pytest.raises(
        V4eggError, match=r"'learned', and the network has no channels .* give fixed_small or fixed_large"
    ):
        check_variance({"variance_type": "learned"}, learned=False)
    with pytest.raises(
        V4eggError, match=r"'fixed_small', and the network has channels .* give learned or learned_range"
    ):
        check_variance({"variance_type": "fixed_small"}, learned=True)
