"""What an image should do, as one differentiable number an image to be made small; energies add and scale.

Constraints (``v4egg.synthesis.constraints``) are applied before an energy sees the image.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from v4egg.errors import V4eggError

Features = Callable[[Tensor], Tensor]
TINY = 1e-12  # under a root whose gradient must stay finite at 0


class Energy:
    """Base: images (B, C, y, x) in [0, 1] -> energy (B,). ``a + b`` and ``a * 2`` are energies too.

    The factor is one number, or a tensor (B,) with one an image, which then stands on the right.
    """

    evaluations = 1  # images that the encoder sees for one image of the batch

    def __call__(self, images: Tensor) -> Tensor:
        raise TypeError(f"{type(self).__name__} must define __call__(images) -> energy")

    def describe(self, row: int) -> str:
        """What the energy asks of one image of the batch, for messages; names its target unit if there is one."""
        target = getattr(self, "units", None)
        names = getattr(getattr(self, "model", None), "units", None)
        if target is None or names is None or len(target) <= row:
            return f"{type(self).__name__} of image {row}"
        return f"{type(self).__name__} of unit {names[int(target[row])]}"

    def __add__(self, other: "Energy") -> "Energy":
        return _Sum(self, other)

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


class _Scaled(Energy):
    def __init__(self, energy: Energy, factor: float | Tensor):
        self.energy, self.factor = energy, factor
        self.evaluations = energy.evaluations

    def __call__(self, images: Tensor) -> Tensor:
        return self.factor * self.energy(images)

    def describe(self, row: int) -> str:
        return self.energy.describe(row)


class Excite(Energy):
    """Minus the response of one unit to each image, less what the members of an ensemble disagree by.

    Args:
        model: anything with ``paired(images, units) -> (B,)``; with ``uncertainty_penalty``, an ensemble.
        units: index tensor (B,), the target unit of each image of the batch.
        uncertainty_penalty: k in mean - k sd over members: above 0, an image that excites one member alone does not
            pay.
    """

    def __init__(self, model: nn.Module, units: Tensor, uncertainty_penalty: float = 0.0):
        self.model, self.units, self.uncertainty_penalty = model, units, uncertainty_penalty

    def __call__(self, images: Tensor) -> Tensor:
        return -_penalized(self, images, -self.uncertainty_penalty)


class Depress(Energy):
    """The response of one unit to each image: small for what lowers it. Arguments as in :class:`Excite`.

    ``uncertainty_penalty`` is k in mean + k sd over members: an image that silences one member alone does not pay.
    """

    def __init__(self, model: nn.Module, units: Tensor, uncertainty_penalty: float = 0.0):
        self.model, self.units, self.uncertainty_penalty = model, units, uncertainty_penalty

    def __call__(self, images: Tensor) -> Tensor:
        return _penalized(self, images, self.uncertainty_penalty)


class ExciteSparing(Energy):
    """Minus one unit's response to each image, plus ``weight`` times the mean response of other units.

    Args:
        model: anything with ``model(images, units) -> (B, len(units))``, such as an ensemble.
        units: index tensor (B,), the target unit of each image.
        others: index tensor, (K,) for all images or (B, K); an image's own target among them is left out of the mean.
        weight: what the others' response costs, in units of the target's.
        moments: mean and standard deviation (U,), (U,) of each of the model's units, by which responses are z-scored
            first; None: responses as they are, so that lively units count more.

    Raises:
        V4eggError: shapes do not agree, or an image has no other unit to spare.
    """

    def __init__(
        self,
        model: nn.Module,
        units: Tensor,
        others: Tensor,
        weight: float = 1.0,
        moments: tuple[Tensor, Tensor] | None = None,
    ):
        if others.ndim not in (1, 2) or (others.ndim == 2 and len(others) != len(units)):
            shape = tuple(others.shape)
            raise V4eggError(f"ExciteSparing: others of shape {shape}; give (K,) or ({len(units)}, K), a row an image")
        others = others.expand(len(units), -1) if others.ndim == 1 else others
        spared = others != units[:, None]
        if not spared.any(1).all():
            raise V4eggError("ExciteSparing: an image has no other unit to spare; give others than its target")
        if moments is not None and not (moments[1] > 0).all():
            raise V4eggError("ExciteSparing: a standard deviation in moments is not above 0; leave such units out")
        self.model, self.units, self.weight, self.moments = model, units, weight, moments
        self.columns = torch.cat([units, others.flatten()]).unique()
        self.own = torch.searchsorted(self.columns, units)[:, None]
        self.others = torch.searchsorted(self.columns, others.contiguous())
        self.share = spared / spared.sum(1, keepdim=True)  # (B, K), each row sums to 1

    def __call__(self, images: Tensor) -> Tensor:
        _matched(self, images, len(self.units), "target units")
        responses = self.model(images, self.columns)
        if self.moments is not None:
            mean, deviation = (moment[self.columns] for moment in self.moments)
            responses = (responses - mean) / deviation
        others = (responses.gather(1, self.others) * self.share).sum(1)
        return self.weight * others - responses.gather(1, self.own).squeeze(1)


class MatchResponse(Energy):
    """Mean squared error over units between the responses to each image and a target response: reconstruction.

    Args:
        model: anything with ``model(images, units) -> (B, U)``; ``units`` None: all.
        target: responses (B, U), a row an image, in the model's units of response.
        units: index tensor (U,) of the units that are matched; None: all of the model's.
    """

    def __init__(self, model: nn.Module, target: Tensor, units: Tensor | None = None):
        if target.ndim != 2 or (units is not None and target.shape[1] != len(units)):
            wanted = "U" if units is None else len(units)
            raise V4eggError(
                f"MatchResponse: target of shape {tuple(target.shape)}; give (B, {wanted}), a row an image"
            )
        if not torch.isfinite(target).all():
            raise V4eggError("MatchResponse: target holds values that are not finite; leave such units out")
        self.model, self.target, self.units = model, target, units

    def __call__(self, images: Tensor) -> Tensor:
        _matched(self, images, len(self.target), "target responses")
        responses = self.model(images, self.units)
        if responses.shape != self.target.shape:
            count, wanted = responses.shape[1], self.target.shape[1]
            raise V4eggError(f"MatchResponse: target of {wanted} units for a model of {count}; name them with units")
        return (responses - self.target).square().mean(1)

    def describe(self, row: int) -> str:
        return f"MatchResponse of image {row}"


class Differ(Energy):
    """Minus the distance to the nearest of some images made before: small for what they do not look like.

    The distance is 1 - r with r the correlation over all values, channels included: half the squared distance between
    images brought to mean 0 and length 1, so that brightness and contrast do not matter. It is 0 for a repeat, 1 for a
    uniform image, and 2, the most, for the negative of an image.

    Args:
        images: those to stay away from: (K, C, y, x) for all images or (B, K, C, y, x).
        features: images (N, C, y, x) -> (N, ...), what is correlated in place of pixels.
    """

    def __init__(self, images: Tensor, features: Features | None = None):
        if images.ndim not in (4, 5) or not images.shape[-4]:
            shape = tuple(images.shape)
            raise V4eggError(
                f"Differ: images of shape {shape}; give (K, C, y, x) or (B, K, C, y, x) with K of 1 or more"
            )
        self.shape, self.features = images.shape, features
        with torch.no_grad():
            self.earlier = _directions(images.flatten(0, -4), features).unflatten(0, images.shape[:-3])
        self.evaluations = int(features is not None)

    def __call__(self, images: Tensor) -> Tensor:
        if images.shape[1:] != self.shape[-3:]:
            shape, wanted = tuple(images.shape[1:]), tuple(self.shape[-3:])
            raise V4eggError(f"Differ got images of shape {shape}, the earlier ones have {wanted}; resize one of them")
        if len(self.shape) == 5:
            _matched(self, images, self.shape[0], "sets of earlier images")
        products = "bd,kd->bk" if len(self.shape) == 4 else "bd,bkd->bk"
        similarity = torch.einsum(products, _directions(images, self.features), self.earlier)
        return similarity.amax(1) - 1


class Diverse(Energy):
    """The mean correlation of each image with the others of its group: small where a group's images differ.

    An energy about groups: an image depends on the members of its group and on no other image of the batch, so a group
    must not be cut by batches. The correlation is that of :class:`Differ`; an image alone in its group has energy 0.

    Args:
        groups: index tensor (B,), the group of each image, such as its target unit.
        features: images (N, C, y, x) -> (N, ...), what is correlated in place of pixels.
    """

    def __init__(self, groups: Tensor, features: Features | None = None):
        if groups.ndim != 1:
            raise V4eggError(f"Diverse: groups of shape {tuple(groups.shape)}; give (B,), one group an image")
        self.features, self.size = features, len(groups)
        self.members = [(groups == group).nonzero().squeeze(1) for group in groups.unique()]
        self.evaluations = int(features is not None)

    def __call__(self, images: Tensor) -> Tensor:
        _matched(self, images, self.size, "groups")
        directions = _directions(images, self.features)
        energies = torch.cat([self._within(directions[members]) for members in self.members])
        return energies[torch.cat(self.members).argsort()]

    @staticmethod
    def _within(directions: Tensor) -> Tensor:
        similarity = directions @ directions.T
        return (similarity.sum(1) - similarity.diagonal()) / max(len(directions) - 1, 1)


class Jittered(Energy):
    """The mean of an energy over copies of each image, each shifted, zoomed, partly hidden and with pixel noise.

    An image that only works at one exact alignment climbs the model and not the neuron. All draws come from one
    generator an image, so that an image's result does not depend on its batch.

    Args:
        energy: the energy to average.
        generators: one CPU generator for each image of the batch.
        copies: how many perturbed copies.
        shift: the largest shift in pixels; edges repeat.
        noise: sd of pixel noise in [0, 1] units.
        scale: the largest zoom, in or out, as a share; edges repeat.
        patch: side of a square that hides a random part of each copy under its mean colour, as a share of the image's.
    """

    def __init__(
        self,
        energy: Energy,
        generators: Sequence[torch.Generator],
        copies: int,
        shift: int = 0,
        noise: float = 0.0,
        scale: float = 0.0,
        patch: float = 0.0,
    ):
        self.energy, self.generators = energy, list(generators)
        self.copies, self.shift, self.noise, self.scale, self.patch = copies, shift, noise, scale, patch
        self.evaluations = energy.evaluations * copies

    def __call__(self, images: Tensor) -> Tensor:
        return torch.stack([self.energy(self._copy(images)) for _ in range(self.copies)]).mean(0)

    def describe(self, row: int) -> str:
        return self.energy.describe(row)

    def _copy(self, images: Tensor) -> Tensor:
        pairs = zip(images, self.generators, strict=True)
        return torch.stack([self._perturbed(image, generator) for image, generator in pairs])

    def _perturbed(self, image: Tensor, generator: torch.Generator) -> Tensor:
        height, width = image.shape[-2:]
        if self.shift:
            padded = F.pad(image[None], (self.shift,) * 4, mode="replicate")[0]
            row, column = torch.randint(0, 2 * self.shift + 1, (2,), generator=generator).tolist()
            image = padded[:, row : row + height, column : column + width]
        if self.scale:
            zoom = 1 + self.scale * (2 * torch.rand(1, generator=generator).item() - 1)
            grid = F.affine_grid(
                torch.tensor([[[1 / zoom, 0, 0], [0, 1 / zoom, 0]]]), (1, 1, height, width), align_corners=False
            )
            image = F.grid_sample(image[None], grid.to(image), padding_mode="border", align_corners=False)[0]
        if self.patch:
            side = max(1, round(self.patch * min(height, width)))
            row, column = (int(torch.randint(n - side + 1, (1,), generator=generator)) for n in (height, width))
            hidden = torch.zeros(height, width, dtype=torch.bool, device=image.device)
            hidden[row : row + side, column : column + side] = True
            image = torch.where(hidden, image.mean((-2, -1), keepdim=True), image)
        if self.noise:
            image = image + self.noise * torch.randn(image.shape, generator=generator).to(image)
        return image


def _matched(energy: Energy, images: Tensor, count: int, what: str) -> None:
    if len(images) != count:
        name = type(energy).__name__
        raise V4eggError(f"{name} got {len(images)} images for {count} {what}; give one for each image")


def _penalized(energy: Excite | Depress, images: Tensor, uncertainty_penalty: float) -> Tensor:
    """Response of each image's unit (B,), plus ``uncertainty_penalty`` standard deviations over members."""
    _matched(energy, images, len(energy.units), "target units")
    if not uncertainty_penalty:
        return energy.model.paired(images, energy.units)
    weights, each = energy.model.weights, energy.model.each_paired(images, energy.units)
    mean = torch.tensordot(weights, each, 1)
    variance = torch.tensordot(weights, (each - mean) ** 2, 1)
    return mean + uncertainty_penalty * (variance + TINY).sqrt()


def _directions(images: Tensor, features: Features | None) -> Tensor:
    """Images (N, C, y, x) -> their values or features less their mean, as vectors (N, D) of length 1 (uniform: 0)."""
    values = (images if features is None else features(images)).flatten(1)
    centred = values - values.mean(1, keepdim=True)
    return centred / (centred.square().sum(1, keepdim=True) + TINY).sqrt()
