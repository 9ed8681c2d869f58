"""Training on the image pool, step by step: random batches, one loop with checkpoints, and the curve of the loss."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from v4egg.errors import V4eggError
from v4egg.images.processing import to_float
from v4egg.io.checkpoints import Checkpoint

CURVE_EVERY = 25  # steps that one point of the loss curve averages
SAVE_EVERY = 250  # steps between two saved states


def random_batch(images: np.ndarray, n: int, rng: torch.Generator) -> Tensor:
    """Images drawn with replacement, each flipped left-right with probability 1/2.

    Args:
        images: uint8 (image, channel, y, x).
        n: how many are drawn.
        rng: CPU generator.

    Returns:
        (n, channel, y, x) in [0, 1].

    Example:
        >>> random_batch(np.zeros((5, 3, 8, 8), np.uint8), 2, torch.Generator().manual_seed(0)).shape
        torch.Size([2, 3, 8, 8])
    """
    chosen = torch.randint(len(images), (n,), generator=rng)
    batch = to_float(images[chosen.numpy()])
    flip = torch.rand(n, generator=rng) < 0.5
    batch[flip] = batch[flip].flip(-1)
    return batch


def train_by_steps(
    name: str,
    loss_of: Callable[[int], Tensor],
    network: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: Any,
    n_steps: int,
    *,
    average: Any = None,
    checkpoint: Checkpoint | None = None,
    progress: Callable[[range], Any] = iter,
) -> list[float]:
    """Train a network, with the gradient clipped to norm 1.

    Args:
        name: of what is trained, which is also its part of the configuration.
        loss_of: the loss of a step, whose random draws depend on the number of the step only.
        network: in training mode.
        optimizer: of the network's parameters.
        schedule: of the learning rate.
        n_steps: number of steps.
        average: exponential moving average of the parameters (diffusers' ``EMAModel``).
        checkpoint: where the state is saved every :data:`SAVE_EVERY` steps; an existing state is resumed.
        progress: wraps the range of steps, for a progress bar.

    Returns:
        The curve of the loss, each point the mean over :data:`CURVE_EVERY` steps.

    Raises:
        V4eggError: the loss is not finite; the message gives the step.
    """
    parts: Mapping[str, Any] = {"network": network, "optimizer": optimizer, "schedule": schedule}
    parts = parts if average is None else {**parts, "average": average}
    state = checkpoint.resume(parts) if checkpoint else None
    losses = list(state["losses"]) if state else []
    for step in progress(range(len(losses), n_steps)):
        loss = loss_of(step)
        if not torch.isfinite(loss):
            raise V4eggError(f"{name}: the loss is {loss.item()} at step {step}; lower {name}.learning_rate")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if average is not None:
            average.step(network.parameters())
        losses.append(loss.item())
        if checkpoint and (step + 1) % SAVE_EVERY == 0:
            checkpoint.save({part: entry.state_dict() for part, entry in parts.items()} | {"losses": losses})
    return [float(np.mean(losses[i : i + CURVE_EVERY])) for i in range(0, len(losses), CURVE_EVERY)]
