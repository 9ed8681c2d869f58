"""Models that images are synthesized for: their interface, their checks, and how any torch model becomes one."""

from collections.abc import Sequence
from typing import Any, Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn

from v4egg.device import borrowed, device_of
from v4egg.errors import V4eggError
from v4egg.images.processing import Preprocess


@runtime_checkable
class ResponseModel(Protocol):
    """A torch module that predicts the responses of named units to images.

    Encoders and ensembles are response models; :func:`wrap_model` makes one of any torch model.

    Attributes:
        units: unit ids, one for each output.
        stimulus_spec: size, colour and scale of the images that are made for the model.

    Example:
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
        >>> model = wrap_model(network, ["a", "b"], size=8, channels=1, mean=[0.5], std=[0.2])
        >>> model.units, model(torch.rand(3, 1, 8, 8)).shape
        (['a', 'b'], torch.Size([3, 2]))
        >>> model.paired(torch.rand(3, 1, 8, 8), model.index(["a", "b", "a"])).shape
        torch.Size([3])
    """

    units: Sequence[str]

    @property
    def stimulus_spec(self) -> Preprocess: ...

    def __call__(self, images: Tensor, units: Tensor | None = None) -> Tensor:
        """Images (n, C, y, x) in [0, 1] -> responses (n, U), of all units or of those of an index tensor."""

    def paired(self, images: Tensor, units: Tensor) -> Tensor:
        """Images (n, C, y, x) and one unit index each (n,) -> the response of that unit to that image (n,)."""

    def index(self, units: Sequence[str]) -> Tensor:
        """Unit ids -> index tensor."""


class WrappedModel(nn.Module):
    """Any torch model as a :class:`ResponseModel`; made by :func:`wrap_model`.

    Attributes:
        model: the wrapped model; it is not copied.
        units: unit ids.
        stimulus_spec: size, colour and scale of the images that are made for the model.
    """

    def __init__(self, model: nn.Module, units: Sequence[str], stimulus_spec: Preprocess, zscored: bool):
        super().__init__()
        self.model, self.stimulus_spec = model, stimulus_spec
        self.units, self.zscored = list(units), zscored

    def forward(self, images: Tensor, units: Tensor | None = None) -> Tensor:
        """Images (n, C, y, x) in [0, 1], of any size, grey or RGB -> responses (n, U)."""
        responses = self.model(self._inputs(images))
        if responses.shape != (len(images), len(self.units)):
            raise V4eggError(
                f"{type(self.model).__name__} gives {len(images)} images responses of shape {tuple(responses.shape)} "
                f"and has {len(self.units)} units; return ({len(images)}, {len(self.units)})"
            )
        return responses if units is None else responses[:, units.to(responses.device)]

    def paired(self, images: Tensor, units: Tensor) -> Tensor:
        """Images (n, C, y, x) and one unit index each (n,) -> the response of that unit to that image (n,)."""
        if callable(paired := getattr(self.model, "paired", None)):  # cheaper where each unit has a network of its own
            return paired(self._inputs(images), units)
        return self(images).gather(1, units.to(images.device)[:, None]).squeeze(1)

    def index(self, units: Sequence[str]) -> Tensor:
        """Unit ids -> index tensor.

        Raises:
            V4eggError: the model has no such unit.
        """
        return torch.tensor([position(self.units, unit) for unit in units])

    def _inputs(self, images: Tensor) -> Tensor:
        zscored = self.stimulus_spec(images)
        return zscored if self.zscored else self.stimulus_spec.invert(zscored)


def wrap_model(
    model: nn.Module,
    units: Sequence[str] | int,
    *,
    size: int,
    channels: int,
    mean: Sequence[float],
    std: Sequence[float],
    zscored: bool = False,
) -> WrappedModel:
    """Any torch model from images to responses, as a model that images can be synthesized for.

    The model is neither copied nor changed.

    Args:
        model: images (n, channels, size, size) -> responses (n, U), differentiable in the images.
        units: U unit ids, or U itself; units are then named ``u000``, ``u001`` and so on.
        size: side in pixels of the images that the model takes. Images of another size are resized.
        channels: 1 (grey) or 3 (RGB). Images of the other kind are converted.
        mean: mean pixel value of each channel over the images that the model was trained on, in [0, 1] units. Gradient
            ascent starts from noise with this mean and ``std``, and L2 norms are measured in these units.
        std: standard deviation of each channel, in [0, 1] units.
        zscored: whether the model takes z-scored images, rather than images in [0, 1].

    Raises:
        V4eggError: the channels are not 1 or 3, ``mean`` or ``std`` have another length, or unit ids repeat.

    Example:
        >>> import torch, v4egg
        >>> network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 8))
        >>> model = v4egg.wrap_model(network, 8, size=8, channels=1, mean=[0.5], std=[0.2])
        >>> meis = v4egg.synthesize_mei(model, units=[7], method="gradient_ascent", steps=10)
        >>> meis["image"].dims, meis["unit"].values.tolist()
        (('unit', 'sample', 'channel', 'y', 'x'), ['u007'])
    """
    if channels not in (1, 3) or not len(mean) == len(std) == channels:
        raise V4eggError(
            f"wrap_model: {channels} channels with {len(mean)} means and {len(std)} standard deviations; "
            "give 1 (grey) or 3 (RGB) channels, and a mean and std for each"
        )
    if not all(value > 0 for value in std):
        raise V4eggError(f"wrap_model: std is {list(std)}; give standard deviations above 0, in [0, 1] units")
    names = [f"u{i:03d}" for i in range(units)] if isinstance(units, int) else [str(unit) for unit in units]
    if len(set(names)) < len(names):
        raise V4eggError("wrap_model: unit ids repeat; give each unit an id of its own")
    stimulus_spec = Preprocess(size, channels, mean, std).to(device_of(model))
    return WrappedModel(model, names, stimulus_spec, zscored).train(model.training)


def position(units: Sequence[str], unit: str | int) -> int:
    """The position of a unit among a model's units, by its id or by its position.

    Raises:
        V4eggError: the model has no such unit.
    """
    if isinstance(unit, str):
        if unit in units:
            return list(units).index(unit)
    elif 0 <= int(unit) < len(units):
        return int(unit)
    unit_range = f"{units[0]} to {units[-1]}" if len(units) else "none"
    raise V4eggError(f"the model has no unit {unit}; it has {len(units)}: {unit_range}")


def unit_ids(model: ResponseModel, units: Sequence[str | int]) -> list[str]:
    """The ids of units of a model that are given by id or by position.

    Raises:
        V4eggError: the model has no such unit, or one is named twice.
    """
    names = [str(unit) for unit in model.units]
    ids = [names[position(names, unit)] for unit in units]
    again = [unit for unit in ids if ids.count(unit) > 1]
    if again:
        raise V4eggError(f"unit {again[0]} is named twice; for several images of a unit set the number of samples")
    return ids


def model_device(model: ResponseModel) -> torch.device:
    """The device that a model computes on."""
    return device_of(cast(nn.Module, model))


def validate_model(model: Any, *, gradient: bool = True) -> None:
    """Check that images can be synthesized for a model, by showing it one image in evaluation mode.

    Args:
        model: what should be a :class:`ResponseModel`. It is left as it was.
        gradient: whether the method needs a gradient with respect to the image.

    Raises:
        V4eggError: the model is not a torch module, is not wrapped, cannot take images of its own size, gives responses
            of another shape or that are not finite, or has no gradient where one is needed.

    Example:
        >>> import torch
        >>> validate_model(torch.nn.Linear(2, 2))
        Traceback (most recent call last):
        v4egg.errors.V4eggError: Linear has no paired, index, units, stimulus_spec; wrap it with v4egg.wrap_model
    """
    if not isinstance(model, nn.Module):
        raise V4eggError(f"the model is a {type(model).__name__}, not a torch module; give a module")
    missing = [name for name in ("paired", "index", "units", "stimulus_spec") if not hasattr(model, name)]
    if missing:
        raise V4eggError(f"{type(model).__name__} has no {', '.join(missing)}; wrap it with v4egg.wrap_model")
    if len(cast(ResponseModel, model).units):
        with borrowed(model) as local_model:
            _probe(local_model, gradient)


def _probe(model: Any, gradient: bool) -> None:
    stimulus_spec, name, device = model.stimulus_spec, type(model).__name__, device_of(model)
    side, channels = stimulus_spec.size, stimulus_spec.channels
    image = torch.full((1, channels, side, side), 0.5, device=device, requires_grad=gradient)
    index = torch.zeros(1, dtype=torch.long, device=device)
    try:
        with torch.set_grad_enabled(gradient):
            response = model.paired(image, index)
    except V4eggError:
        raise
    except Exception as error:  # whatever a user's model raises on an image that it cannot take
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise V4eggError(
            f"{name} cannot take images of shape (n, {channels}, {side}, {side}) ({reason}); wrap it with the size and "
            "channels that it takes"
        ) from error
    if response.shape != (1,):
        raise V4eggError(
            f"{name}: the response of one unit to one image has shape {tuple(response.shape)}; return one number"
        )
    if not torch.isfinite(response).all():
        raise V4eggError(f"{name}: the response to a grey image is {response.item()}; give a model of finite responses")
    if gradient and not response.requires_grad:
        raise V4eggError(
            f"{name} has no gradient with respect to the image; use the method evolution, or make it differentiable"
        )
