"""A second device where there is none: numbers are computed on the CPU, and mixing devices fails as on a GPU."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("meta")  # any device that torch knows and that no test computes on
COPIES = ("aten::copy_", "aten::_to_copy")
INDEXING = ("aten::index.", "aten::index_put", "aten::_index_put", "aten::_unsafe_index")


class MixedDevicesError(RuntimeError):
    """Tensors, or a generator and a tensor, of two devices met in one operation."""


class There(torch.Tensor):
    """A tensor on the pretended device; ``numbers`` are on the CPU."""

    @staticmethod
    def __new__(cls, numbers: torch.Tensor):
        form = {"strides": numbers.stride(), "storage_offset": numbers.storage_offset(), "dtype": numbers.dtype}
        made = torch.Tensor._make_wrapper_subclass(cls, numbers.size(), device=DEVICE, **form)
        made.numbers = numbers
        return made

    def tolist(self):
        return self.numbers.tolist()

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):
        return _computed(operation, args, kwargs or {})


class _Devices(TorchDispatchMode):
    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        return _computed(operation, args, kwargs or {})


class _Literals(TorchFunctionMode):
    """`torch.tensor(values, device=...)`, which torch makes without asking a dispatch mode."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function is torch.tensor and kwargs.get("device") == DEVICE:
            return function(*args, **{**kwargs, "device": "cpu"}).to(DEVICE)
        return function(*args, **kwargs)


@contextmanager
def pretended_device() -> Iterator[torch.device]:
    """Within, tensors and modules can be moved to the device that it gives, and back."""
    with _Devices(), _Literals():
        yield DEVICE


def _computed(operation, args, kwargs):
    leaves = tree_leaves((args, kwargs))
    there = [leaf for leaf in leaves if isinstance(leaf, There)]
    device = kwargs.get("device")
    made_there = bool(there) if device is None else torch.device(device) == DEVICE
    name = f"{operation._schema.name}.{operation._schema.overload_name}"
    _check(name, args, leaves, there, made_there)
    if device is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    own = {id(leaf.numbers): leaf for leaf in there}
    result = operation(*tree_map(_numbers, args), **tree_map(_numbers, kwargs))
    if operation._schema.is_mutable:  # in place: the tensors that were given
        return args[0] if isinstance(result, torch.Tensor) else result
    if not made_there:
        return result
    return tree_map(lambda x: own.get(id(x), There(x)) if isinstance(x, torch.Tensor) else x, result)


def _check(name, args, leaves, there, made_there):
    if made_there and any(isinstance(leaf, torch.Generator) for leaf in leaves):
        raise MixedDevicesError(f"{name}: a CPU generator cannot draw on {DEVICE}")
    if not there or name.startswith(COPIES):
        return
    here = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor) and not isinstance(leaf, There) and leaf.ndim]
    assert not any(leaf.device == DEVICE for leaf in here), (
        f"{name}: torch made a tensor there itself; use torch.tensor"
    )
    if name.startswith(INDEXING) and isinstance(args[0], There):
        indices = {id(index) for index in args[1] if index is not None}
        here = [leaf for leaf in here if id(leaf) not in indices]  # a GPU takes indices from the CPU too
    if here:
        raise MixedDevicesError(f"{name}: tensors of two devices, {[tuple(leaf.shape) for leaf in here]} on the CPU")


def _numbers(value):
    return value.numbers if isinstance(value, There) else value
