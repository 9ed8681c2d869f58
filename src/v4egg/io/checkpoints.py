"""Resumable state of long jobs, stored outside the declared outputs because Snakemake deletes those before a rerun."""

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
    """The saved state of one job, identified by everything that its result depends on.

    A changed configuration or input gives another key, so that a job never resumes from the state of another job.

    Args:
        folder: where the states of all jobs of this sort are stored.
        key: everything that the result depends on; must be serialisable as JSON or have a stable ``str``.

    Example:
        >>> import tempfile
        >>> checkpoint = Checkpoint(tempfile.mkdtemp(), {"seed": 0})
        >>> checkpoint.load() is None
        True
        >>> checkpoint.save({"step": 3})
        >>> checkpoint.load()
        {'step': 3}
        >>> checkpoint.remove()
    """

    def __init__(self, folder: str | Path, key: Mapping[str, Any]):
        text = json.dumps(key, sort_keys=True, default=str)
        self.folder = Path(folder) / hashlib.sha256(text.encode()).hexdigest()[:16]
        self.path = self.folder / "state.pt"

    @classmethod
    def for_inputs(cls, folder: str | Path, inputs: Sequence[str | Path], key: Mapping[str, Any]) -> "Checkpoint":
        """Return the state of a job that reads stores, whose digests become part of the key."""
        return cls(folder, {**key, "inputs": [stores.load(path).attrs["digest"] for path in inputs]})

    def part(self, name: str) -> "Checkpoint":
        """Return the state of a part of the job; removing the job's state removes it too."""
        part = copy.copy(self)
        part.folder = self.folder / name
        part.path = part.folder / self.path.name
        return part

    def load(self) -> dict[str, Any] | None:
        """Read the last state saved; None if there is none.

        Raises:
            V4eggError: the file is damaged.
        """
        if not self.path.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(self.path, weights_only=True)
            return state
        except Exception as error:  # torch's unpickler raises almost anything on a damaged file
            raise V4eggError(f"{self.path}: unreadable training state ({error}); delete it to start afresh") from error

    def resume(self, parts: Mapping[str, Any]) -> dict[str, Any] | None:
        """Read the last state saved and load it into parts such as networks and optimizers.

        Args:
            parts: objects with ``load_state_dict``, by their name in the state.

        Returns:
            The state; None, with the parts unchanged, if there is none.
        """
        state = self.load()
        if state is not None:
            for name, part in parts.items():
                part.load_state_dict(state[name])
        return state

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace the saved state, completely or not at all."""
        with files.replacing(self.path) as temporary:
            torch.save(dict(state), temporary)

    def remove(self) -> None:
        """Delete the state, once the result is in its store."""
        shutil.rmtree(self.folder, ignore_errors=True)
