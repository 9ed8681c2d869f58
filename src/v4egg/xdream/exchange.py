"""Exchange of images and scores with an experiment through a folder.

:class:`Exchange` writes ``evolution.npz`` (the state), and ``round-0001/`` with a PNG file for each image and
``images.csv`` (id, file, neuron). The experimenter presents each image ``repeats`` times and writes
``round-0001/scores.csv`` with a row ``id,score`` for each presentation, in any order. An empty score, or an id without
a row, is missing: the image is presented again in a later round. :meth:`Exchange.advance` reads the scores and writes
the next round.
"""

import csv
import math
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

STATE, IMAGES, SCORES = "evolution.npz", "images.csv", "scores.csv"
_MISSING = ("", "nan", "NaN", "NA")


class Exchange:
    """An evolution whose images are presented in an experiment.

    Args:
        folder: for images and scores; it is created if necessary. A folder with a state is resumed.
        evolution: a new evolution with the settings of the experiment.
        images_of: codes (B, D) -> images (B, C, y, x) in [0, 1], such as an image generator.
        size: side of the PNG files in pixels (bilinear interpolation); None for the images' own (published: 83 to 128).

    Attributes:
        round: number of the current round, from 1.
        neurons: name of the neuron of each run.

    Raises:
        V4eggError: the folder holds the state of an evolution with other settings.

    Example:
        >>> import tempfile
        >>> from v4egg.xdream.optimizers import make_optimizer
        >>> evolution = Evolution(make_optimizer("genetic", [("unit7",)], size=3, population=2), budget=4)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     exchange = Exchange(folder, evolution, lambda codes: codes[:, :, None, None].expand(-1, 3, 8, 8))
        ...     _ = (exchange.current / "scores.csv").write_text("id,score\\nr0001-n000-i000,3\\nr0001-n000-i001,5\\n")
        ...     exchange.advance(), exchange.current.name
        (True, 'round-0002')
    """

    def __init__(
        self,
        folder: str | Path,
        evolution: Evolution,
        images_of: Callable[[Tensor], Tensor],
        size: int | None = None,
    ) -> None:
        self.folder, self.evolution, self.images_of, self.size = Path(folder), evolution, images_of, size
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
        """Read the scores of the current round, if there are any, and write the next round.

        Returns:
            Whether there were scores.

        Raises:
            V4eggError: the scores have unknown ids, more rows for an id than repeats, or a value that is not a number.
        """
        path, trial = self.current / SCORES, self.evolution.ask()
        if trial is None or not path.exists():
            return False
        self.evolution.tell(_read_scores(path, self._ids(trial), self.evolution.repeats))
        self._next()
        return True

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


def _read_scores(path: Path, ids: list[str], repeats: int) -> np.ndarray:
    """Scores (B, repeats) in the order of ``ids``, NaN where missing."""
    row_of = {name: i for i, name in enumerate(ids)}
    scores, n_read = np.full((len(ids), repeats), np.nan), np.zeros(len(ids), int)
    for line, (name, text) in _rows(path):
        if name not in row_of:
            raise V4eggError(f"{path}:{line}: unknown id '{name}'; ids of this round are in {IMAGES}")
        row = row_of[name]
        if n_read[row] == repeats:
            raise V4eggError(
                f"{path}:{line}: id '{name}' has more than {repeats} rows, one per presentation; remove one"
            )
        scores[row, n_read[row]] = _number(text, f"{path}:{line}")
        n_read[row] += 1
    return scores


def _rows(path: Path) -> list[tuple[int, tuple[str, str]]]:
    try:
        with path.open(newline="") as file:
            table = csv.DictReader(file)
            if not {"id", "score"} <= set(table.fieldnames or ()):
                raise V4eggError(f"{path}: columns are {table.fieldnames or 'none'}; give id and score")
            return [(table.line_num, ((row["id"] or "").strip(), (row["score"] or "").strip())) for row in table]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise V4eggError(f"{path}: no readable table ({error}); write CSV with the columns id and score") from None


def _number(text: str, where: str) -> float:
    if text in _MISSING:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        raise V4eggError(f"{where}: score is '{text}', not a number; leave it empty where it is missing") from None
    if not math.isfinite(value):
        raise V4eggError(f"{where}: score is {text}; leave it empty where it is missing")
    return value
