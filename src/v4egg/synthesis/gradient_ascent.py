"""Images by gradient steps on the pixels, for any energy."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from v4egg.errors import V4eggError
from v4egg.images.processing import Preprocess, blur
from v4egg.synthesis.constraints import Constraint
from v4egg.synthesis.jitter import Jitter
from v4egg.synthesis.method import MethodOptions, Task
from v4egg.synthesis.result import Synthesis, check_finite, image_gradients
from v4egg.synthesis.transparency import Transparency


class GradientAscent(MethodOptions):
    """Gradient steps on the pixels."""

    steps: int = Field(300, ge=1, description="Gradient steps.")
    learning_rate: float = Field(10.0, gt=0, description="Step of AdamW.")
    weight_decay: float = Field(0.01, ge=0, description="Weight decay of AdamW.")
    smoothing: float = Field(1.0, ge=0, description="Standard deviation in pixels of a Gaussian over the gradient.")
    transparency: float = Field(
        0,
        ge=0,
        description="Weight of an opacity that is optimised too, over changing backgrounds: what the unit does not "
        "need then shows the mean colour; such as 0.25; 0: opaque.",
    )
    norm: float | None = Field(80.0, description="L2 norm of the z-scored image; null leaves it free.")
    jitter: Jitter = Jitter()

    def synthesize(self, task: Task) -> Synthesis:
        """The images of a task."""
        options = self.model_dump(include={"steps", "learning_rate", "weight_decay", "smoothing", "transparency"})
        return gradient_ascent(
            task.energy, task.rngs, task.stimulus_spec, constraint=task.constraint, progress=task.progress, **options
        )


@torch.enable_grad()
def gradient_ascent(
    energy: Callable[[Tensor], Tensor],
    rngs: Sequence[torch.Generator],
    preprocess: Preprocess,
    *,
    steps: int = 300,
    learning_rate: float = 10.0,
    weight_decay: float = 0.01,
    smoothing: float = 1.0,
    transparency: float = 0.0,
    constraint: Constraint,
    view: Constraint | None = None,
    goal: Tensor | None = None,
    progress: Callable[[range], Any] = iter,
) -> Synthesis:
    """AdamW on z-scored pixels from N(0, 1) noise, the gradient smoothed, the image constrained after every step.

    This is the baseline of Pierzchlewicz et al. (NeurIPS 2023), after Walker et al. (2019). With a ``view`` the energy
    sees, and the result is, the view of the pixels (blurred and brought to a norm, say), and the pixels themselves are
    free. With a ``goal`` an image is done when its energy falls below it: it is kept as it was then, and the run ends
    when all are done.

    Args:
        energy: what to minimise: images (n, C, y, x) in [0, 1] -> energies (n,), differentiable, each of its own image
            alone.
        rngs: one CPU generator for each image, for its starting noise.
        preprocess: the encoder's; its size, colour and scale are those of the optimised pixels.
        steps: gradient steps (published: 1000).
        learning_rate: step of AdamW (published: 10).
        weight_decay: weight decay of AdamW (published: 0.01).
        smoothing: standard deviation in pixels of the Gaussian that smooths each gradient (published: 1).
        transparency: cost of an opacity that is optimised along with the pixels, over backgrounds that change at every
            step (:class:`v4egg.synthesis.transparency.Transparency`); what the energy does not need then shows the mean
            colour. 0: none.
        constraint: brings images to what may be shown, after each step; of the view, if there is one.
        view: differentiable, from pixels as images to the images that the energy sees.
        goal: (n,) energies to reach.
        progress: wraps the range of steps, for a progress bar.

    Returns:
        The images, at the encoder's size and colour, with their energies.

    Raises:
        V4eggError: the energy is not finite (names energy, unit and step) or has no gradient; or ``transparency`` is
            negative.
    """
    start = time.perf_counter()
    if transparency < 0:
        raise V4eggError(f"transparency is {transparency}; the cost of opacity must be 0 (none) or above")
    shape = (1, preprocess.channels, preprocess.size, preprocess.size)
    pixels = torch.cat([torch.randn(shape, generator=rng) for rng in rngs]).to(preprocess.mean.device)
    free = view is not None
    pixels = (pixels if free else _constrained(pixels, preprocess, constraint)).requires_grad_()
    optimizer = torch.optim.AdamW([pixels], lr=learning_rate, weight_decay=weight_decay)
    layer = Transparency(rngs, preprocess, transparency, smoothing) if transparency else None
    variables = [pixels] if layer is None else [pixels, layer.opacity]
    goal_images = _GoalImages(len(rngs), goal)
    trajectory = []
    for step in progress(range(steps)):
        stimuli = _stimuli(preprocess.invert(pixels), constraint, view, layer)
        energies = energy(stimuli if layer is None else layer.over_noise(stimuli))
        check_finite(energies, energy, "gradient ascent", step)
        trajectory.append(energies.detach())
        if goal_images.done(stimuli, energies, step):
            break
        gradient, *more = image_gradients(energies, *variables)
        gradient = blur(gradient, smoothing)
        length = gradient.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        pixels.grad = gradient / (length + 1e-12) * pixels[0].numel() ** 0.5
        optimizer.step()
        if layer is not None:
            layer.step(*more)
        if not free:
            with torch.no_grad():
                pixels.copy_(_constrained(pixels, preprocess, constraint))
    with torch.no_grad():
        last = _stimuli(preprocess.invert(pixels.detach()), constraint, view, layer)
        images = goal_images.merged(last.clamp(0, 1))
        final = energy(images)
    seconds = time.perf_counter() - start
    evaluations = goal_images.steps(len(trajectory)) * getattr(energy, "evaluations", 1)
    opacity = None if layer is None else layer.opacity.detach()
    return Synthesis(images, final, torch.stack(trajectory, 1), evaluations, seconds, opacity)


def _stimuli(images: Tensor, constraint: Constraint, view: Constraint | None, layer: Transparency | None) -> Tensor:
    """The stimuli that show the pixels as images: themselves, or what view and opacity make of them."""
    if view is None and layer is None:
        return images  # constrained after the step that made them
    images = images if view is None else view(images)
    return constraint(images if layer is None else layer.over_mean(images))


class _GoalImages:
    """Images that have reached their goal, as they were at that step."""

    def __init__(self, n: int, goal: Tensor | None):
        self.goal = goal
        self.images: list[Tensor | None] = [None] * n
        self.reached: list[int | None] = [None] * n

    def done(self, stimuli: Tensor, energies: Tensor, step: int) -> bool:
        """Keep what has just reached its goal; whether all have."""
        if self.goal is None:
            return False
        for row in (energies < self.goal.to(energies)).nonzero().flatten().tolist():
            if self.reached[row] is None:
                self.images[row], self.reached[row] = stimuli[row].detach().clamp(0, 1).clone(), step
        return all(step is not None for step in self.reached)

    def merged(self, images: Tensor) -> Tensor:
        """The kept images, and the given ones where none was kept."""
        return torch.stack(
            [image if at_goal is None else at_goal for image, at_goal in zip(images, self.images, strict=True)]
        )

    def steps(self, n_steps: int) -> int | Tensor:
        """Steps of each image, ``n_steps`` for those that reached no goal."""
        if self.goal is None:
            return n_steps
        return torch.tensor([n_steps if step is None else step + 1 for step in self.reached])


@torch.no_grad()
def _constrained(pixels: Tensor, preprocess: Preprocess, constraint: Constraint) -> Tensor:
    return (constraint(preprocess.invert(pixels)) - preprocess.mean) / preprocess.std
