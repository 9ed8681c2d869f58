"""What every workflow script shares: declared threads and device, a log that is also shown, progress, errors."""

import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import torch
from tqdm import tqdm

from v4egg.device import taken_device
from v4egg.errors import V4eggError


@dataclass
class Job:
    """A running job: its device, its progress bars, and where its inputs are."""

    name: str
    device: str
    inputs: Sequence[str] = ()

    def progress(self, iterable: Iterable, description: str = "") -> Iterable:
        """A progress bar in the terminal and the log, redrawn at most every ten seconds."""
        label = f"{self.name} {description}".strip()
        return tqdm(iterable, desc=label, mininterval=10, file=sys.stderr, ncols=100, ascii=True)

    def local(self, value: Any) -> Any:
        """A path among the params, or all in a list or mapping of them, as the input of that path lies on this machine.

        With object storage an input is ``<local prefix>/<bucket>/<prefix>/results/...`` and the same path among the
        params is not; otherwise the two are equal.
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
    """Run a script's body as a job of Snakemake.

    Obeys the declared threads, takes a free GPU where the rule asks for one, copies standard error to the rule's log,
    and turns a :class:`V4eggError` into one line and exit code 1.
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
    """The declared threads, and subnormal numbers flushed to zero (faded gradients must not cost time); then as before.

    A process that runs scripts one after another, as tests do, must not inherit either.
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
    """Writes to the terminal and, with redrawn lines as lines of their own, to the log."""

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
