"""Which device a job computes on, and in which precision.

Snakemake counts GPUs but does not name them. A job therefore takes a free one by locking a file that is named after the
GPU's own identity, so that a GPU is the same whatever number a scheduler shows it under. The kernel drops the lock with
the process, also where that was killed.
"""

import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, TextIO

import torch

from v4egg.errors import V4eggError


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
