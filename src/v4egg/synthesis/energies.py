"""Energies: one differentiable number per image that synthesis makes small. Energies add, subtract and scale.

An energy sees images after the constraints (:mod:`v4egg.synthesis.constraints`). Any function from images (n, C, y, x)
in [0, 1] to energies (n,) is one; the classes here also say which unit an image is for, how many images the model sees,
and how to cut a batch. :class:`v4egg.synthesis.diversity.Differ` and :class:`~v4egg.synthesis.diversity.Diverse`
compare images with one another, and :class:`v4egg.synthesis.jitter.Jittered` averages an energy over perturbed copies.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from v4egg.errors import V4eggError
from v4egg.synthesis.constraints import select_rows

TINY = 1e-12  # under a root whose gradient must stay finite at 0


class Energy:
    """Base class: images (n, C, y, x) in [0, 1] -> energies (n,).

    ``a + b``, ``a - b``, ``-a``, ``2 * a`` and ``a * weights`` are energies too, with one number for all images or a
    tensor (n,) with one for each, on either side.

    Attributes:
        evaluations: images that the model sees for each image of the batch.

    Example:
        >>> import torch
        >>> class Brightness(Energy):
        ...     def __call__(self, images):
        ...         return images.mean((1, 2, 3))
        >>> energy = torch.tensor([1.0, -1.0]) * Brightness() + 0.5 * Brightness()
        >>> energy(torch.ones(2, 3, 4, 4))
        tensor([ 1.5000, -0.5000])
    """

    evaluations: int = 1
    __array_ufunc__ = None  # so that a numpy factor on the left asks the energy, rather than each of its elements

    def __call__(self, images: Tensor) -> Tensor:
        raise TypeError(f"{type(self).__name__} must define __call__(images) -> energy")

    def describe(self, row: int) -> str:
        """What the energy is of one image of the batch, for messages; names its target unit if there is one."""
        target = getattr(self, "units", None)
        names = getattr(getattr(self, "model", None), "units", None)
        if target is None or names is None or len(target) <= row:
            return f"{type(self).__name__} of image {row}"
        return f"{type(self).__name__} of unit {names[int(target[row])]}"

    def select(self, rows: slice) -> "Energy":
        """The energy of some images of the batch; itself where all images are treated alike."""
        return self

    def __add__(self, other: "Energy") -> "Energy":
        return _Sum(self, other)

    def __sub__(self, other: "Energy") -> "Energy":
        return _Sum(self, -1.0 * other)

    def __neg__(self) -> "Energy":
        return _Scaled(self, -1.0)

    def __mul__(self, factor: float | Tensor) -> "Energy":
        return _Scaled(self, factor)

    __rmul__ = __mul__


class _Sum(Energy):
    def __init__(self, first: Energy, second: Energy):
        self.first, self.second = first, second
        self.evaluations = first.evaluations + second.evaluations

    def __call__(self, images: Tensor) -> Tensor:
        return self.first(images) + self.second(images)

    def describe(self, row: int) -> str:
        return f"{self.first.describe(row)} + {self.second.describe(row)}"

    def select(self, rows: slice) -> Energy:
        return _Sum(self.first.select(rows), self.second.select(rows))


class _Scaled(Energy):
    def __init__(self, energy: Energy, factor: float | Tensor):
        array = hasattr(factor, "__array__") and not isinstance(factor, Tensor)
        self.energy = energy
        self.factor: float | Tensor = torch.as_tensor(factor) if array else factor
        self.evaluations = energy.evaluations

    def __call__(self, images: Tensor) -> Tensor:
        energies = self.energy(images)
        if not isinstance(self.factor, Tensor):
            return self.factor * energies
        if self.factor.ndim and self.factor.shape != energies.shape:
            raise V4eggError(
                f"an energy of {len(energies)} images is weighted by a tensor of shape {tuple(self.factor.shape)}; "
                f"give one number, or ({len(energies)},)"
            )
        return self.factor.to(energies.device) * energies

    def describe(self, row: int) -> str:
        return self.energy.describe(row)

    def select(self, rows: slice) -> Energy:
        factor = self.factor
        return _Scaled(self.energy.select(rows), factor[rows] if isinstance(factor, Tensor) and factor.ndim else factor)


class Excite(Energy):
    """Negative response of each image's target unit.

    With ``uncertainty_penalty`` k > 0 the energy is -(mean - k sd) over the members of an ensemble: a lower confidence
    bound, so that an image that excites only one member has a higher energy.

    Args:
        model: anything with ``paired(images, units) -> (n,)``; with ``uncertainty_penalty``, an ensemble
            (:class:`v4egg.encoders.ensemble.Ensemble`).
        units: index tensor (n,), the target unit of each image of the batch.
        uncertainty_penalty: k, in standard deviations over members.

    Raises:
        V4eggError: on use, if images and units differ in number.

    Example:
        >>> from v4egg.synthesis.models import wrap_model
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
        >>> model = wrap_model(network, ["a", "b"], size=8, channels=1, mean=[0.5], std=[0.2])
        >>> images = torch.rand(3, 1, 8, 8)
        >>> energies = Excite(model, model.index(["a", "b", "b"]))(images)
        >>> torch.equal(energies, -model.paired(images, model.index(["a", "b", "b"])))
        True
    """

    def __init__(self, model: nn.Module, units: Tensor, uncertainty_penalty: float = 0.0):
        self.model: Any = model
        self.units, self.uncertainty_penalty = units, uncertainty_penalty

    def __call__(self, images: Tensor) -> Tensor:
        return -_penalized(self, images, -self.uncertainty_penalty)

    def select(self, rows: slice) -> "Excite":
        return Excite(self.model, self.units[rows], self.uncertainty_penalty)


class Depress(Energy):
    """Response of each image's target unit: images that lower it ("least exciting images", Franke et al. 2022).

    With ``uncertainty_penalty`` k > 0 the energy is mean + k sd over the members of an ensemble, so that an image that
    lowers the response of only one member has a higher energy.

    Args:
        model: as in :class:`Excite`.
        units: as in :class:`Excite`.
        uncertainty_penalty: k, in standard deviations over members.

    Raises:
        V4eggError: on use, if images and units differ in number.

    Example:
        >>> import torch, v4egg
        >>> network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2))
        >>> model = v4egg.wrap_model(network, ["a", "b"], size=8, channels=1, mean=[0.5], std=[0.2])
        >>> least = v4egg.synthesize_mei(model, ["a"], "gradient_ascent", energy=Depress, steps=20)
        >>> responses = -least["activation"][0, 0]  # the energy at each step
        >>> bool(responses[-1] < responses[0])
        True
    """

    def __init__(self, model: nn.Module, units: Tensor, uncertainty_penalty: float = 0.0):
        self.model: Any = model
        self.units, self.uncertainty_penalty = units, uncertainty_penalty

    def __call__(self, images: Tensor) -> Tensor:
        return _penalized(self, images, self.uncertainty_penalty)

    def select(self, rows: slice) -> "Depress":
        return Depress(self.model, self.units[rows], self.uncertainty_penalty)


class ExciteSparing(Energy):
    """Negative response of each image's target unit, plus ``weight`` times the mean response of other units.

    Images that excite one unit of a population and few others, as in the population control of Bashivan, Kar & DiCarlo
    (Science 2019).

    Args:
        model: anything with ``model(images, units) -> (n, len(units))``, such as an ensemble.
        units: index tensor (n,), the target unit of each image.
        others: index tensor, (K,) for all images or (n, K); an image's own target among them is left out of the mean.
        weight: cost of the others' mean response, relative to the target's.
        moments: mean and standard deviation (U,), (U,) of the responses of each of the model's units, by which
            responses are z-scored first; None: responses as they are, so that units with large responses count more.

    Raises:
        V4eggError: shapes do not agree, or an image has no other unit to spare.

    Example:
        >>> import torch, v4egg
        >>> from functools import partial
        >>> network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3))
        >>> model = v4egg.wrap_model(network, ["a", "b", "c"], size=8, channels=1, mean=[0.5], std=[0.2])
        >>> sparing = partial(ExciteSparing, others=torch.arange(3), weight=2.0)
        >>> meis = v4egg.synthesize_mei(model, ["a"], "gradient_ascent", steps=5, energy=sparing)
        >>> meis["image"].shape
        (1, 1, 1, 8, 8)
    """

    def __init__(
        self,
        model: nn.Module,
        units: Tensor,
        others: Tensor,
        weight: float = 1.0,
        moments: tuple[Tensor, Tensor] | None = None,
    ):
        units, others = units.cpu(), others.cpu()
        if others.ndim not in (1, 2) or (others.ndim == 2 and len(others) != len(units)):
            shape = tuple(others.shape)
            raise V4eggError(f"ExciteSparing: others of shape {shape}; give (K,) or ({len(units)}, K), a row per image")
        others = others.expand(len(units), -1) if others.ndim == 1 else others
        spared = others != units[:, None]
        if not spared.any(1).all():
            raise V4eggError("ExciteSparing: an image has no other unit to spare; give others than its target")
        if moments is not None and not (moments[1] > 0).all():
            raise V4eggError("ExciteSparing: a standard deviation in moments is not above 0; leave such units out")
        self.model, self.units, self.others, self.weight, self.moments = model, units, others, weight, moments
        self._columns = torch.cat([units, others.flatten()]).unique()
        self._own_column = torch.searchsorted(self._columns, units)[:, None]
        self._other_columns = torch.searchsorted(self._columns, others.contiguous())
        self._shares = spared / spared.sum(1, keepdim=True)  # (n, K), each row sums to 1

    def __call__(self, images: Tensor) -> Tensor:
        check_number(self, images, len(self.units), "target units")
        device, columns = images.device, self._columns.to(images.device)
        responses = self.model(images, columns)
        if self.moments is not None:
            mean, deviation = (moment.to(device)[columns] for moment in self.moments)
            responses = (responses - mean) / deviation
        others = (responses.gather(1, self._other_columns.to(device)) * self._shares.to(device)).sum(1)
        return self.weight * others - responses.gather(1, self._own_column.to(device)).squeeze(1)

    def select(self, rows: slice) -> "ExciteSparing":
        return ExciteSparing(self.model, self.units[rows], self.others[rows], self.weight, self.moments)


class MatchResponse(Energy):
    """Mean squared error over units between the responses to each image and a target response: reconstruction.

    Args:
        model: anything with ``model(images, units) -> (n, U)``; ``units`` None means all.
        target: responses (n, U), a row per image, in the model's units of response; NaN where a response is missing,
            which is then not compared.
        units: index tensor (U,) of the units that are matched; None: all of the model's.

    Raises:
        V4eggError: the target has another shape, infinite values or a row of NaN alone; or, on use, images and rows
            differ in number.

    Example:
        >>> import torch
        >>> energy = MatchResponse(lambda images, units: images.mean((2, 3)), torch.zeros(2, 3))
        >>> energy(torch.ones(2, 3, 4, 4))
        tensor([1., 1.])
    """

    def __init__(
        self, model: nn.Module | Callable[[Tensor, Tensor | None], Tensor], target: Tensor, units: Tensor | None = None
    ):
        if target.ndim != 2 or (units is not None and target.shape[1] != len(units)):
            expected = "U" if units is None else len(units)
            raise V4eggError(
                f"MatchResponse: target of shape {tuple(target.shape)}; give (n, {expected}), a row per image"
            )
        if torch.isinf(target).any() or torch.isnan(target).all(1).any():
            raise V4eggError("MatchResponse: target holds infinite values or an image without any response")
        self.model, self.target, self.units = model, target, units

    def __call__(self, images: Tensor) -> Tensor:
        check_number(self, images, len(self.target), "target responses")
        units = None if self.units is None else self.units.to(images.device)
        responses = self.model(images, units)
        if responses.shape != self.target.shape:
            count, width = responses.shape[1], self.target.shape[1]
            raise V4eggError(f"MatchResponse: target of {width} units for a model of {count}; name them with units")
        target = self.target.to(responses.device)
        missing = torch.isnan(target)
        errors = (responses - torch.where(missing, responses, target)).square()
        return errors.sum(1) / (~missing).sum(1)

    def describe(self, row: int) -> str:
        return f"MatchResponse of image {row}"

    def select(self, rows: slice) -> "MatchResponse":
        return MatchResponse(self.model, self.target[rows], self.units)


def check_number(energy: Energy, images: Tensor, count: int, what: str) -> None:
    """Raise where an energy of ``count`` images (described by ``what``) gets another number of them."""
    if len(images) != count:
        name = type(energy).__name__
        raise V4eggError(f"{name} got {len(images)} images for {count} {what}; give one for each image")


def checked(energy: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The energy, refused where it does not give one number per image."""
    return energy if isinstance(energy, Energy) else _Checked(energy)


class _Checked(Energy):
    def __init__(self, energy: Callable[[Tensor], Tensor]):
        self.energy, self.evaluations = energy, getattr(energy, "evaluations", 1)

    def __call__(self, images: Tensor) -> Tensor:
        energies = self.energy(images)
        if energies.shape != images.shape[:1]:
            expected = f"({len(images)},), one number per image"
            raise V4eggError(f"the energy of {len(images)} images has shape {tuple(energies.shape)}; return {expected}")
        return energies

    def describe(self, row: int) -> str:
        return f"the energy of image {row}"

    def select(self, rows: slice) -> Energy:
        return _Checked(select_rows(self.energy, rows))


def _penalized(energy: Excite | Depress, images: Tensor, uncertainty_penalty: float) -> Tensor:
    """Response of each image's unit (n,), plus ``uncertainty_penalty`` standard deviations over members."""
    check_number(energy, images, len(energy.units), "target units")
    units = energy.units.to(images.device)
    if not uncertainty_penalty:
        return energy.model.paired(images, units)
    if not hasattr(energy.model, "each_paired"):
        raise V4eggError(
            f"uncertainty_penalty needs an ensemble, and {type(energy.model).__name__} has no members; set it to 0"
        )
    weights, each = energy.model.weights, energy.model.each_paired(images, units)
    mean = torch.tensordot(weights, each, 1)
    variance = torch.tensordot(weights, (each - mean) ** 2, 1)
    return mean + uncertainty_penalty * (variance + TINY).sqrt()
