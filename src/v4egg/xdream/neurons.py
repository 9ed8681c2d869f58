"""Neurons as black boxes: functions from images to one response per image.

Each class wraps one source of neurons. It is called with images (B, C, y, x) in [0, 1] and the position of a neuron for
each image (B,). Units of encoder ensembles, of the simulated brain and of compact models are :class:`ModelUnits`; units
of any layer of any network are :class:`HiddenUnits`. :class:`v4egg.xdream.evolution.PoissonSpikes` adds noise.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from v4egg.encoders.unit_model import UnitModel
from v4egg.errors import V4eggError

RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.ELU, nn.SiLU, nn.GELU)


class ModelUnits:
    """Units of a model.

    Args:
        model: the model.
        names: ids of the N units that are the neurons.

    Raises:
        V4eggError: the model has no unit with one of these ids.

    Example:
        >>> from v4egg.synthesis import wrap_model
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
        >>> model = wrap_model(network, ["a", "b", "c"], size=8, channels=1, mean=[0.5], std=[0.2])
        >>> neurons = ModelUnits(model, ["c", "a"])
        >>> neurons(torch.rand(4, 1, 8, 8), np.array([0, 0, 1, 1])).shape, neurons.all(torch.rand(4, 1, 8, 8)).shape
        (torch.Size([4]), torch.Size([4, 2]))
    """

    def __init__(self, model: UnitModel, names: Sequence[str]) -> None:
        self.model, self.names = model, list(names)
        position = {unit: i for i, unit in enumerate(model.units)}
        missing = [name for name in self.names if name not in position]
        if missing:
            raise V4eggError(
                f"neurons: the model has no unit {missing[0]}; it has {model.units[0]} to {model.units[-1]}"
            )
        self.units = torch.tensor([position[name] for name in self.names], dtype=torch.long)

    def __call__(self, images: Tensor, neurons: np.ndarray) -> Tensor:
        """Responses (B,) of the neuron at a position to each image (B, C, y, x)."""
        return self.model.paired(images, self.units[torch.as_tensor(neurons)].to(images.device))

    @torch.no_grad()
    def all(self, images: Tensor) -> Tensor:
        """Responses (B, N) of all neurons to all images."""
        return self.model(images, self.units.to(images.device))

    def reduced_precision(self) -> AbstractContextManager[Any]:
        """A context in which the model computes in reduced precision if it can, for the candidates of a search."""
        return getattr(self.model, "reduced_precision", nullcontext)()

    def to(self, device: str) -> "ModelUnits":
        """Move the neurons to a device."""
        self.model.to(device)
        return self


class HiddenUnits:
    """Units of one layer of a network; those of convolutions at the centre of their maps (Xiao & Kreiman 2020).

    Args:
        network: takes images (B, C, y, x) in [0, 1] and does its own preprocessing; frozen, in evaluation mode.
        layer: name of a module of the network whose output is (B, channel, ...) or (B, feature).
        channels: the channel of each of the N neurons.

    Raises:
        V4eggError: the network has no such layer.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
        >>> neurons = HiddenUnits(network, "1", channels=[0, 2])
        >>> neurons.names, neurons.all(torch.rand(5, 3, 8, 8)).shape
        (['1-c000', '1-c002'], torch.Size([5, 2]))
    """

    def __init__(self, network: nn.Module, layer: str, channels: Sequence[int]) -> None:
        modules = dict(network.named_modules())
        if layer not in modules:
            examples = ", ".join(name for name in list(modules)[:12] if name)
            raise V4eggError(f"neurons: the network has no layer '{layer}'; it has {examples} and so on")
        self.network, self.layer, self.module = network, layer, modules[layer]
        self.channels = torch.as_tensor(list(channels), dtype=torch.long)
        self.names = [f"{layer}-c{channel:03d}" for channel in self.channels.tolist()]

    @torch.no_grad()
    def __call__(self, images: Tensor, neurons: np.ndarray) -> Tensor:
        """Responses (B,) of the neuron at a position to each image (B, C, y, x)."""
        columns = torch.as_tensor(neurons)
        return self.all(images)[torch.arange(len(columns)), columns]

    @torch.no_grad()
    def all(self, images: Tensor) -> Tensor:
        """Responses (B, N) of all neurons to all images."""
        output = self.output(images)
        if int(self.channels.max()) >= output.shape[1]:
            raise V4eggError(
                f"neurons: layer '{self.layer}' has {output.shape[1]} channels and none is number "
                f"{int(self.channels.max())}; count from 0"
            )
        return output[:, self.channels.to(output.device)]

    def reduced_precision(self) -> AbstractContextManager[Any]:
        """A context that changes nothing: networks compute in their own precision."""
        return nullcontext()

    def to(self, device: str) -> "HiddenUnits":
        """Move the neurons to a device."""
        self.network.to(device)
        return self

    def output(self, images: Tensor) -> Tensor:
        """Output of the layer (B, channel), at the centre of its maps; later layers are not computed.

        Raises:
            V4eggError: the layer's output is not (B, channel, ...).
        """
        outputs: list[Tensor] = []

        def keep(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
            outputs.append(output)
            raise _LayerReached

        handle = self.module.register_forward_hook(keep)
        try:
            self.network(images)
        except _LayerReached:
            pass
        finally:
            handle.remove()
        output = outputs[0] if outputs else None
        if not isinstance(output, Tensor) or output.ndim < 2 or len(output) != len(images):
            raise V4eggError(f"neurons: layer '{self.layer}' gives no (B, channel, ...) for images; name another layer")
        for _ in range(output.ndim - 2):
            output = output[:, :, output.shape[2] // 2]
        return output.float()


class NeuronGroup:
    """The neurons of several sources, such as layers or sessions, as one.

    Args:
        sources: group -> neurons.

    Attributes:
        names: of the neurons.
        groups: the group of each neuron.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3), nn.ReLU())
        >>> neurons = NeuronGroup({"early": HiddenUnits(network, "1", [0, 2]), "late": HiddenUnits(network, "3", [1])})
        >>> neurons.names, neurons.groups
        (['1-c000', '1-c002', '3-c001'], ['early', 'early', 'late'])
    """

    def __init__(self, sources: Mapping[str, ModelUnits | HiddenUnits]) -> None:
        self.sources = list(sources.values())
        self.names = [name for source in self.sources for name in source.names]
        self.groups = [group for group, source in sources.items() for _ in source.names]
        counts = [len(source.names) for source in self.sources]
        self._source = np.repeat(np.arange(len(counts)), counts)
        self._position = np.concatenate([np.arange(count) for count in counts])

    def __call__(self, images: Tensor, neurons: np.ndarray) -> Tensor:
        """Responses (B,) of the neuron at a position to each image (B, C, y, x)."""
        neurons = np.asarray(neurons)
        responses = images.new_zeros(len(images))
        for number, source in enumerate(self.sources):
            rows = np.flatnonzero(self._source[neurons] == number)
            if len(rows):
                responses[rows] = source(images[rows], self._position[neurons[rows]]).to(responses)
        return responses

    def all(self, images: Tensor) -> Tensor:
        """Responses (B, N) of all neurons to all images."""
        return torch.cat([source.all(images) for source in self.sources], 1)

    @contextmanager
    def reduced_precision(self) -> Iterator[None]:
        """A context in which sources compute in reduced precision if they can, for the candidates of a search."""
        with ExitStack() as stack:
            for source in self.sources:
                stack.enter_context(source.reduced_precision())
            yield

    def to(self, device: str) -> "NeuronGroup":
        """Move the neurons to a device."""
        for source in self.sources:
            source.to(device)
        return self


class _LayerReached(Exception):
    """The output of the layer has been computed."""


def rectified_layers(network: nn.Module) -> list[str]:
    """Names of a network's rectified layers, in the order of their definition; of its convolutions if it has none.

    >>> rectified_layers(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()))
    ['1']
    """
    modules = dict(network.named_modules())
    rectified = [name for name, module in modules.items() if isinstance(module, RECTIFIERS)]
    return rectified or [name for name, module in modules.items() if isinstance(module, nn.Conv2d)]


def all_responses(neurons: ModelUnits | HiddenUnits | NeuronGroup, images: Tensor, batch: int = 64) -> np.ndarray:
    """Responses of all neurons to all images.

    Args:
        neurons: N neurons.
        images: (n, C, y, x) in [0, 1].
        batch: images at a time.

    Returns:
        Responses (n, N), float64.
    """
    return np.concatenate([neurons.all(part).double().cpu().numpy() for part in images.split(batch)])
