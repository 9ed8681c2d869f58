"""What all methods of synthesis share: their common options, and the task that each of them is given."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from pydantic import Field

from v4egg.images.processing import Preprocess
from v4egg.io.checkpoints import Checkpoint
from v4egg.registry import Options
from v4egg.synthesis.constraints import Constraint
from v4egg.synthesis.energies import Energy
from v4egg.synthesis.result import Synthesis


@dataclass
class Task:
    """What a method of synthesis is given: the energy of a batch of images, and what it may need to make them.

    Attributes:
        energy: what to minimise, of all images of the batch at once.
        rngs: one CPU generator for each image.
        stimulus_spec: size, colour and scale of the images.
        constraint: what an image becomes before the energy sees it, and at the end.
        device: where to compute.
        progress: wraps the range of steps.
        stores: paths of the stores that the method's entry requires, by name; in the place of a path may stand what it
            holds, such as a :class:`~v4egg.priors.prior.Prior`.
        checkpoint: where a method that takes long keeps its state.
    """

    energy: Energy
    rngs: list[torch.Generator]
    stimulus_spec: Preprocess
    constraint: Constraint
    device: str
    progress: Callable[..., Any]
    stores: Mapping[str, Any] = field(default_factory=dict)
    checkpoint: Checkpoint | None = None


class MethodOptions(Options):
    """Options that every method of synthesis has.

    Attributes:
        uses_gradient: whether the method needs the gradient of the energy with respect to the image.
    """

    uses_gradient: ClassVar[bool] = True

    norm: float | None = Field(None, description="L2 norm of the z-scored image; null leaves it free.")
    uncertainty_penalty: float = Field(
        0,
        ge=0,
        description="k in the energy mean - k sd over the generators; above 0, an image that only one member predicts "
        "to be exciting gains little.",
    )

    @abstractmethod
    def synthesize(self, task: Task) -> Synthesis:
        """The images of a task."""
