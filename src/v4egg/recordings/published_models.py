"""The published compact models of single V4 neurons (Cowley, Stan, Pillow and Smith, bioRxiv 2023).

One small convolutional network a neuron: layer 0 is a 5x5 convolution, layers 1 to 4 are separable 5x5 convolutions
(stride 2 in layers 1 and 2), each followed by batch norm and ReLU; a linear readout of the last 28 x 28 map gives the
response. They were made by others from the same neurons, hence judges from outside.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from v4egg.compute import fast_bf16
from v4egg.errors import V4eggError
from v4egg.recordings import cowley

IMAGE_SIZE = 112
READOUT_SIZE = 28
CHANNEL_MEANS = (116.222, 109.270, 100.381)  # of RGB in 0-255, subtracted from every input
BATCH_NORM_EPS = 1e-5  # torch's default: the .pt files already carry the difference to Keras' 1e-3 in running_var
_LAYERS = (1, 2, 3, 4)
_STRIDED = (1, 2)
_CPU_BATCH = 4  # images: larger activations leave the cache and cost time in the kernel's memory management
_GPU_BATCH = 256  # images: about 3 GB of activations without gradient


class CompactModel(nn.Module):
    """One neuron's network, each batch norm folded into the convolution before it.

    Args:
        state: tensors of the published file without the prefix ``layers.``, of checked shapes.
    """

    def __init__(self, state: Mapping[str, Tensor]):
        super().__init__()
        self._keep("conv0", *_folded(state, "layer0_conv", "layer0_bn"))
        for layer in _LAYERS:
            self.register_buffer(f"depthwise{layer}", _stored(state[f"layer{layer}_conv_depth.weight"]))
            self._keep(f"pointwise{layer}", *_folded(state, f"layer{layer}_conv_point", f"layer{layer}_bn"))
        self._keep("readout", state["Beta.weight"], state["Beta.bias"])

    def _keep(self, name: str, weight: Tensor, bias: Tensor) -> None:
        self.register_buffer(f"{name}_weight", _stored(weight))
        self.register_buffer(f"{name}_bias", _stored(bias))

    def forward(self, centred: Tensor, early: torch.dtype = torch.float32) -> Tensor:
        """Responses (B,) to centred images (B, 3, 112, 112); the costly layers 0 and 1 in ``early``."""
        # Rectified in place: a second map of this size costs the kernel's memory management.
        weight, bias = self.conv0_weight.to(early), self.conv0_bias.to(early)
        x = functional.conv2d(centred.to(early), weight, bias, padding=2).relu_()
        for layer in _LAYERS:
            precision = early if layer == 1 else torch.float32
            depthwise, x = getattr(self, f"depthwise{layer}").to(precision), x.to(precision)
            if layer in _STRIDED:
                # The published zero-padding (1, 3, 1, 3) at stride 2 is a symmetric padding of 3 without its first
                # output row and column, which needs no padded copy of the input.
                x = functional.conv2d(x, depthwise, stride=2, padding=3, groups=len(depthwise))[:, :, 1:, 1:]
            else:
                x = functional.conv2d(x, depthwise, padding=2, groups=len(depthwise))
            pointwise = (getattr(self, f"pointwise{layer}_{part}").to(precision) for part in ("weight", "bias"))
            x = functional.conv2d(x, *pointwise).relu_()
        return functional.linear(x.permute(0, 2, 3, 1).flatten(1), self.readout_weight, self.readout_bias)[:, 0]


class PublishedCompactModels(nn.Module):
    """The published compact models of one session, side by side; frozen, differentiable in the images.

    Args:
        models: one network a unit.
        units: unit ids such as ``s190923-u000``, in the same order.
    """

    def __init__(self, models: Sequence[CompactModel], units: Sequence[str]):
        super().__init__()
        self.models = nn.ModuleList(models)
        self.units = list(units)
        self.register_buffer("channel_means", torch.tensor(CHANNEL_MEANS).view(1, 3, 1, 1))
        self._early = torch.float32

    @contextmanager
    def quick(self) -> Iterator[None]:
        """Within, layers 0 and 1 compute in bf16 where the hardware is fast at it: half of the time.

        Responses then differ from the exact ones by some thousandths of their standard deviation: good enough for
        what a search tries, not for what it reports.
        """
        self._early = torch.bfloat16 if fast_bf16(self.channel_means.device) else torch.float32
        try:
            yield
        finally:
            self._early = torch.float32

    def forward(self, images: Tensor, units: Sequence[int] | Tensor | None = None) -> Tensor:
        """Responses (B, U), in the models' own unit: zero mean, roughly unit standard deviation.

        Args:
            images: (B, 3, H, W), RGB in [0, 1], of any size; resized to 112 x 112, so square ones keep their shape.
            units: positions in ``self.units`` of the U units wanted; all when None.

        Raises:
            V4eggError: the images are not (B, 3, H, W), or a position is none of the units'.
        """
        chosen = self._positions(range(len(self.units)) if units is None else units)
        rows = []
        for part in images.split(_CPU_BATCH if images.device.type == "cpu" else _GPU_BATCH):
            centred = self._centred(part)
            columns = [self.models[unit](centred, self._early) for unit in chosen]
            rows.append(torch.stack(columns, dim=1) if columns else centred.new_zeros(len(part), 0))
        return torch.cat(rows)

    def paired(self, images: Tensor, units: Sequence[int] | Tensor) -> Tensor:
        """Responses (B,): of image b by the unit at position ``units[b]``. See :meth:`forward`."""
        chosen = torch.tensor(self._positions(units), dtype=torch.long)
        if len(chosen) != len(images):
            raise V4eggError(f"paired: {len(images)} images and {len(chosen)} units; give each image one unit")
        order = torch.argsort(chosen, stable=True)
        found, sizes = torch.unique_consecutive(chosen[order], return_counts=True)
        parts = [
            self(images[rows.to(images.device)], [unit])[:, 0]
            for unit, rows in zip(found.tolist(), order.split(sizes.tolist()), strict=True)
        ]
        if not parts:
            return self.channel_means.new_zeros(0)
        return torch.cat(parts)[torch.argsort(order).to(images.device)]

    def _positions(self, units: Sequence[int] | Tensor) -> list[int]:
        positions = [int(unit) for unit in (units.tolist() if isinstance(units, Tensor) else units)]
        wrong = [unit for unit in positions if not 0 <= unit < len(self.units)]
        if wrong:
            raise V4eggError(f"unit {wrong[0]}: there are published models of {len(self.units)} units; count from 0")
        return positions

    def _centred(self, images: Tensor) -> Tensor:
        """Inputs of the networks (B, 3, 112, 112)."""
        if images.ndim != 4 or images.shape[1] != 3:
            raise V4eggError(f"images of shape {tuple(images.shape)}: published models take RGB images (B, 3, H, W)")
        images = images.to(self.channel_means.dtype)
        if images.shape[2:] != (IMAGE_SIZE, IMAGE_SIZE):
            images = functional.interpolate(images, (IMAGE_SIZE, IMAGE_SIZE), mode="bilinear", antialias=True)
        # channels last: about 1.5 times faster than the default layout in these small convolutions
        return (images * 255 - self.channel_means).contiguous(memory_format=torch.channels_last)


def load_published_models(
    folder: str | Path, session: str, neurons: Sequence[int] | None = None
) -> PublishedCompactModels:
    """The published compact models of a session in float32, for inference.

    Args:
        folder: root of the repository's layout, see :mod:`v4egg.recordings.cowley`.
        session: session id such as ``s190923``.
        neurons: 0-based positions in the session's arrays; all that are published when None.

    Raises:
        V4eggError: no model is published for the session or for a neuron, or a file is missing, damaged, or holds
            tensors of other names or shapes.
    """
    files = {cowley.model_neuron(path): path for path in cowley.published_model_files(folder, session)}
    if not files:
        raise V4eggError(
            f"{Path(folder)}: no published compact models of session {session}; choose another judge for it"
        )
    wanted = sorted(files) if neurons is None else [int(neuron) for neuron in neurons]
    unknown = [neuron for neuron in wanted if neuron not in files]
    if unknown:
        raise V4eggError(
            f"{Path(folder)}: session {session} has no published model of neuron {unknown[0]}; leave it out"
        )
    models = [CompactModel(_state(cowley.existing(files[neuron], "compact model", session))) for neuron in wanted]
    return PublishedCompactModels(models, [cowley.unit_id(session, neuron) for neuron in wanted]).eval()


def _state(path: Path) -> dict[str, Tensor]:
    """The tensors of one file, float64, of checked names and shapes."""
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
        state = {str(name).removeprefix("layers."): tensor for name, tensor in loaded.items()}
    except Exception as error:  # torch's unpickler raises almost anything on a damaged file
        raise V4eggError(f"{path}: not a readable torch file of plain tensors; download it again") from error
    for name, shape in _shapes(state, _widths(state, path)).items():
        found = _shape(state, name)
        if found != shape:
            raise V4eggError(
                f"{path}: tensor layers.{name} is {found or 'missing'}, expected {shape}; download it again"
            )
    return {name: tensor.double() for name, tensor in state.items() if isinstance(tensor, Tensor)}


def _widths(state: Mapping[str, Tensor], path: Path) -> list[int]:
    """Filters a layer, from the file of their numbers where it is there, otherwise from the tensors."""
    numbers = path.parents[1] / "nums_filters" / f"{path.stem}.npy"
    if numbers.is_file():
        widths = cowley.load_numeric(numbers)
        if widths.shape != (5,) or (widths < 1).any():
            raise V4eggError(f"{numbers}: holds {widths.tolist()}, expected 5 numbers of filters; download it again")
        return [int(width) for width in widths]
    names = ["layer0_conv.weight", *(f"layer{layer}_conv_point.weight" for layer in _LAYERS)]
    shapes = [_shape(state, name) for name in names]
    if not all(shapes):
        missing = names[[bool(shape) for shape in shapes].index(False)]
        raise V4eggError(f"{path}: tensor layers.{missing} is missing; download the file again")
    return [shape[0] for shape in shapes]


def _shapes(state: Mapping[str, Tensor], widths: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """What each tensor's shape has to be."""
    shapes: dict[str, tuple[int, ...]] = {"layer0_conv.weight": (widths[0], 3, 5, 5), "layer0_conv.bias": (widths[0],)}
    for layer in _LAYERS:
        shapes[f"layer{layer}_conv_depth.weight"] = (widths[layer - 1], 1, 5, 5)
        shapes[f"layer{layer}_conv_point.weight"] = (widths[layer], widths[layer - 1], 1, 1)
        shapes[f"layer{layer}_conv_point.bias"] = (widths[layer],)
    for layer in (0, *_LAYERS):
        shapes |= {f"layer{layer}_bn.{name}": (widths[layer],) for name in _Norm._fields}
    return shapes | {"Beta.weight": (1, READOUT_SIZE**2 * widths[-1]), "Beta.bias": (1,)}


def _shape(state: Mapping[str, Tensor], name: str) -> tuple[int, ...]:
    tensor = state.get(name)
    return tuple(tensor.shape) if isinstance(tensor, Tensor) else ()


class _Norm(NamedTuple):
    """A batch norm's tensors."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor


def _folded(state: Mapping[str, Tensor], conv: str, norm: str) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution that does its batch norm as well."""
    bn = _Norm(*(state[f"{norm}.{name}"] for name in _Norm._fields))
    gain = bn.weight / torch.sqrt(bn.running_var + BATCH_NORM_EPS)
    weight = state[f"{conv}.weight"] * gain.view(-1, 1, 1, 1)
    return weight, (state[f"{conv}.bias"] - bn.running_mean) * gain + bn.bias


def _stored(tensor: Tensor) -> Tensor:
    layout = torch.channels_last if tensor.ndim == 4 else torch.contiguous_format
    return tensor.detach().float().contiguous(memory_format=layout)
