"""Whether a prior denoises: its error on natural images at several noise levels, and under which schedule it is least.

Weights that are read under another noise schedule, or as if they predicted something else, still make images. A network
that was trained with squared errors has its least error at the time steps of its training, which tells the schedule.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from v4egg.errors import V4eggError
from v4egg.images.processing import conform, to_float
from v4egg.priors.prior import Prior
from v4egg.priors.schedule import PREDICTIONS, SCHEDULES, noise_schedule
from v4egg.seeding import numpy_generator, torch_generator

LEVELS = (0.25, 0.5, 1.0, 2.0)  # standard deviation of the noise, in standard deviations of the images
IMAGES = 4
WORST = 0.9  # of the error of the best guess from each pixel alone; a prior must do better
# Another schedule with less than this much of the error of the given one is the right one. The pool is not what
# the network was trained on, so that a few percent tell nothing.
MARGIN = 0.8
STEPS = (1000, 4000)  # of schedules that are tried; time steps of 4000 that are rescaled are those of 1000


def denoising_error(prior: Prior, images: np.ndarray, seed: int = 0) -> np.ndarray:
    """The squared error of a prior's x0_hat, relative to that of the best guess from each pixel alone.

    At each of :data:`LEVELS` noise is added to images, and the prior's x0_hat is compared with them. The best linear
    guess of a pixel's value from that pixel alone has the error s^2 r^2 / (1 + r^2), where s^2 is the variance of the
    images' pixels and r the noise's standard deviation over s. A prior knows natural images, and does better.

    Args:
        prior: frozen.
        images: uint8 (n, c, y, x), natural ones; at most :data:`IMAGES` of them are used.
        seed: of the choice of images and of the noise.

    Returns:
        The ratio of errors at each level (level,): 0 is perfect, 1 no better than a pixel alone.
    """
    trial = _Trial.of(prior, images, seed)
    return trial.errors(prior, trial.outputs(prior))


def check_denoises(prior: Prior, images: np.ndarray, where: str, seed: int = 0) -> np.ndarray:
    """Refuse a prior that does not denoise natural images, or does so better under another schedule.

    Args:
        prior: frozen.
        images: uint8 (n, c, y, x), natural ones.
        where: whose weights they are, for the error.
        seed: of the choice of images and of the noise.

    Returns:
        The ratio of errors at each of :data:`LEVELS`, see :func:`denoising_error`.

    Raises:
        V4eggError: it does not; names the settings under which it does, where there are any.
    """
    trial = _Trial.of(prior, images, seed)
    errors = trial.errors(prior, trial.outputs(prior))
    others = _under_other_schedules(prior, trial)
    best = min(others, key=others.__getitem__)
    better = others[best] < min(WORST, MARGIN * _mean(errors))
    if _mean(errors) < WORST and not better:
        return errors
    shown = ", ".join(f"{error:.2f}" for error in errors)
    what = (
        f"{where}: the prior does not take noise away as it was trained to: its error on natural images is {shown} "
        f"times that of a guess from each pixel alone, for noise of {', '.join(map(str, LEVELS))} times their sd"
    )
    if better:
        raise V4eggError(f"{what}; set {best} under prior.pretrained, where it is {others[best]:.2f} on average")
    raise V4eggError(
        f"{what}, and no common schedule fits; set under prior.pretrained how it was trained (schedule, steps, betas, "
        "predicts, image_size, num_head_channels), or check: false if these images are none of its kind"
    )


@dataclass(frozen=True)
class _Trial:
    """Images and the noise that is added to them.

    Attributes:
        clean: images or latents (n, *shape).
        noise: (n, *shape).
    """

    clean: Tensor
    noise: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, prior: Prior, images: np.ndarray, seed: int) -> "_Trial":
        """Some of the images, as the prior takes them, and noise of each."""
        chosen = np.sort(numpy_generator(seed, "denoising").permutation(len(images))[:IMAGES])
        shown = to_float(conform(images[chosen], prior.image_shape[1], prior.image_shape[0])).to(prior.unet.device)
        clean = torch.cat([prior.encode(image[None]) for image in shown])
        noise = [torch.randn(prior.shape, generator=torch_generator(seed, "denoising", i)) for i in range(len(chosen))]
        return cls(clean, torch.stack(noise).to(clean))

    @property
    def variance(self) -> Tensor:
        """Of the values of the images about the mean of their channel."""
        return (self.clean - self.clean.mean((0, 2, 3), keepdim=True)).square().mean().double().cpu()

    def steps(self, prior: Prior) -> list[int]:
        """The time step of each level under the schedule of a prior, the nearest there is."""
        relative = self._relative(prior)
        return [int((relative.log() - np.log(level)).abs().argmin()) for level in LEVELS]

    @torch.no_grad()
    def outputs(self, prior: Prior) -> list[Tensor]:
        """What the network predicts at each level (n, channel, y, x)."""
        steps = self.steps(prior)
        return [torch.cat([prior.predict(x[None], t) for x in self._noisy(prior, t)]) for t in steps]

    def errors(self, prior: Prior, outputs: list[Tensor]) -> np.ndarray:
        """The ratio of errors at each level (level,), given what the network predicts there."""
        ratios = []
        for step, output in zip(self.steps(prior), outputs, strict=True):
            found = prior.clean(self._noisy(prior, step), output, step)
            error = (found - self.clean).square().mean().double().cpu() / self.variance
            noise = self._relative(prior)[step].square()
            ratios.append(float(error * (1 + noise) / noise))
        return np.array(ratios)

    def _relative(self, prior: Prior) -> Tensor:
        """The sd of the noise over that of the images, at each time step."""
        kept = prior.scheduler().alphas_cumprod.double()
        return ((1 - kept) / (kept * self.variance)).sqrt()

    def _noisy(self, prior: Prior, step: int) -> Tensor:
        kept = float(prior.scheduler().alphas_cumprod[step])
        return kept**0.5 * self.clean + (1 - kept) ** 0.5 * self.noise


def _under_other_schedules(prior: Prior, trial: _Trial) -> dict[str, float]:
    """Settings, as a configuration has them -> mean error of the same network under them."""
    found = {}
    for name in SCHEDULES:
        for steps in STEPS:
            outputs = trial.outputs(_under(prior, noise_schedule(name, steps)))
            for predicts in PREDICTIONS:
                other = _under(prior, noise_schedule(name, steps, predicts))
                words = f"schedule: {name}, steps: {steps} and predicts: {predicts}"
                found[words] = _mean(trial.errors(other, outputs))
    return found


def _under(prior: Prior, schedule: Mapping[str, Any]) -> Prior:
    """A prior with the same network and another schedule."""
    other = copy.copy(prior)
    other.schedule = dict(schedule)
    other._reference = other.scheduler()
    return other


def _mean(errors: np.ndarray) -> float:
    """Geometric mean."""
    return float(np.exp(np.log(np.maximum(errors, 1e-9)).mean()))
