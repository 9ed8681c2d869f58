"""Most exciting images by evolution: XDream minimizes an energy, for all images of a batch in parallel."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from v4egg.errors import V4eggError
from v4egg.images.processing import Preprocess, resize, to_channels
from v4egg.io.checkpoints import Checkpoint
from v4egg.synthesis.constraints import Constraint
from v4egg.synthesis.energies import Energy
from v4egg.synthesis.method import MethodOptions, Task
from v4egg.synthesis.result import Synthesis
from v4egg.xdream.evolution import Evolution, evolve
from v4egg.xdream.generators import make_image_generator
from v4egg.xdream.generators.generator import ImageGenerator
from v4egg.xdream.optimizers import make_optimizer
from v4egg.xdream.search import SearchOptions

BATCH = 128  # images that the image generator makes at a time


def evolved(
    energy: Energy,
    rngs: Sequence[torch.Generator],
    image_generator: ImageGenerator,
    stimulus_spec: Preprocess,
    *,
    optimizer: str = "genetic",
    settings: Mapping[str, Any] | None = None,
    budget: int = 10_000,
    constraint: Constraint,
    checkpoint: Checkpoint | None = None,
    progress: Callable[[Any], Any] = iter,
) -> Synthesis:
    """Evolve the code of each image without a gradient of the energy.

    Args:
        energy: the energy to minimize; it is evaluated on one image per entry of ``rngs`` at a time, in their order.
        rngs: one CPU generator per image, whose seed keys all random draws of that image's evolution.
        image_generator: turns codes into images, which are resized and converted to ``stimulus_spec``.
        stimulus_spec: size and colour of the images.
        optimizer, settings: a name of :data:`v4egg.xdream.optimizers.OPTIMIZERS` and its options.
        budget: evaluated images per resulting image (published: 10,000).
        constraint: applied to every image before the energy, and to the results.
        checkpoint: where the state is saved; an existing state is resumed.
        progress: wraps the loop over rounds, such as a progress bar.

    Returns:
        The image of lowest energy of each evolution, and its trajectory.

    Raises:
        V4eggError: optimizer or settings are unknown, the budget is smaller than a generation, or the energy is not
            finite.
    """
    start = time.perf_counter()
    keys = [(rng.initial_seed(),) for rng in rngs]
    evolution = Evolution(make_optimizer(optimizer, keys, image_generator.size, **(settings or {})), budget)

    def images_of(codes: Tensor) -> Tensor:
        parts = [to_channels(image_generator(part), stimulus_spec.channels) for part in codes.split(BATCH)]
        return constraint(resize(torch.cat(parts), stimulus_spec.size)).clamp(0, 1)

    def neurons(images: Tensor, run: np.ndarray) -> Tensor:
        by_slot = images.unflatten(0, (len(keys), -1)).transpose(0, 1)
        energies = torch.stack([energy(part) for part in by_slot], 1).flatten()
        if not torch.isfinite(energies).all():
            raise V4eggError(f"evolution: the energy is not finite after {evolution.presentations[0]} presentations")
        return -energies

    batch = len(keys) * evolution.optimizer.population  # no score is missing, so that all runs stay in step
    evolve(evolution, images_of, neurons, batch=batch, checkpoint=checkpoint, progress=progress)
    with torch.no_grad():
        images = images_of(torch.from_numpy(evolution.best_code))
        final = energy(images)
    trajectory = torch.from_numpy(-evolution.history["top"].T).float()
    evaluations = int(evolution.presentations[0]) * getattr(
        energy, "evaluations", 1
    )  # a plain function is an energy too
    return Synthesis(images, final, trajectory, evaluations, time.perf_counter() - start)


class Evolved(MethodOptions, SearchOptions):
    """XDream: evolution of codes of an image generator, which uses no gradient."""

    uses_gradient: ClassVar[bool] = False

    budget: int = Field(10_000, ge=1, description="Images shown for each image that is made.")

    def synthesize(self, task: Task) -> Synthesis:
        """Synthesize the images of a task; reads the store that the image generator requires."""
        image_generator = make_image_generator(
            stimulus_spec=task.stimulus_spec, device=task.device, stores=task.stores, **self.image_generator
        )
        return evolved(
            task.energy,
            task.rngs,
            image_generator,
            task.stimulus_spec,
            optimizer=self.optimizer,
            settings=self.settings,
            budget=self.budget,
            constraint=task.constraint,
            checkpoint=task.checkpoint,
            progress=task.progress,
        )
