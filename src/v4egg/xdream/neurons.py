"""Neurons as black boxes: an image in, one number out, whatever is behind it.

Each wraps one source of neurons and takes images (B, C, y, x) in [0, 1] with the position of the wanted neuron for each
(B,). Encoder ensembles, the simulated brain and the published compact models are :class:`ModelUnits`; any layer of any
network is :class:`HiddenUnits`. :class:`v4egg.xdream.evolution.PoissonSpikes` adds the noise.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

import numpy as np
import torch
from torch import Tensor, nn

from v4egg.errors import V4eggError

RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.ELU, nn.SiLU, nn.GELU)


class ModelUnits:
    """Units of a model that has ``paired(images, units) -> (B,)``; ``names`` are unit ids, one a neuron.

    Raises:
        V4eggError: the model has no unit of a name.
    """

    def __init__(self, model: nn.Module, names: Sequence[str]):
        self.model, self.names = model, list(names)
        place = {unit: i for i, unit in enumerate(model.units)}
        missing = [name for name in self.names if name not in place]
        if missing:
            known = f"{model.units[0]} to {model.units[-1]}"
            raise V4eggError(f"neurons: the model has no unit {missing[0]}; it has {known}")
        self.units = torch.tensor([place[name] for name in self.names], dtype=torch.long)

    def __call__(self, images: Tensor, which: np.ndarray) -> Tensor:
        return self.model.paired(images, self.units[torch.as_tensor(which)].to(images.device))

    @torch.no_grad()
    def every(self, images: Tensor) -> Tensor:
        """Responses (B, N) of all neurons to all images."""
        return self.model(images, self.units.to(images.device))

    def reduced_precision(self) -> AbstractContextManager:
        """Within, a model that has a quicker way to nearly the same responses takes it: for searching."""
        return getattr(self.model, "reduced_precision", nullcontext)()

    def to(self, device: str) -> "ModelUnits":
        """The same neurons there."""
        self.model.to(device)
        return self


class HiddenUnits:
    """Units of one layer of a network: of a convolution's maps the unit in the middle, as in XDream's paper.

    Args:
        network: takes images (B, C, y, x) in [0, 1], with its own preprocessing inside; frozen, in evaluation mode.
        layer: name of a module of the network whose output is (B, channel, ...) or (B, feature).
        channels: the channel of each neuron.

    Raises:
        V4eggError: the network has no such layer.
    """

    def __init__(self, network: nn.Module, layer: str, channels: Sequence[int]):
        modules = dict(network.named_modules())
        if layer not in modules:
            shown = ", ".join(name for name in list(modules)[:12] if name)
            raise V4eggError(f"neurons: the network has no layer '{layer}'; it has {shown} and so on")
        self.network, self.layer, self.module = network, layer, modules[layer]
        self.channels = torch.as_tensor(list(channels), dtype=torch.long)
        self.names = [f"{layer}-c{channel:03d}" for channel in self.channels.tolist()]

    @torch.no_grad()
    def __call__(self, images: Tensor, which: np.ndarray) -> Tensor:
        which = torch.as_tensor(which)
        return self.every(images)[torch.arange(len(which)), which]

    @torch.no_grad()
    def every(self, images: Tensor) -> Tensor:
        """Responses (B, N) of all neurons to all images."""
        seen = self.output(images)
        if int(self.channels.max()) >= seen.shape[1]:
            raise V4eggError(
                f"neurons: layer '{self.layer}' has {seen.shape[1]} channels and none is number "
                f"{int(self.channels.max())}; count from 0"
            )
        return seen[:, self.channels.to(seen.device)]

    def reduced_precision(self) -> AbstractContextManager:
        """No quicker way is known."""
        return nullcontext()

    def to(self, device: str) -> "HiddenUnits":
        """The same neurons there."""
        self.network.to(device)
        return self

    def output(self, images: Tensor) -> Tensor:
        """The layer's values (B, channel), in the middle of its maps; the network runs no further than the layer."""
        found: list[Tensor] = []

        def keep(module: nn.Module, inputs: tuple, output: Tensor) -> None:
            found.append(output)
            raise _Enough

        handle = self.module.register_forward_hook(keep)
        try:
            self.network(images)
        except _Enough:
            pass
        finally:
            handle.remove()
        if not found or not isinstance(found[0], Tensor) or found[0].ndim < 2 or len(found[0]) != len(images):
            raise V4eggError(f"neurons: layer '{self.layer}' gives no (B, channel, ...) for images; name another layer")
        output = found[0]
        for _ in range(output.ndim - 2):
            output = output[:, :, output.shape[2] // 2]
        return output.float()


class NeuronGroup:
    """Neurons of several sources side by side, such as layers or sessions; ``groups`` names the source of each."""

    def __init__(self, sources: Mapping[str, ModelUnits | HiddenUnits]):
        self.sources = list(sources.values())
        self.names = [name for source in self.sources for name in source.names]
        self.groups = [group for group, source in sources.items() for _ in source.names]
        counts = [len(source.names) for source in self.sources]
        self.source = np.repeat(np.arange(len(counts)), counts)
        self.place = np.concatenate([np.arange(count) for count in counts])

    def __call__(self, images: Tensor, which: np.ndarray) -> Tensor:
        which = np.asarray(which)
        responses = images.new_zeros(len(images))
        for number, source in enumerate(self.sources):
            rows = np.flatnonzero(self.source[which] == number)
            if len(rows):
                responses[rows] = source(images[rows], self.place[which[rows]]).to(responses)
        return responses

    def every(self, images: Tensor) -> Tensor:
        """Responses (B, N) of all neurons to all images."""
        return torch.cat([source.every(images) for source in self.sources], 1)

    @contextmanager
    def reduced_precision(self) -> Iterator[None]:
        """Within, sources that have a quicker way to nearly the same responses take it: for searching."""
        with ExitStack() as stack:
            for source in self.sources:
                stack.enter_context(source.reduced_precision())
            yield

    def to(self, device: str) -> "NeuronGroup":
        """The same neurons there."""
        for source in self.sources:
            source.to(device)
        return self


class _Enough(Exception):
    """What was wanted has been computed."""


def depths(network: nn.Module) -> list[str]:
    """Names of the rectified layers, in the order in which the network defines them; convolutions where it has none."""
    named = dict(network.named_modules())
    rectified = [name for name, module in named.items() if isinstance(module, RECTIFIERS)]
    return rectified or [name for name, module in named.items() if isinstance(module, nn.Conv2d)]


def all_responses(neurons: ModelUnits | HiddenUnits | NeuronGroup, images: Tensor, batch: int = 64) -> np.ndarray:
    """Responses (n, N) of every neuron to every image."""
    return np.concatenate([neurons.every(part).double().cpu().numpy() for part in images.split(batch)])
