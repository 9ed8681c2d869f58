"""Which device a job computes on, and in which precision.

Snakemake counts GPUs but does not name them. A job therefore takes a free GPU by locking a file that is named after the
GPU's UUID, so that a GPU is the same one under whatever index a scheduler presents it. The operating system releases
the lock when the process ends, even if it was killed.
"""

import copy
import fcntl
import itertools
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, TextIO, TypeVar

import torch
from torch import nn

from v4egg.errors import V4eggError

Module = TypeVar("Module", bound=nn.Module)


def fast_bf16(device: str | torch.device) -> bool:
    """Return whether a device multiplies bfloat16 in hardware: GPUs, and CPUs with AMX or AVX-512 BF16.

    Example:
        >>> fast_bf16("cuda")
        True
    """
    if torch.device(device).type != "cpu":
        return True
    get_capabilities: Callable[[], dict[str, bool]] = getattr(torch.cpu, "get_capabilities", dict)  # since torch 2.8
    capabilities = get_capabilities()
    return any(capabilities.get(name, False) for name in ("amx_bf16", "avx512_bf16"))


def autocast(device: str | torch.device) -> AbstractContextManager[Any]:
    """Return a context that computes in bfloat16 where that is fast (see :func:`fast_bf16`) and in float32 elsewhere.

    Example:
        >>> with autocast("cpu"):
        ...     result = torch.ones(2, 2) @ torch.ones(2, 2)
        >>> result.dtype in (torch.bfloat16, torch.float32)
        True
    """
    kind = torch.device(device).type
    return torch.autocast(kind, torch.bfloat16) if fast_bf16(device) else nullcontext()


@contextmanager
def taken_device(resources: Any, log: Callable[[str], None]) -> Iterator[str]:
    """Give a job its device: ``cpu``, or ``cuda`` with a free GPU as the current device until the job ends.

    With the environment variable ``V4EGG_DEVICE=cpu`` every job computes on the CPU.

    Args:
        resources: Snakemake's resources of the job; the GPU is taken if ``resources.gpu`` is not 0.
        log: takes one line of text; called if the job has to wait for a GPU.

    Yields:
        The name of the device.

    Raises:
        V4eggError: the job was given a GPU and torch finds none.

    Example:
        >>> from types import SimpleNamespace
        >>> with taken_device(SimpleNamespace(gpu=0), print) as device:
        ...     device
        'cpu'
    """
    if not getattr(resources, "gpu", 0) or os.environ.get("V4EGG_DEVICE") == "cpu":
        yield "cpu"
        return
    if not torch.cuda.is_available():
        raise V4eggError("the job was given a GPU and torch finds none; run with --resources gpu=0 to use the CPU")
    names = [str(torch.cuda.get_device_properties(i).uuid) for i in range(torch.cuda.device_count())]
    with free_slot(names, lock_folder(), log) as index:
        torch.cuda.set_device(index)
        yield "cuda"


def lock_folder() -> Path:
    """Return the folder of this user's GPU locks on this machine."""
    return Path(tempfile.gettempdir()) / f"v4egg-gpus-{os.getuid()}"


@contextmanager
def free_slot(names: Sequence[str], folder: Path, log: Callable[[str], None], pause: float = 1.0) -> Iterator[int]:
    """Lock the first of several names that no other process has locked, and wait while there is none.

    Args:
        names: what can be locked, such as the UUIDs of GPUs.
        folder: where the lock files lie; created if it is missing.
        log: takes one line of text; called once if all are locked.
        pause: seconds between two attempts.

    Yields:
        The index of the locked name.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    waiting = False
    while (free := _first_free(names, folder)) is None:
        if not waiting:
            log(f"all {len(names)} GPUs are taken; waiting for one")
            waiting = True
        time.sleep(pause)
    index, file = free
    with file:  # closing drops the lock
        yield index


def _first_free(names: Sequence[str], folder: Path) -> tuple[int, TextIO] | None:
    for index, name in enumerate(names):
        file = (folder / f"{name}.lock").open("a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            continue
        return index, file
    return None


def to_channels_last(module: Module, device: str | torch.device, dtype: torch.dtype | None = None) -> Module:
    """Move a module to a device, with convolutions in the memory format that is fastest there, and return it.

    Args:
        module: moved in place.
        device: where to.
        dtype: of floating-point parameters and buffers; None: as they are.

    Example:
        >>> to_channels_last(nn.Conv2d(1, 1, 3), "cpu", torch.bfloat16).weight.dtype
        torch.bfloat16
    """
    # nn.Module's own method, because that of diffusers' models logs warnings
    nn.Module.to(module, device, dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return module


def usable_device(device: str | torch.device) -> torch.device:
    """Return a device with its index, checked by placing an empty tensor on it.

    Raises:
        V4eggError: torch knows no such device, or cannot use it on this machine.

    Example:
        >>> usable_device("cpu")
        device(type='cpu')
    """
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise V4eggError(f"device {str(device)!r} cannot be used ({reason}); use another one, such as cpu") from error


def device_of(module: nn.Module) -> torch.device:
    """Return the device of a module's first parameter or buffer; the CPU if it has neither.

    Example:
        >>> device_of(nn.Linear(2, 1))
        device(type='cpu')
    """
    tensors = itertools.chain(module.parameters(), module.buffers())
    return next((tensor.device for tensor in tensors), torch.device("cpu"))


@contextmanager
def borrowed(module: Module, device: str | torch.device | None = None) -> Iterator[Module]:
    """Use a module for inference and leave the caller's as it was, also after an exception.

    On the module's present device the module itself is used: in evaluation mode and without gradients of its
    parameters, both of which are restored at the end. For another device a copy is made, so that the module does not
    move.

    Args:
        module: any torch module.
        device: where to compute; None: where the module is.

    Yields:
        The module or its copy.

    Raises:
        V4eggError: the device cannot be used, or the module cannot be copied to it.

    Example:
        >>> module = nn.Dropout().train()
        >>> with borrowed(module) as network:
        ...     network.training
        False
        >>> module.training
        True
    """
    current = device_of(module)
    target = current if device is None else usable_device(device)
    if target != current:
        module = _copied(module, target)
    modes = [(part, part.training) for part in module.modules()]
    gradients = [(parameter, parameter.requires_grad) for parameter in module.parameters()]
    try:
        yield module.eval().requires_grad_(False)
    finally:
        for part, training in modes:
            part.training = training
        for parameter, requires_grad in gradients:
            parameter.requires_grad_(requires_grad)


def _copied(module: Module, device: torch.device) -> Module:
    try:
        return copy.deepcopy(module).to(device)
    except RuntimeError as error:  # tensors that are results of a computation have no copy
        raise V4eggError(
            f"{type(module).__name__} cannot be copied to {device} ({str(error).splitlines()[0]}); move it there first"
        ) from error
