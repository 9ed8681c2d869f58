"""Every image under every judge, normalised by the judge's own responses to the session's natural images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import xarray as xr

from v4egg.judges import Judge
from v4egg.metrics import relative_activation
from v4egg.stimuli import conform, to_float

BEST_NATURAL = "best_natural"


@dataclass
class NaturalImages:
    """The natural images of one session: uint8 (n, c, y, x) and their names, for target units of that session.

    ``known`` holds responses (n, U) that a judge, by name, has given already: some judges are slow.
    """

    images: np.ndarray
    names: Sequence[str]
    units: Sequence[str]
    known: Mapping[str, np.ndarray] = field(default_factory=dict)


def judge_images(
    meis: Mapping[str, xr.DataArray], judges: Sequence[Judge], natural: Sequence[NaturalImages]
) -> xr.Dataset:
    """Score the images of one architecture.

    Args:
        meis: method -> image[unit, seed, channel, y, x] in [0, 1].
        judges: the first is the generators, which also pick each unit's best natural image.
        natural: the natural images of each session that has target units.

    Returns:
        activation, zscore and relative_activation [method, unit, seed, judge] with ``best_natural`` as the last
        method (seed 0 only), took_part[judge], best_natural[unit] and natural_image[unit, channel, y, x].
        Relative activation is (a - mean natural) / (best natural - mean natural) under that judge, where the best
        natural image is the one that the generators pick.
    """
    template = next(iter(meis.values()))
    units, seeds = list(template["unit"].values), template.sizes["seed"]
    names = [judge.name for judge in judges]
    reference = _natural_reference(judges, natural, units)
    shape = (len(meis) + 1, len(units), seeds, len(judges))
    activation = np.full(shape, np.nan, np.float32)
    for m, images in enumerate(meis.values()):
        for s in range(seeds):
            batch = torch.from_numpy(images.isel(seed=s).values)
            for j, judge in enumerate(judges):
                activation[m, :, s, j] = judge(batch, units).numpy()
    activation[-1, :, 0] = reference["best"]
    mean, sd, best = (reference[key][None, :, None] for key in ("mean", "sd", "best"))
    size = template.sizes["y"]
    shown = [conform(image[None], size, template.sizes["channel"])[0] for image in reference["image"]]
    dims = ("method", "unit", "seed", "judge")
    return xr.Dataset(
        {
            "activation": (dims, activation),
            "zscore": (dims, (activation - mean) / sd),
            "relative_activation": (dims, relative_activation(activation, mean, best)),
            "took_part": ("judge", [judge.took_part for judge in judges]),
            "best_natural": ("unit", np.array(reference["name"], object)),
            "natural_image": (("unit", "channel", "y", "x"), np.stack(shown).astype(np.float32) / 255),
        },
        {"method": [*meis, BEST_NATURAL], "unit": units, "judge": names},
    )


def judge_series(images: xr.DataArray, judges: Sequence[Judge]) -> xr.Dataset:
    """Score images of units along a setting; of kind ``judged``.

    Args:
        images: [unit, setting, sample, channel, y, x] in [0, 1], or without ``setting``.

    Returns:
        activation[unit, setting, sample, judge] in the judge's units and took_part[judge].
    """
    if "setting" not in images.dims:
        images = images.expand_dims({"setting": [0.0]}, 1)
    units = [str(unit) for unit in images["unit"].values]
    shape = tuple(images.sizes[dim] for dim in ("unit", "setting", "sample"))
    activation = np.full((*shape, len(judges)), np.nan, np.float32)
    for setting, sample in np.ndindex(shape[1:]):
        batch = torch.from_numpy(images.isel(setting=setting, sample=sample).values)
        for j, judge in enumerate(judges):
            activation[:, setting, sample, j] = judge(batch, units).numpy()
    return xr.Dataset(
        {
            "activation": (("unit", "setting", "sample", "judge"), activation),
            "took_part": ("judge", [judge.took_part for judge in judges]),
        },
        {"unit": units, "setting": images["setting"].values, "judge": [judge.name for judge in judges]},
    )


def _natural_reference(judges: Sequence[Judge], natural: Sequence[NaturalImages], units: Sequence[str]) -> dict:
    """Per unit: the image that the generators pick, and each judge's mean, sd and response to that image."""
    place = {unit: i for i, unit in enumerate(units)}
    shape = (len(units), len(judges))
    found = {"mean": np.full(shape, np.nan), "sd": np.full(shape, np.nan), "best": np.full(shape, np.nan)}
    found |= {"name": [""] * len(units), "image": [None] * len(units)}
    for session in natural:
        images = to_float(session.images)
        rows = [place[unit] for unit in session.units]
        picks = None
        for j, judge in enumerate(judges):
            responses = session.known.get(judge.name)
            if responses is None:
                responses = judge.responses(images, session.units).numpy()
            picks = responses.argmax(0) if picks is None else picks
            found["mean"][rows, j] = responses.mean(0)
            found["sd"][rows, j] = responses.std(0)
            found["best"][rows, j] = responses[picks, np.arange(len(rows))]
        for row, pick in zip(rows, picks, strict=True):
            found["name"][row], found["image"][row] = session.names[pick], session.images[pick]
    return found


def gather_architectures(parts: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """The results of :func:`judge_images` by architecture as one dataset, as :func:`join_architectures` joins them."""
    gathered = join_architectures(parts)
    for name in ("activation", "zscore", "relative_activation"):
        gathered[name] = gathered[name].transpose("method", "arch", "unit", "seed", "judge")
    return gathered


def join_architectures(parts: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Datasets by architecture as one with the dim ``arch``.

    NaN where an architecture lacks a judge, as a mixture of all of them lacks one across.
    """
    judges = list(dict.fromkeys(str(judge) for part in parts.values() for judge in part["judge"].values))
    whole = [part.reindex(judge=judges, fill_value={"took_part": False}) for part in parts.values()]
    return xr.concat(whole, xr.Variable("arch", list(parts)))


def by_session(units: Sequence[str]) -> dict[str, list[str]]:
    """Unit ids grouped by the session that their prefix names (``s190923-u007`` belongs to ``s190923``)."""
    groups: dict[str, list[str]] = {}
    for unit in units:
        groups.setdefault(unit.rsplit("-", 1)[0], []).append(unit)
    return groups
