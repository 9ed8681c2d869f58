"""Which device a job computes on, and in which precision.

Snakemake counts GPUs but does not name them. A job therefore takes a free one by locking a file that is named after the
GPU's own identity, so that a GPU is the same whatever number a scheduler shows it under. The kernel drops the lock with
the process, also where that was killed.
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
    """Whether bf16 is multiplied in hardware there: on GPUs, and on CPUs with AMX or AVX-512 BF16."""
    if torch.device(device).type != "cpu":
        return True
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name, False) for name in ("amx_bf16", "avx512_bf16"))


def autocast(device: str | torch.device) -> AbstractContextManager:
    """bf16 autocast where it pays (it halves the time of a convolution there), otherwise float32."""
    kind = torch.device(device).type
    return torch.autocast(kind, torch.bfloat16) if fast_bf16(device) else nullcontext()


@contextmanager
def taken_device(resources: Any, say: Callable[[str], None]) -> Iterator[str]:
    """The device of a job: ``cpu``, or ``cuda`` with a free GPU as its current device until the job ends.

    ``V4EGG_DEVICE=cpu`` computes on the CPU also where a GPU was given.

    Raises:
        V4eggError: the job was given a GPU and torch sees none.
    """
    if not getattr(resources, "gpu", 0) or os.environ.get("V4EGG_DEVICE") == "cpu":
        yield "cpu"
        return
    if not torch.cuda.is_available():
        raise V4eggError("the job was given a GPU and torch sees none; run with --resources gpu=0 to use the CPU")
    names = [str(torch.cuda.get_device_properties(i).uuid) for i in range(torch.cuda.device_count())]
    with free_slot(names, lock_folder(), say) as index:
        torch.cuda.set_device(index)
        yield "cuda"


def lock_folder() -> Path:
    """This user's locks on this machine."""
    return Path(tempfile.gettempdir()) / f"v4egg-gpus-{os.getuid()}"


@contextmanager
def free_slot(names: Sequence[str], folder: Path, say: Callable[[str], None], pause: float = 1.0) -> Iterator[int]:
    """Hold the first of ``names`` that no other process holds; its index. Looks every ``pause`` seconds."""
    folder.mkdir(mode=0o700, exist_ok=True)
    told = False
    while (found := _first_free(names, folder)) is None:
        if not told:
            say(f"all {len(names)} GPUs are taken; waiting for one")
            told = True
        time.sleep(pause)
    index, file = found
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


def usable_device(device: str | torch.device) -> torch.device:
    """The device with its index, checked by placing an empty tensor on it.

    Raises:
        V4eggError: torch knows no such device, or cannot use it on this machine.
    """
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise V4eggError(f"device {str(device)!r} cannot be used ({reason}); use another one, such as cpu") from error


def device_of(module: nn.Module) -> torch.device:
    """The device of a module's first parameter or buffer; the CPU if it has none."""
    tensors = itertools.chain(module.parameters(), module.buffers())
    return next((tensor.device for tensor in tensors), torch.device("cpu"))


@contextmanager
def borrowed(module: Module, device: str | torch.device | None = None) -> Iterator[Module]:
    """Use a module for inference and leave the caller's as it was, also after an exception.

    On the module's own device the module itself is used: in evaluation mode and without gradients of its parameters,
    both of which are set back at the end. For another device a copy is made, so that the module does not move.

    Args:
        module: any torch module.
        device: where to compute; None: where the module is.

    Raises:
        V4eggError: the device cannot be used, or the module cannot be copied to it.
    """
    own = device_of(module)
    wanted = own if device is None else usable_device(device)
    if wanted != own:
        module = _copied(module, wanted)
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
