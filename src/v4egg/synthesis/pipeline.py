"""Energy guided diffusion in diffusers' own convention: components and one call, for any torch model."""

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from diffusers import AutoencoderKL, DDPMScheduler, DiffusionPipeline, UNet2DModel, VQModel
from diffusers.pipelines.pipeline_utils import ImagePipelineOutput
from torch import Tensor

from v4egg.errors import V4eggError
from v4egg.priors.latent import LatentPrior
from v4egg.priors.prior import Prior
from v4egg.synthesis.constraints import Constraint, PixelRange
from v4egg.synthesis.energy_guided import energy_guided


class EnergyGuidedPipeline(DiffusionPipeline):
    """Samples of an unconditional diffusion model that make an energy small (Pierzchlewicz et al. 2023).

    Any pipeline of a :class:`diffusers.UNet2DModel` and a DDPM schedule over pixels gives its components, and so does
    one over latents that is laid out as :class:`diffusers.LDMPipeline`; whether it predicts noise, velocity or the
    sample is read from the schedule. Saving and loading are those of diffusers.

    Args:
        unet: the denoiser; frozen by the first call.
        scheduler: its noise schedule.
        patch_size: side of the pixel blocks that are the network's channels; 1 for networks that see pixels or latents.
        vqvae: the autoencoder whose latents are denoised; None: pixels.
    """

    _optional_components: ClassVar[list[str]] = ["vqvae"]

    def __init__(
        self,
        unet: UNet2DModel,
        scheduler: DDPMScheduler,
        patch_size: int = 1,
        vqvae: VQModel | AutoencoderKL | None = None,
    ):
        super().__init__()
        self.register_modules(unet=unet, scheduler=scheduler, vqvae=vqvae)
        self.register_to_config(patch_size=patch_size)

    @classmethod
    def from_prior(cls, prior: Prior) -> "EnergyGuidedPipeline":
        """The pipeline of a prior (:func:`v4egg.load_prior`)."""
        scheduler = DDPMScheduler.from_config(prior.schedule)
        return cls(prior.unet, scheduler, prior.patch_size, getattr(prior, "vae", None))

    def __call__(
        self,
        energy: Callable[[Tensor], Tensor],
        batch_size: int = 1,
        num_inference_steps: int = 50,
        energy_scale: float = 2.0,
        sampler: str = "ancestral",
        guidance: str = "full",
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        constraint: Constraint | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
    ) -> ImagePipelineOutput | tuple:
        """Make images.

        Args:
            energy: images (B, C, y, x) in [0, 1] -> (B,), differentiable; its gradient is what is walked down.
            batch_size: how many images.
            num_inference_steps: denoising steps.
            energy_scale: lambda, the L2 length of a guidance step in the denoiser's pixels [-1, 1] or latents; 0
                samples plainly.
            sampler, guidance: see :func:`v4egg.synthesis.energy_guided.energy_guided`.
            generator: one CPU generator an image, so that no image depends on the others; or one for all.
            constraint: what an image becomes before the energy sees it, and at the end; None: the pixel range.
            output_type: ``pil``, ``np`` (n, y, x, C) or ``pt`` (n, C, y, x), all in [0, 1].
            return_dict: whether to return an :class:`ImagePipelineOutput` or a plain tuple.

        Raises:
            V4eggError: lambda is negative, the energy is not finite or not one number an image, the output type is
                unknown, or generators and images differ in number.
        """
        if output_type not in ("pil", "np", "pt"):
            raise V4eggError(f"output_type is {output_type!r}; use pil, np or pt")
        prior = self._prior().eval().requires_grad_(False)
        made = energy_guided(
            _one_each(energy),
            _generators(generator, batch_size),
            prior,
            steps=num_inference_steps,
            energy_scale=energy_scale,
            sampler=sampler,
            guidance=guidance,
            constraint=constraint or PixelRange(),
            progress=self.progress_bar,
        )
        images = _converted(made.images.cpu(), output_type)
        return ImagePipelineOutput(images=images) if return_dict else (images,)

    def _prior(self) -> Prior:
        if self.vqvae is None:
            return Prior(self.unet, self.scheduler.config, self.config.patch_size)
        return LatentPrior(self.unet, self.scheduler.config, self.vqvae)


def _one_each(energy: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def checked(images: Tensor) -> Tensor:
        energies = energy(images)
        if energies.shape != images.shape[:1]:
            expected = f"({len(images)},), one number an image"
            raise V4eggError(f"the energy of {len(images)} images has shape {tuple(energies.shape)}; return {expected}")
        return energies

    return checked


def _generators(generator, batch_size: int) -> list[torch.Generator]:
    if isinstance(generator, Sequence):
        if len(generator) != batch_size:
            raise V4eggError(f"{len(generator)} generators for {batch_size} images; give one each, or one for all")
        return list(generator)
    return [generator or torch.default_generator] * batch_size


def _converted(images: Tensor, output_type: str):
    if output_type == "pt":
        return images
    arrays = images.permute(0, 2, 3, 1).numpy()
    return arrays if output_type == "np" else DiffusionPipeline.numpy_to_pil(arrays)
