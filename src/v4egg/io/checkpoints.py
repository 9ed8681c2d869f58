"""Resumable state of long jobs, kept outside the declared outputs, which Snakemake deletes before a rerun."""

import copy
import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from v4egg.errors import V4eggError
from v4egg.io import files, stores


class Checkpoint:
    """One job's state in ``folder``, keyed by everything that decides its result.

    A changed configuration or input is another key, so that a job never resumes from a state that is not its own.
    """

    def __init__(self, folder: str | Path, key: Mapping[str, Any]):
        text = json.dumps(key, sort_keys=True, default=str)
        self.folder = Path(folder) / hashlib.sha256(text.encode()).hexdigest()[:16]
        self.path = self.folder / "state.pt"

    @classmethod
    def for_inputs(cls, folder: str | Path, inputs: Sequence[str | Path], key: Mapping[str, Any]) -> "Checkpoint":
        """The state of a job that reads these stores: their digests are part of the key."""
        return cls(folder, {**key, "inputs": [stores.load(path).attrs["digest"] for path in inputs]})

    def part(self, name: str) -> "Checkpoint":
        """The state of a part of the job, which goes when that of the job goes."""
        part = copy.copy(self)
        part.folder = self.folder / name
        part.path = part.folder / self.path.name
        return part

    def load(self) -> dict[str, Any] | None:
        """The last state saved, or None."""
        if not self.path.exists():
            return None
        try:
            return torch.load(self.path, weights_only=True)
        except Exception as error:  # torch's unpickler raises almost anything on a damaged file
            raise V4eggError(f"{self.path}: unreadable training state ({error}); delete it to start afresh") from error

    def resume(self, parts: Mapping[str, Any]) -> dict[str, Any] | None:
        """The last state saved, or None; each of the parts takes what the state holds under its name."""
        state = self.load()
        for name, part in parts.items() if state is not None else ():
            part.load_state_dict(state[name])
        return state

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace the state, whole or not at all."""
        with files.replacing(self.path) as temporary:
            torch.save(dict(state), temporary)

    def remove(self) -> None:
        """Forget the state: the result is safe in its store."""
        shutil.rmtree(self.folder, ignore_errors=True)
