"""Exchange of images and scores with an experiment through a folder.

:class:`Exchange` writes ``evolution.npz`` (the state), and ``round-0001/`` with a PNG file for each image and
``images.csv`` (id, file, neuron). The experimenter presents each image ``repeats`` times and writes
``round-0001/scores.csv`` with a row ``id,score`` for each presentation, in any order (:mod:`v4egg.xdream.scores`). The
scores of an image are averaged; an empty score is a presentation that was lost, and an image without any other is
presented again in a later round.

A file that is still being written must not be taken for a whole one. :meth:`Exchange.advance` reads the scores, and
writes the next round, when

- the laboratory has made a file ``scores.done`` beside ``scores.csv``, after it; or
- every image has ``repeats`` rows, the last line has an end, and nothing has changed between two polls.

What is refused stays where it is, and is read anew once it has been corrected.
"""

import csv
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from v4egg.errors import V4eggError
from v4egg.images.processing import to_uint8
from v4egg.io.files import replacing
from v4egg.xdream.evolution import Evolution, Trial
from v4egg.xdream.scores import Scores, first_ids, read_scores

STATE, IMAGES, SCORES, DONE = "evolution.npz", "images.csv", "scores.csv", "scores.done"


class Exchange:
    """An evolution whose images are presented in an experiment.

    Args:
        folder: for images and scores; it is created if necessary. A folder with a state is resumed.
        evolution: a new evolution with the settings of the experiment.
        images_of: codes (B, D) -> images (B, C, y, x) in [0, 1], such as an image generator.
        size: side of the PNG files in pixels (bilinear interpolation); None for the images' own (published: 83 to 128).
        settle: seconds for which scores without ``scores.done`` must not have changed.

    Attributes:
        round: number of the current round, from 1.
        neurons: name of the neuron of each run.
        status: what :meth:`advance` waits for, in one line.

    Raises:
        V4eggError: the folder holds the state of an evolution with other settings.

    Example:
        >>> import tempfile
        >>> from v4egg.xdream.optimizers import make_optimizer
        >>> evolution = Evolution(make_optimizer("genetic", [("unit7",)], size=3, population=2), budget=4)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     exchange = Exchange(folder, evolution, lambda codes: codes[:, :, None, None].expand(-1, 3, 8, 8))
        ...     _ = (exchange.current / "scores.csv").write_text("id,score\\nr0001-n000-i000,3\\nr0001-n000-i001,5\\n")
        ...     (exchange.current / "scores.done").touch()
        ...     exchange.advance(), exchange.current.name
        (True, 'round-0002')
    """

    def __init__(
        self,
        folder: str | Path,
        evolution: Evolution,
        images_of: Callable[[Tensor], Tensor],
        size: int | None = None,
        settle: float = 1.0,
    ) -> None:
        self.folder, self.evolution, self.images_of, self.size = Path(folder), evolution, images_of, size
        self.settle, self.status = settle, "nothing has been read yet"
        self._seen, self._since = b"", 0.0  # the last poll's scores, and when they were first seen
        self.neurons = ["-".join(map(str, key)) for key in evolution.optimizer.keys]
        self.round = 0
        if (self.folder / STATE).exists():
            notes = evolution.load(self.folder / STATE)
            if notes.get("neurons") != self.neurons:
                raise V4eggError(f"{self.folder / STATE}: the state is that of other neurons; choose another folder")
            self.round = notes["round"]
        else:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._next()

    @property
    def current(self) -> Path:
        """The folder of the current round, whose scores are expected."""
        return self.folder / f"round-{self.round:04d}"

    @property
    def finished(self) -> bool:
        """Whether the budget is spent."""
        return self.evolution.ask() is None

    def advance(self) -> bool:
        """Read the scores of the current round, if they are whole, and write the next round.

        Returns:
            Whether there were whole scores. If not, ``status`` says what is waited for.

        Raises:
            V4eggError: the table has no columns id and score, an unknown id, a value that is not a number, or, although
                ``scores.done`` is there, an image without a row. The round goes on, and the file stays.
        """
        trial = self.evolution.ask()
        if trial is None:
            self.status = "the budget is spent"
            return False
        scores = self._whole_scores(self._ids(trial))
        if scores is None:
            return False
        ids = self._ids(trial)
        n_presentations = np.maximum(scores.presentations(ids), self.evolution.repeats)
        self.evolution.tell(scores.means(ids), presentations=n_presentations)
        self._next()
        self.status = f"round {self.round - 1} is read"
        return True

    def _whole_scores(self, ids: list[str]) -> Scores | None:
        """The scores of the current round; None, with the reason in ``status``, while they may be incomplete."""
        path = self.current / SCORES
        content, done, steady = self._polled(path)
        if not content.strip():
            self.status = f"{path} is empty or not there yet"
            return None
        if not (done or steady):
            self.status = f"{path} has just changed"
            return None
        scores = read_scores(content, ids, str(path), whole=done)
        repeats = self.evolution.repeats
        lacking = scores.lacking(ids, 1 if done else repeats)
        if not scores.values:
            self.status = f"{path} has no row yet"
        elif not scores.whole:
            self.status = f"{path} ends within a line; write its end"
        elif lacking and not done:
            self.status = (
                f"{path} has fewer than {repeats} rows for {first_ids(lacking)}; add them, with an empty score where a "
                f"presentation was lost, or make {DONE} if there are no more"
            )
        elif lacking:
            raise V4eggError(
                f"{path}: no row for {first_ids(lacking)}; add it, with an empty score where a presentation was lost, "
                f"and make {DONE} again"
            )
        else:
            return scores
        return None

    def _polled(self, path: Path) -> tuple[bytes, bool, bool]:
        """What the file holds (nothing where it cannot be read yet); whether it is marked as done, or has not changed.

        A mark that is older than the file is that of an earlier version.
        """
        marked = _changed(path.with_name(DONE))  # before the scores are read, which may change meanwhile
        try:
            content = path.read_bytes()
        except OSError:  # not there, or locked by the program that writes it
            content = b""
        if content != self._seen:
            self._seen, self._since = content, time.monotonic()
            return content, 0 <= _changed(path) <= marked, False
        return content, 0 <= _changed(path) <= marked, time.monotonic() - self._since >= self.settle

    def _next(self) -> None:
        """Write the next round's images atomically, then the state."""
        self.round += 1
        trial = self.evolution.ask()
        if trial is not None:
            with replacing(self.current) as temporary:  # exists if a run was killed before its state was saved
                temporary.mkdir()
                self._write(trial, temporary)
        self.evolution.save(self.folder / STATE, round=self.round, neurons=self.neurons)

    def _write(self, trial: Trial, folder: Path) -> None:
        images = to_uint8(self.images_of(torch.from_numpy(trial.codes)))
        with (folder / IMAGES).open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["id", "file", "neuron"])
            for name, image, run in zip(self._ids(trial), images, trial.run, strict=True):
                picture = Image.fromarray(image.transpose(1, 2, 0).squeeze())
                if self.size is not None:
                    picture = picture.resize((self.size, self.size), Image.Resampling.BILINEAR)
                picture.save(folder / f"{name}.png")
                table.writerow([name, f"{name}.png", self.neurons[run]])

    def _ids(self, trial: Trial) -> list[str]:
        """An id for each image of the round, from its round, neuron and slot."""
        return [f"r{self.round:04d}-n{run:03d}-i{slot:03d}" for run, slot in zip(trial.run, trial.slot, strict=True)]


def _changed(path: Path) -> int:
    """When a file was last changed, in nanoseconds; -1 where there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return -1
