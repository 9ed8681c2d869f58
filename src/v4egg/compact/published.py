"""The published compact models of single V4 neurons.

Cowley, Stan, Pillow & Smith, "Compact deep neural network models of the visual cortex", Nature 2026. Others fitted them
to the same neurons, so that they serve as external judges.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from v4egg.compact.network import SEPARABLE, CompactModels, CompactNetwork, folded
from v4egg.errors import V4eggError
from v4egg.recordings.readers import cowley

IMAGE_SIZE = 112
READOUT_SIZE = 28
BATCH_NORM_EPS = 1e-5  # torch's default: the .pt files already carry the difference to Keras' 1e-3 in running_var
_NORM = ("weight", "bias", "running_mean", "running_var")


def load_published_models(folder: str | Path, session: str, neurons: Sequence[int] | None = None) -> CompactModels:
    """Load the published compact models of a session, in float32 and evaluation mode.

    Args:
        folder: root of the repository's layout, see :mod:`v4egg.recordings.readers.cowley`.
        session: session id such as ``s190923``.
        neurons: 0-based positions in the session's arrays; None for all that are published.

    Raises:
        V4eggError: no model is published for the session or for a neuron, or a file is missing, damaged, or holds
            tensors of other names or shapes.

    Example:
        >>> import tempfile
        >>> load_published_models(tempfile.mkdtemp(), "s100101")
        Traceback (most recent call last):
            ...
        v4egg.errors.V4eggError: ...: no published compact models of session s100101; choose another judge for it
    """
    files = {cowley.model_neuron(path): path for path in cowley.published_model_files(folder, session)}
    if not files:
        raise V4eggError(
            f"{Path(folder)}: no published compact models of session {session}; choose another judge for it"
        )
    positions = sorted(files) if neurons is None else [int(neuron) for neuron in neurons]
    unknown = [neuron for neuron in positions if neuron not in files]
    if unknown:
        raise V4eggError(
            f"{Path(folder)}: session {session} has no published model of neuron {unknown[0]}; leave it out"
        )
    networks = [_network(_state(cowley.existing(files[neuron], "compact model", session))) for neuron in positions]
    return CompactModels(networks, [cowley.unit_id(session, neuron) for neuron in positions], IMAGE_SIZE).eval()


def _network(state: Mapping[str, Tensor]) -> CompactNetwork:
    """A neuron's network from the tensors of its file."""
    tensors = {}
    for layer in (0, *SEPARABLE):
        conv, part = (f"layer{layer}_conv_point", f"pointwise{layer}") if layer else ("layer0_conv", "conv0")
        norm = {name: state[f"layer{layer}_bn.{name}"] for name in _NORM}
        weight, bias = folded(state[f"{conv}.weight"], state[f"{conv}.bias"], norm, BATCH_NORM_EPS)
        tensors[f"{part}_weight"], tensors[f"{part}_bias"] = weight, bias
    tensors |= {f"depthwise{layer}": state[f"layer{layer}_conv_depth.weight"] for layer in SEPARABLE}
    # the file's readout runs over rows, columns and filters, in this order
    readout = state["Beta.weight"].view(READOUT_SIZE, READOUT_SIZE, -1).permute(2, 0, 1)
    return CompactNetwork(tensors | {"readout_weight": readout, "readout_bias": state["Beta.bias"][0]})


def _state(path: Path) -> dict[str, Tensor]:
    """Read the tensors of one file as float64 and check their names and shapes."""
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
        state = {str(name).removeprefix("layers."): tensor for name, tensor in loaded.items()}
    except Exception as error:  # torch's unpickler raises almost anything on a damaged file
        raise V4eggError(f"{path}: not a readable torch file of plain tensors; download it again") from error
    for name, shape in _shapes(_widths(state, path)).items():
        stored = _shape(state, name)
        if stored != shape:
            raise V4eggError(
                f"{path}: tensor layers.{name} is {stored or 'missing'}, expected {shape}; download it again"
            )
    return {name: tensor.double() for name, tensor in state.items() if isinstance(tensor, Tensor)}


def _widths(state: Mapping[str, Tensor], path: Path) -> list[int]:
    """Filters per layer, from the file with these numbers if there is one, otherwise from the tensors."""
    numbers = path.parents[1] / "nums_filters" / f"{path.stem}.npy"
    if numbers.is_file():
        widths = cowley.load_numeric(numbers)
        if widths.shape != (5,) or (widths < 1).any():
            raise V4eggError(f"{numbers}: holds {widths.tolist()}, expected 5 numbers of filters; download it again")
        return [int(width) for width in widths]
    names = ["layer0_conv.weight", *(f"layer{layer}_conv_point.weight" for layer in SEPARABLE)]
    shapes = [_shape(state, name) for name in names]
    if not all(shapes):
        missing = names[[bool(shape) for shape in shapes].index(False)]
        raise V4eggError(f"{path}: tensor layers.{missing} is missing; download the file again")
    return [shape[0] for shape in shapes]


def _shapes(widths: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """The expected shape of each tensor."""
    shapes: dict[str, tuple[int, ...]] = {"layer0_conv.weight": (widths[0], 3, 5, 5), "layer0_conv.bias": (widths[0],)}
    for layer in SEPARABLE:
        shapes[f"layer{layer}_conv_depth.weight"] = (widths[layer - 1], 1, 5, 5)
        shapes[f"layer{layer}_conv_point.weight"] = (widths[layer], widths[layer - 1], 1, 1)
        shapes[f"layer{layer}_conv_point.bias"] = (widths[layer],)
    for layer in (0, *SEPARABLE):
        shapes |= {f"layer{layer}_bn.{name}": (widths[layer],) for name in _NORM}
    return shapes | {"Beta.weight": (1, READOUT_SIZE**2 * widths[-1]), "Beta.bias": (1,)}


def _shape(state: Mapping[str, Tensor], name: str) -> tuple[int, ...]:
    tensor = state.get(name)
    return tuple(tensor.shape) if isinstance(tensor, Tensor) else ()
