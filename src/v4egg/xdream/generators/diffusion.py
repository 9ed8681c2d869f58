"""The diffusion prior as a generator: its initial noise is the code, decoded by a few deterministic steps."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field
from torch import Tensor

from v4egg.images.processing import Preprocess
from v4egg.priors.loading import load_prior
from v4egg.priors.prior import Prior
from v4egg.xdream.generators.generator import GeneratorOptions, ImageGenerator, store_of


class Diffusion(ImageGenerator):
    """DDIM steps (Song et al. 2021) from the code as x_T; as many genes as the image, or its latent, has values.

    ``steps`` denoiser passes an image: more steps are better images at that many times the cost.
    """

    def __init__(self, prior: Prior, steps: int = 4):
        super().__init__()
        self.prior, self.steps, self.shape = prior, steps, prior.image_shape
        self.size = prior.shape[0] * prior.shape[1] * prior.shape[2]
        prior.scheduler(steps, "ddim")  # refuses impossible steps now

    def decode(self, codes: Tensor) -> Tensor:
        noisy = codes.unflatten(1, self.prior.shape)
        scheduler = self.prior.scheduler(self.steps, "ddim")
        for timestep in scheduler.timesteps:
            output = self.prior.predict(noisy, timestep)[:, : self.prior.shape[0]]  # without a learned variance
            noisy = scheduler.step(output, timestep, noisy).prev_sample
        return self.prior.decode(noisy)


class DiffusionOptions(GeneratorOptions):
    """The prior, by a few deterministic steps from its initial noise, which is the code."""

    steps: int = Field(4, ge=1, description="Denoising steps of an image.")

    def build(self, stimulus_spec: Preprocess, device: str, stores: Mapping[str, Any]) -> Diffusion:
        """The generator with the prior in the store ``prior``."""
        prior = store_of(stores, "prior", "diffusion")
        return Diffusion(prior if isinstance(prior, Prior) else load_prior(prior, device), self.steps)
