"""Energy-guided diffusion as a diffusers pipeline: components and one call, for any differentiable torch model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from diffusers import AutoencoderKL, DDPMScheduler, DiffusionPipeline, SchedulerMixin, UNet2DModel, VQModel
from diffusers.utils import BaseOutput
from PIL import Image
from torch import Tensor

from v4egg.device import borrowed
from v4egg.errors import V4eggError
from v4egg.priors.latent import LatentPrior
from v4egg.priors.prior import Prior
from v4egg.synthesis.constraints import Constraint, PixelRange, select_rows
from v4egg.synthesis.energies import checked
from v4egg.synthesis.energy_guided import OnStep, energy_guided
from v4egg.synthesis.result import Synthesis
from v4egg.synthesis.schedulers import guidable

OUTPUT_TYPES = ("pil", "np", "pt")
STEP_TENSORS = ("latents", "clean", "energies")


@dataclass
class EnergyGuidedOutput(BaseOutput):
    """What :class:`EnergyGuidedPipeline` returns.

    Attributes:
        images: a list of PIL images, or an array (n, y, x, C) or tensor (n, C, y, x) in [0, 1], by ``output_type``.
        energies: (n,) of the final images, on the CPU.
        trajectory: (n, steps) energy of the denoised image at each step, on the CPU.

    Example:
        >>> output = EnergyGuidedOutput(torch.rand(2, 1, 8, 8), torch.tensor([-1.0, -2.0]), torch.zeros(2, 5))
        >>> output.images.shape, output.energies.argmin().item(), list(output)
        (torch.Size([2, 1, 8, 8]), 1, ['images', 'energies', 'trajectory'])
    """

    images: list[Image.Image] | np.ndarray | Tensor
    energies: Tensor
    trajectory: Tensor


class EnergyGuidedPipeline(DiffusionPipeline):
    """Samples of an unconditional diffusion model with a low energy (Pierzchlewicz et al., NeurIPS 2023).

    The components of any pipeline of a :class:`diffusers.UNet2DModel` over pixels fit, and so do those of one over
    latents that is laid out as :class:`diffusers.LDMPipeline`. Whether the network predicts noise, velocity or the
    sample is read from the scheduler's configuration. Saving, loading, moving and setting components are those of
    diffusers: ``pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)`` changes how images are sampled. A
    call leaves the networks as they were: their device, precision, mode and whether they are trained.

    Args:
        unet: the denoiser.
        scheduler: DDPM, DDIM, DPMSolverMultistep, EulerDiscrete or EulerAncestralDiscrete.
        patch_size: side of the pixel blocks that are the network's channels; 1 for networks that see pixels or latents.
        vqvae: the autoencoder whose latents are denoised; None: pixels.

    Example:
        >>> import torch
        >>> from diffusers import DDIMScheduler, DDPMScheduler, UNet2DModel
        >>> blocks = {"down_block_types": ("DownBlock2D",), "up_block_types": ("UpBlock2D",)}
        >>> unet = UNet2DModel(sample_size=8, block_out_channels=(32,), layers_per_block=1, **blocks)
        >>> pipe = EnergyGuidedPipeline(unet, DDPMScheduler())
        >>> pipe.set_progress_bar_config(disable=True)
        >>> pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
        >>> def brightness(images):
        ...     return images.mean((1, 2, 3))
        >>> rngs = [torch.Generator().manual_seed(seed) for seed in range(3)]
        >>> output = pipe(brightness, batch_size=3, num_inference_steps=2, generator=rngs, output_type="pt")
        >>> output.images.shape, output.energies.shape, output.trajectory.shape
        (torch.Size([3, 3, 8, 8]), torch.Size([3]), torch.Size([3, 2]))
    """

    _optional_components: ClassVar[list[str]] = ["vqvae"]
    _callback_tensor_inputs: ClassVar[list[str]] = list(STEP_TENSORS)

    def __init__(
        self,
        unet: UNet2DModel,
        scheduler: SchedulerMixin,
        patch_size: int = 1,
        vqvae: VQModel | AutoencoderKL | None = None,
    ):
        super().__init__()
        self.register_modules(unet=unet, scheduler=scheduler, vqvae=vqvae)
        self.register_to_config(patch_size=patch_size)

    @classmethod
    def from_prior(cls, prior: Prior) -> "EnergyGuidedPipeline":
        """The pipeline of a prior, such as :func:`v4egg.load_prior` gives; it shares the prior's networks."""
        scheduler = DDPMScheduler.from_config(prior.schedule)
        return cls(prior.unet, scheduler, prior.patch_size, getattr(prior, "vae", None))

    def __call__(
        self,
        energy: Callable[[Tensor], Tensor],
        batch_size: int = 1,
        num_inference_steps: int = 50,
        energy_scale: float | Sequence[float] = 2.0,
        guidance: str = "full",
        smoothing: float = 0.0,
        noise_scaled: bool = False,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        latents: Tensor | None = None,
        constraint: Constraint | None = None,
        max_batch_size: int | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: Callable[..., dict[str, Tensor] | None] | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
    ) -> EnergyGuidedOutput | tuple[Any, ...]:
        """Make images of low energy.

        Args:
            energy: what to minimise: images (n, C, y, x) in [0, 1] -> energies (n,), differentiable.
            batch_size: number of images.
            num_inference_steps: denoising steps.
            energy_scale: lambda, the L2 length of a guidance step in the denoiser's pixels [-1, 1] or latents; one for
                all images or one for each. 0 samples without guidance.
            guidance: see :func:`v4egg.synthesis.energy_guided.energy_guided`.
            smoothing: see there.
            noise_scaled: see there.
            generator: one generator for each image, so that no image depends on the others; or one for all, which draws
                for one image after the other; None: torch's own. On the CPU or on the pipeline's device.
            latents: starting noise (n, channels, y, x) of the denoiser's pixels or latents; None: drawn.
            constraint: applied to an image before the energy sees it, and at the end; None: the pixel range.
            max_batch_size: images computed at once; None: all. An energy or constraint that treats images differently
                needs a method ``select(rows)``, which those of v4egg have.
            output_type: ``pil``, ``np`` (n, y, x, C) or ``pt`` (n, C, y, x), all in [0, 1].
            return_dict: whether to return an :class:`EnergyGuidedOutput` or a plain tuple of the same.
            callback_on_step_end: called as ``callback(pipe, step, timestep, tensors)`` at the end of each step of each
                batch; may return a dict with ``latents`` to go on from.
            callback_on_step_end_tensor_inputs: which tensors the callback gets: ``latents``, ``clean`` (the denoised
                images) and ``energies``.

        Returns:
            The images, their energies and the energies on the way.

        Raises:
            V4eggError: an argument is impossible, the scheduler cannot be guided, or the energy is not finite, not one
                number per image, or has no gradient.
        """
        if output_type not in OUTPUT_TYPES:
            raise V4eggError(f"output_type is {output_type!r}; use pil, np or pt")
        wrong = [name for name in callback_on_step_end_tensor_inputs if name not in STEP_TENSORS]
        if wrong:
            raise V4eggError(f"callback_on_step_end_tensor_inputs has {wrong[0]!r}; known: {', '.join(STEP_TENSORS)}")
        rngs = _one_each(generator, batch_size)
        _check_numbers(batch_size, latents, energy_scale, max_batch_size)
        energy, constraint = checked(energy), constraint or PixelRange()
        parts = []
        with borrowed(self._prior()) as prior:
            for rows in _batches(batch_size, max_batch_size):
                part = energy_guided(
                    select_rows(energy, rows),
                    rngs[rows],
                    prior,
                    steps=num_inference_steps,
                    energy_scale=energy_scale if isinstance(energy_scale, int | float) else energy_scale[rows],
                    smoothing=smoothing,
                    guidance=guidance,
                    noise_scaled=noise_scaled,
                    constraint=select_rows(constraint, rows),
                    scheduler=guidable(self.scheduler),
                    noise=None if latents is None else latents[rows],
                    on_step=self._on_step(callback_on_step_end, callback_on_step_end_tensor_inputs),
                    progress=self.progress_bar,
                )
                parts.append(part)
        return _output(parts, output_type, return_dict)

    def _prior(self) -> Prior:
        if self.vqvae is None:
            return Prior(self.unet, self.scheduler.config, self.config.patch_size)
        return LatentPrior(self.unet, self.scheduler.config, self.vqvae)

    def _on_step(self, callback: Callable[..., Any] | None, names: Sequence[str]) -> OnStep | None:
        if callback is None:
            return None

        def on_step(step: int, timestep: Tensor, tensors: dict[str, Tensor]) -> dict[str, Tensor] | None:
            return callback(self, step, timestep, {name: tensors[name] for name in names})

        return on_step


def _one_each(generator: torch.Generator | Sequence[torch.Generator] | None, n: int) -> list[torch.Generator]:
    """A generator for each of n images."""
    if isinstance(generator, torch.Generator) or generator is None:
        return [generator or torch.default_generator] * n
    if len(generator) != n:
        raise V4eggError(f"{len(generator)} generators for {n} images; give one each, or one for all")
    return list(generator)


def _check_numbers(n: int, latents: Tensor | None, energy_scale: float | Sequence[float], most: int | None) -> None:
    if n < 1 or (most is not None and most < 1):
        raise V4eggError(f"batch_size is {n} and max_batch_size {most}; use 1 or more")
    if latents is not None and len(latents) != n:
        raise V4eggError(f"{len(latents)} latents for {n} images; give one for each")
    if not isinstance(energy_scale, int | float) and len(energy_scale) != n:
        raise V4eggError(f"{len(energy_scale)} energy_scale for {n} images; give one for all, or one each")


def _batches(n: int, most: int | None) -> list[slice]:
    size = n if most is None else most
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def _output(parts: Sequence[Synthesis], output_type: str, return_dict: bool) -> EnergyGuidedOutput | tuple[Any, ...]:
    pixels = torch.cat([part.images.cpu() for part in parts])
    arrays = pixels.permute(0, 2, 3, 1)
    images: Any = pixels if output_type == "pt" else arrays.numpy()
    if output_type == "pil":
        images = DiffusionPipeline.numpy_to_pil(images)
    energies, trajectory = (
        torch.cat([getattr(part, key).cpu() for part in parts]) for key in ("energies", "trajectory")
    )
    output = EnergyGuidedOutput(images=images, energies=energies, trajectory=trajectory)
    return output if return_dict else (output.images, output.energies, output.trajectory)
