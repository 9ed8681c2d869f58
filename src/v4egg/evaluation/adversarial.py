"""Adversarial images of compact models under every judge, against random changes of the same size.

Images and changes are those of :mod:`v4egg.compact.adversarial`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from v4egg.compact.adversarial import DIRECTIONS, KINDS, adversarial_images, other_phases, random_changes
from v4egg.encoders.unit_model import UnitModel
from v4egg.errors import V4eggError
from v4egg.evaluation.judges import Judge
from v4egg.images.processing import to_float
from v4egg.seeding import numpy_generator, torch_generator
from v4egg.synthesis.pixel_steps import rms

_BATCH = 32  # images


def adversarial_experiment(
    models: UnitModel,
    natural: np.ndarray,
    judges: Sequence[Judge],
    *,
    epsilons: Sequence[float],
    images: int,
    steps: int,
    draws: int,
    reference: int,
    seed: int,
    progress: Callable[[Sequence[str]], Any] = iter,
) -> xr.Dataset:
    """Adversarial images of every unit of ``models`` under every judge; a dataset of kind ``adversarial``.

    Args:
        natural: uint8 (n, C, y, x), images of the session that the models were not fitted to.
        judges: score the images; the first is the models themselves.
        epsilons: largest RMS of a change, in [0, 1] units.
        images: natural images per unit, drawn by (seed, unit).
        draws: random changes of each kind (:data:`KINDS`), image and epsilon.
        reference: natural images, at most, over which each judge's sd is taken.
        seed: everything random is keyed by (seed, what, unit, ...), so batches do not matter.

    Raises:
        V4eggError: there are fewer natural images than asked for.
    """
    if images > len(natural):
        raise V4eggError(f"adversarial: {images} images of {len(natural)} are wanted; lower adversarial.images")
    units = list(models.units)
    choices = np.stack([numpy_generator(seed, "adversarial", u).permutation(len(natural))[:images] for u in units])
    parts = []
    for position, unit in enumerate(progress(units)):
        base = to_float(natural[choices[position]])
        parts.append(_one_unit(models, position, base, judges, epsilons, steps, draws, (seed, unit)))
    dims = {
        "image": ("unit", "direction", "epsilon", "sample", "channel", "y", "x"),
        "rms": ("unit", "direction", "epsilon", "sample"),
        "natural": ("unit", "sample", "judge"),
        "adversarial": ("unit", "direction", "epsilon", "sample", "judge"),
        "random": ("unit", "kind", "epsilon", "sample", "draw", "judge"),
    }
    variables: dict[str, tuple[Any, ...]] = {
        name: (dims[name], np.stack([part[name] for part in parts])) for name in dims
    }
    chosen = numpy_generator(seed, "adversarial reference").permutation(len(natural))[:reference]
    natural_sd = [judge(to_float(natural[chosen]), units).numpy().std(0) for judge in judges]
    variables |= {
        "position": (("unit", "sample"), choices),
        "natural_image": (("unit", "sample", "channel", "y", "x"), natural[choices]),
        "natural_sd": (("unit", "judge"), np.stack(natural_sd, 1)),
        "shares_weights": ("judge", [judge.shares_weights for judge in judges]),
    }
    coords = {"unit": np.array(units, object), "direction": list(DIRECTIONS), "epsilon": list(map(float, epsilons))}
    return xr.Dataset(variables, {**coords, "kind": list(KINDS), "judge": [judge.name for judge in judges]})


def _one_unit(
    models: UnitModel,
    position: int,
    base: Tensor,
    judges: Sequence[Judge],
    epsilons: Sequence[float],
    steps: int,
    draws: int,
    key: tuple[int, str],
) -> dict[str, np.ndarray]:
    """All images of one unit and the judges' responses to them; arrays without the dim unit."""
    n, shape = len(base), base.shape[1:]
    targets = torch.full((n,), position)
    adversarial = torch.stack(
        [
            torch.stack([adversarial_images(models, base, targets, torch.full((n,), s), e, steps) for e in epsilons])
            for s in DIRECTIONS.values()
        ]
    )  # (direction, epsilon, sample, ...)
    white = torch.stack([_noise(key, sample, draws, shape) for sample in range(n)], 1)  # (draw, sample, ...)
    noise = torch.stack([white, torch.stack([other_phases(adversarial[0, -1] - base, part[:, :1]) for part in white])])
    changed = [
        torch.stack([torch.stack([base + random_changes(base, part, e) for part in kind], 1) for e in epsilons])
        for kind in noise
    ]  # by kind: (epsilon, sample, draw, ...)
    stimuli = {"natural": base, "adversarial": adversarial, "random": torch.stack(changed)}
    responses = {name: _judged(judges, images, key[1]) for name, images in stimuli.items()}
    change = rms((adversarial - base).reshape(-1, *shape)).reshape(adversarial.shape[:3])
    return {**responses, "image": adversarial.numpy(), "rms": change.numpy()}


def _noise(key: tuple[int, str], sample: int, draws: int, shape: Sequence[int]) -> Tensor:
    generator = torch_generator(key[0], "adversarial noise", key[1], sample)
    return torch.randn((draws, *shape), generator=generator)


def _judged(judges: Sequence[Judge], images: Tensor, unit: str) -> np.ndarray:
    """Responses (..., judge) of the unit to images (..., C, y, x)."""
    flat = images.reshape(-1, *images.shape[-3:])
    responses = [judge.paired(flat, [unit] * len(flat), _BATCH).numpy() for judge in judges]
    return np.stack(responses, -1).reshape(*images.shape[:-3], len(judges))


def movements(dataset: xr.Dataset) -> xr.Dataset:
    """How far images moved each judge, in sd of its responses to natural images.

    Returns:
        ``adversarial`` (unit, direction, epsilon, judge), in the direction asked for, mean over images; ``random``
        (unit, kind, epsilon, judge), of either sign, mean over images and draws; ``largest`` likewise, mean over images
        of the largest draw. NaN where a judge does not have a unit or responds equally to all images.
    """
    natural_sd = dataset["natural_sd"].where(dataset["natural_sd"] > 0)
    sign = xr.DataArray(list(DIRECTIONS.values()), dims="direction", coords={"direction": list(DIRECTIONS)})
    movement = (dataset["adversarial"] - dataset["natural"]) * sign / natural_sd
    chance = abs(dataset["random"] - dataset["natural"]) / natural_sd
    return xr.Dataset(
        {
            "adversarial": movement.mean("sample").transpose("unit", "direction", "epsilon", "judge"),
            "random": chance.mean(("sample", "draw")).transpose("unit", "kind", "epsilon", "judge"),
            "largest": chance.max("draw").mean("sample").transpose("unit", "kind", "epsilon", "judge"),
        }
    )


def carried_over(movement: xr.Dataset) -> xr.DataArray:
    """Share (unit, direction, epsilon, judge) of the movement under the models that a judge shows too.

    Both in sd of natural responses; NaN where the models themselves were not moved in the direction asked for.
    """
    of_models = movement["adversarial"].isel(judge=0, drop=True)
    return movement["adversarial"] / of_models.where(of_models > 0)


def exceeds_random(movement: xr.Dataset) -> Mapping[str, xr.DataArray]:
    """Whether adversarial images move a judge more than random ones (unit, direction, epsilon, judge); NaN if unknown.

    ``mean``: more than the mean random change of either kind moves it either way; ``all``: more than the largest draw.
    """
    is_judged = movement["adversarial"].notnull()
    return {
        "mean": (movement["adversarial"] > movement["random"].max("kind")).where(is_judged),
        "all": (movement["adversarial"] > movement["largest"].max("kind")).where(is_judged),
    }
