"""A laboratory's exchange: a folder in which images wait to be shown and scores come back.

``open_folder`` writes ``evolution.npz`` (the state), and ``round-0001/`` with a PNG file for each image and
``images.csv`` (id, file, neuron). The laboratory shows each image ``repeats`` times and writes
``round-0001/scores.csv``: a row ``id,score`` for each presentation, in any order. An empty score, or an id that is left
out, is missing: the image is shown again in a later round. ``advance`` reads the scores and writes the next round.
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
    """An evolution whose images are shown elsewhere.

    Args:
        folder: where images go and scores come from; made where it is not there. A folder with a state is resumed.
        evolution: a fresh one of the settings of the experiment.
        images_of: codes (B, D) -> images (B, C, y, x) in [0, 1], such as an image generator.
        size: pixels a side of the PNG files, bilinear; None: as they are (published: shown at 83 to 128 px).

    Raises:
        V4eggError: the folder holds the state of an evolution of other settings.
    """

    def __init__(
        self,
        folder: str | Path,
        evolution: Evolution,
        images_of: Callable[[Tensor], Tensor],
        size: int | None = None,
    ):
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
        """The folder of the round that waits for scores."""
        return self.folder / f"round-{self.round:04d}"

    @property
    def finished(self) -> bool:
        """Whether the budget is spent."""
        return self.evolution.ask() is None

    def advance(self) -> bool:
        """Take the scores of the current round, if they are there, and write the next; whether they were.

        Raises:
            V4eggError: the scores hold unknown ids, more rows for an id than repeats, or something that is no number.
        """
        path = self.current / SCORES
        if self.finished or not path.exists():
            return False
        show = self.evolution.ask()
        self.evolution.tell(_read_scores(path, self._ids(show), self.evolution.repeats))
        self._next()
        return True

    def _next(self) -> None:
        """The next round's images, whole or not at all, then the state that waits for their scores."""
        self.round += 1
        show = self.evolution.ask()
        if show is not None:
            with replacing(self.current) as temporary:  # there is one if a run was killed before its state was saved
                temporary.mkdir()
                self._write(show, temporary)
        self.evolution.save(self.folder / STATE, round=self.round, neurons=self.neurons)

    def _write(self, show: Trial, folder: Path) -> None:
        images = to_uint8(self.images_of(torch.from_numpy(show.codes)))
        with (folder / IMAGES).open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["id", "file", "neuron"])
            for name, image, run in zip(self._ids(show), images, show.run, strict=True):
                picture = Image.fromarray(image.transpose(1, 2, 0).squeeze())
                if self.size is not None:
                    picture = picture.resize((self.size, self.size), Image.Resampling.BILINEAR)
                picture.save(folder / f"{name}.png")
                table.writerow([name, f"{name}.png", self.neurons[run]])

    def _ids(self, show: Trial) -> list[str]:
        """A name for each image of the round: its round, neuron and slot."""
        return [f"r{self.round:04d}-n{run:03d}-i{slot:03d}" for run, slot in zip(show.run, show.slot, strict=True)]


def _read_scores(path: Path, ids: list[str], repeats: int) -> np.ndarray:
    """Scores (B, repeats) in the order of ``ids``, NaN where missing."""
    place = {name: i for i, name in enumerate(ids)}
    scores, seen = np.full((len(ids), repeats), np.nan), np.zeros(len(ids), int)
    for line, (name, text) in _rows(path):
        if name not in place:
            raise V4eggError(f"{path}:{line}: unknown id '{name}'; ids of this round are in {IMAGES}")
        row = place[name]
        if seen[row] == repeats:
            raise V4eggError(f"{path}:{line}: id '{name}' has more than {repeats} rows, one a presentation; remove one")
        scores[row, seen[row]] = _number(text, f"{path}:{line}")
        seen[row] += 1
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
