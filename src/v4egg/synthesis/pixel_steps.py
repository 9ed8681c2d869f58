"""Steps along the gradient with respect to the pixels that keep the best image on the way: shared by compact models."""

from collections.abc import Callable

import torch
from torch import Tensor

from v4egg.errors import V4eggError


def rms(values: Tensor) -> Tensor:
    """Root mean square of each image's values, never exactly 0.

    Args:
        values: (n, ...).

    Returns:
        Root mean squares (n,).
    """
    return values.flatten(1).square().mean(1).sqrt().clamp_min(1e-12)


@torch.enable_grad()
def best_along_gradient(
    start: Tensor,
    score: Callable[[Tensor], Tensor],
    move: Callable[[Tensor, Tensor, int], Tensor],
    steps: int,
    name: str,
) -> tuple[Tensor, Tensor]:
    """Follow the gradient of a score and keep the state of the highest score on the way.

    Args:
        start: the first state (n, ...), such as images or changes of images.
        score: state -> scores (n,), differentiable, each of its own row alone.
        move: state, gradient of the score and number of the step -> next state.
        steps: number of moves.
        name: what is made, for errors.

    Returns:
        The best state of each row (n, ...), and the scores (n, steps + 1) of all states.

    Raises:
        V4eggError: a score is not finite.

    Example:
        >>> import torch
        >>> best, scores = best_along_gradient(
        ...     torch.zeros(1, 1), lambda x: -(x - 0.25).abs().sum(1), lambda x, g, step: x + 0.2 * g, 4, "a point"
        ... )
        >>> round(best.item(), 4), scores.shape
        (0.2, torch.Size([1, 5]))
    """
    state, best = start, start.clone()
    reached = torch.full((len(start),), -torch.inf, device=start.device)
    trajectory = []
    for step in range(steps + 1):
        state = state.detach().requires_grad_()
        scores = score(state)
        if not torch.isfinite(scores).all():
            raise V4eggError(f"{name}: a response is not finite at step {step}; leave the unit out")
        trajectory.append(scores.detach())
        better = trajectory[-1] > reached
        best[better], reached[better] = state.detach()[better], trajectory[-1][better].to(reached)
        if step == steps:
            break
        (gradient,) = torch.autograd.grad(scores.sum(), state)
        state = move(state.detach(), gradient, step)
    return best, torch.stack(trajectory, 1)
