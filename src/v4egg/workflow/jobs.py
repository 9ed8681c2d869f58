"""The frame of every workflow script: threads, device, log, progress bars and errors of a job."""

import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO, TypeVar

import torch
from tqdm import tqdm

from v4egg.device import taken_device
from v4egg.errors import V4eggError

T = TypeVar("T")


@dataclass
class Job:
    """A running job.

    Attributes:
        name: the rule and its wildcards.
        device: ``cpu`` or ``cuda``.
        inputs: paths of the job's input files on this machine.

    Example:
        >>> job = Job("transfer demo", "cpu", ["/cache/bucket/results/demo/prior.zarr"])
        >>> job.local({"prior": "results/demo/prior.zarr", "n": 3})
        {'prior': '/cache/bucket/results/demo/prior.zarr', 'n': 3}
    """

    name: str
    device: str
    inputs: Sequence[str] = ()

    @property
    def input_stores(self) -> list[str]:
        """The inputs that are stores, for the provenance of what the job writes."""
        return [path for path in self.inputs if path.endswith(".zarr")]

    def progress(self, iterable: Iterable[T], description: str = "") -> Iterable[T]:
        """Wrap an iterable in a progress bar that is drawn in the terminal and the log, at most every ten seconds."""
        label = f"{self.name} {description}".strip()
        return tqdm(iterable, desc=label, mininterval=10, file=sys.stderr, ncols=100, ascii=True)

    def local(self, value: Any) -> Any:
        """Replace paths among the params by the paths of the same inputs on this machine.

        With object storage an input is ``<local prefix>/<bucket>/<prefix>/results/...``, whereas params contain the
        path without prefix; otherwise the two are equal.

        Args:
            value: a path, or a mapping or list of such; anything else is returned as it is.
        """
        if isinstance(value, str):
            return next((path for path in self.inputs if path.endswith(f"/{value}")), value)
        if isinstance(value, Mapping):
            return {key: self.local(part) for key, part in value.items()}
        return [self.local(part) for part in value] if isinstance(value, list | tuple) else value

    def log(self, message: str) -> None:
        """Write one line to the terminal and to the rule's log."""
        print(f"{self.name}: {message}", file=sys.stderr, flush=True)


@contextmanager
def job(snakemake: Any) -> Iterator[Job]:
    """Run the body of a script as a job of Snakemake.

    Uses the declared number of threads, takes a free GPU if the rule requests one, copies standard error to the rule's
    log, and reports a :class:`V4eggError` as one line with exit code 1.

    Args:
        snakemake: the object of that name in a Snakemake script.

    Yields:
        The job.
    """
    label = " ".join([snakemake.rule, *(str(value) for value in dict(snakemake.wildcards).values())])
    with _logged(snakemake.log), _arithmetic(snakemake.threads):
        try:
            with taken_device(snakemake.resources, Job(label, "").log) as device:
                yield Job(label, device, [str(path) for path in getattr(snakemake, "input", ())])
        except V4eggError as error:
            print(f"error: {label}: {error}", file=sys.stderr, flush=True)
            raise SystemExit(1) from None
        except Exception:
            traceback.print_exc()
            raise SystemExit(1) from None


@contextmanager
def _arithmetic(threads: int) -> Iterator[None]:
    """Set the number of threads and flush subnormal numbers, which are slow, to zero; restore both at the end.

    They are restored because a process may run several scripts, as tests do.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, threads))
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(before)


class _Tee:
    """Writes to the terminal and to the log; each redrawn line of a progress bar becomes a new line of the log."""

    def __init__(self, terminal: TextIO, log: TextIO):
        self.terminal, self.log = terminal, log

    def write(self, text: str) -> int:
        self.log.write(text.replace("\r", "\n"))
        return self.terminal.write(text)

    def flush(self) -> None:
        self.log.flush()
        self.terminal.flush()

    def isatty(self) -> bool:
        return False


@contextmanager
def _logged(log: Any) -> Iterator[None]:
    if not len(log):
        yield
        return
    path = Path(str(log[0]))
    path.parent.mkdir(parents=True, exist_ok=True)
    terminal = sys.stderr
    with path.open("w") as file:
        sys.stderr = _Tee(terminal, file)
        try:
            yield
        finally:
            sys.stderr = terminal
