"""The diffusion prior as an image generator: the code is the initial noise, denoised by a few deterministic steps."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field
from torch import Tensor

from v4egg.images.processing import Preprocess
from v4egg.priors.loading import load_prior
from v4egg.priors.prior import Prior
from v4egg.xdream.generators.generator import GeneratorOptions, ImageGenerator, store_of


class Diffusion(ImageGenerator):
    """DDIM sampling with the code as the initial noise x_T.

    Song, Meng & Ermon, "Denoising diffusion implicit models", ICLR 2021. A code has as many entries as the image, or
    its latent.

    Args:
        prior: the diffusion prior.
        steps: denoising steps. More steps give better images at proportional cost.

    Raises:
        V4eggError: the prior has fewer training steps.
    """

    def __init__(self, prior: Prior, steps: int = 4) -> None:
        super().__init__()
        self.prior, self.steps, self.shape = prior, steps, prior.image_shape
        self.size = prior.shape[0] * prior.shape[1] * prior.shape[2]
        prior.scheduler(steps, "ddim")  # raises an error now if the steps are impossible

    def decode(self, codes: Tensor) -> Tensor:
        """Images (B, C, y, x) of codes (B, D)."""
        noisy = codes.unflatten(1, self.prior.shape)
        scheduler: Any = self.prior.scheduler(self.steps, "ddim")
        for timestep in scheduler.timesteps:
            # further channels of the output are a learned variance
            output = self.prior.predict(noisy, timestep)[:, : self.prior.shape[0]]
            noisy = scheduler.step(output, timestep, noisy).prev_sample
        return self.prior.decode(noisy)


class DiffusionOptions(GeneratorOptions):
    """The prior, by a few deterministic steps from its initial noise, which is the code."""

    steps: int = Field(4, ge=1, description="Denoising steps of an image.")

    def build(self, stimulus_spec: Preprocess, device: str, stores: Mapping[str, Any]) -> Diffusion:
        """The generator with the prior in the store ``prior``."""
        prior = store_of(stores, "prior", "diffusion")
        return Diffusion(prior if isinstance(prior, Prior) else load_prior(prior, device), self.steps)
