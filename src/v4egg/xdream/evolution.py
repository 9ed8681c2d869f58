"""XDream: a closed loop of image generator, neuron and black-box optimizer, for models and for experiments.

An image generator turns codes into images, a neuron scores the images, and an optimizer computes the next codes from
the scores (Xiao & Kreiman, "XDream: finding preferred stimuli for visual neurons using generative networks and
gradient-free optimization", PLoS Comput Biol 2020). No gradient is needed, so that the neuron may be a biological one.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from v4egg.errors import V4eggError
from v4egg.io.checkpoints import Checkpoint
from v4egg.io.files import replacing
from v4egg.seeding import numpy_generator
from v4egg.xdream.optimizers.optimizer import Key, Optimizer

Neurons = Callable[[Tensor, np.ndarray], Tensor]  # images (B, C, y, x), run of each image (B,) -> responses (B,)
_HISTORY = ("presentations", "best", "mean", "top", "noiseless")


@dataclass
class Trial:
    """The images to present next.

    Attributes:
        run: which run each image belongs to (B,).
        slot: position of each image in the population of its run (B,).
        codes: code of each image, float32 (B, D).
        presentations: number of presentations of the run so far (B,); it keys the noise of the responses.

    Example:
        >>> trial = Trial(np.array([0, 0]), np.array([0, 1]), np.zeros((2, 4), np.float32), np.array([0, 0]))
        >>> len(trial.codes)
        2
    """

    run: np.ndarray
    slot: np.ndarray
    codes: np.ndarray
    presentations: np.ndarray


class Evolution:
    """R parallel searches ("runs"), each with a budget of presentations.

    Repeats, and images presented again because of a missing score, count towards the budget. A run ends when its next
    images do not fit into the budget.

    Args:
        optimizer: holds the current codes of each run.
        budget: presentations per run.
        repeats: presentations of each image, which are averaged to its score.

    Attributes:
        presentations: presentations so far (R,).
        best_score, best_code: (R,) and (R, D), the highest score of any image, and its code; NaN at the start.
        best_noiseless: noiseless response to that image (R,), NaN where unknown.

    Raises:
        V4eggError: the budget is smaller than a generation, or there are no repeats.

    Example:
        >>> from v4egg.xdream.optimizers import make_optimizer
        >>> evolution = Evolution(make_optimizer("genetic", [("unit", 0)], size=4, population=6), budget=60)
        >>> while (trial := evolution.ask()) is not None:
        ...     evolution.tell(-np.square(trial.codes - 1).sum(1))
        >>> evolution.presentations.tolist(), evolution.history["best"].shape
        ([60], (10, 1))
    """

    def __init__(self, optimizer: Optimizer, budget: int, repeats: int = 1) -> None:
        least = optimizer.population * repeats
        if repeats < 1:
            raise V4eggError(f"evolution: repeats is {repeats}; give 1 or more")
        if budget < least:
            raise V4eggError(
                f"evolution: budget is {budget} presentations, smaller than a generation of {optimizer.population} "
                f"images x {repeats} repeats; give {least} or more"
            )
        self.optimizer, self.budget, self.repeats = optimizer, budget, repeats
        runs = len(optimizer.keys)
        self.scores = np.full((runs, optimizer.population), np.nan)  # of the current generation
        self.presentations = np.zeros(runs, np.int64)
        self.best_score, self.best_noiseless = np.full(runs, np.nan), np.full(runs, np.nan)
        self.best_code = np.full((runs, optimizer.size), np.nan, np.float32)
        self._history: dict[str, list[np.ndarray]] = {name: [] for name in _HISTORY}

    @property
    def history(self) -> dict[str, np.ndarray]:
        """Progress of each run by round, arrays (T, R).

        ``presentations`` so far, ``best`` score so far, ``mean`` and ``top`` score of the round, and ``noiseless``, the
        mean noiseless response of the round (NaN where unknown).
        """
        runs = len(self.presentations)
        return {name: np.array(rows).reshape(len(rows), runs) for name, rows in self._history.items()}

    def ask(self) -> Trial | None:
        """The images to present next, in the order of runs and slots; None when every run has spent its budget.

        The result stays the same until :meth:`tell` is called.
        """
        pending = np.isnan(self.scores)
        affordable = self.presentations + pending.sum(1) * self.repeats <= self.budget
        run, slot = np.nonzero(pending & affordable[:, None])
        if not len(run):
            return None
        return Trial(run, slot, self.optimizer.codes[run, slot], self.presentations[run])

    def tell(
        self, scores: np.ndarray, noiseless: np.ndarray | None = None, presentations: np.ndarray | None = None
    ) -> None:
        """Take the scores of the images that :meth:`ask` returned, and compute the next generation of complete runs.

        Args:
            scores: (B,) or (B, repeats), higher is better. NaN means missing: the image is presented again.
            noiseless: responses without noise (B,), which are logged only.
            presentations: of each image (B,); None: ``repeats``.

        Raises:
            V4eggError: the budget is spent, the number of scores is wrong, or a score is infinite.
        """
        trial, scores = self.ask(), np.asarray(scores, float)
        if trial is None:
            raise V4eggError("evolution: the budget is spent, so no scores are expected; stop when ask returns None")
        if scores.shape not in ((len(trial.run),), (len(trial.run), self.repeats)):
            raise V4eggError(
                f"evolution: scores of shape {scores.shape} for {len(trial.run)} images of {self.repeats} repeats; "
                "give one for each presentation, NaN where it is missing"
            )
        if np.isinf(scores).any():
            raise V4eggError("evolution: a score is infinite; give NaN for a score that is missing")
        averaged = _mean(scores.reshape(len(trial.run), -1))
        self.scores[trial.run, trial.slot] = averaged
        np.add.at(self.presentations, trial.run, self.repeats if presentations is None else presentations)
        noiseless = np.full(len(averaged), np.nan) if noiseless is None else np.asarray(noiseless, float)
        self._log(trial, averaged, noiseless)
        missing = np.isnan(self.scores)
        complete = ~missing.all(1) if self.optimizer.accepts_missing else ~missing.any(1)
        ready = np.intersect1d(np.flatnonzero(complete), trial.run)
        self.optimizer.step(self.scores, ready)
        self.scores[ready] = np.nan

    def _log(self, trial: Trial, scores: np.ndarray, noiseless: np.ndarray) -> None:
        """Update the best image so far, and the history."""
        runs = len(self.presentations)
        table = np.full((2, runs, self.optimizer.population), np.nan)
        table[:, trial.run, trial.slot] = scores, noiseless
        for run in np.flatnonzero(~np.isnan(table[0]).all(1)):
            slot = np.nanargmax(table[0, run])
            if not table[0, run, slot] <= self.best_score[run]:
                self.best_score[run], self.best_noiseless[run] = table[:, run, slot]
                self.best_code[run] = self.optimizer.codes[run, slot]
        rows = (self.presentations, self.best_score, _mean(table[0]), _top(table[0]), _mean(table[1]))
        for name, row in zip(_HISTORY, rows, strict=True):
            self._history[name].append(np.array(row, float))

    def state(self) -> dict[str, np.ndarray]:
        """Numeric arrays from which :meth:`restore` continues exactly."""
        names = ("scores", "presentations", "best_score", "best_noiseless", "best_code")
        arrays = {name: np.array(getattr(self, name)) for name in names}
        history = {f"history.{name}": rows for name, rows in self.history.items()}
        return arrays | history | {f"optimizer.{name}": array for name, array in self.optimizer.state().items()}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Continue from the state of an evolution with the same settings.

        Raises:
            V4eggError: the state is that of other runs or another optimizer.
        """
        current = self.state()
        same = set(current) == set(state) and all(
            state[name].shape == current[name].shape for name in ("scores", "best_code")
        )
        if not same:
            raise V4eggError("evolution: the state is that of other runs or of another optimizer; start again")
        for name in ("scores", "presentations", "best_score", "best_noiseless", "best_code"):
            setattr(self, name, np.array(state[name]))
        self._history = {name: list(np.array(state[f"history.{name}"])) for name in _HISTORY}
        parts = {name.split(".", 1)[1]: value for name, value in state.items() if name.startswith("optimizer.")}
        self.optimizer.restore(parts)

    def save(self, path: str | Path, **notes: Any) -> None:
        """Save the state as a file of plain arrays (.npz), atomically.

        Args:
            path: the file.
            notes: values that are stored with the state as JSON.
        """
        arrays: dict[str, Any] = {"notes": np.array(json.dumps(notes, sort_keys=True)), **self.state()}
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)

    def load(self, path: str | Path) -> dict[str, Any]:
        """Continue from a saved state and return its notes.

        Raises:
            V4eggError: the file is unreadable, or its state is that of other runs or another optimizer.
        """
        state, notes = read_state(path)
        self.restore(state)
        return notes


def read_state(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read the arrays and the notes of a file that :meth:`Evolution.save` wrote.

    Raises:
        V4eggError: the file is unreadable.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            state = {name: file[name] for name in file.files}
        return state, json.loads(str(state.pop("notes")))
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise V4eggError(f"{path}: no readable state of an evolution ({error}); start again") from error


class PoissonSpikes:
    """Noisy scores: Poisson(max(0, (response + offset) x scale)) / scale - offset for each repeat.

    Args:
        keys: of the random draws, one per run.
        scale: expected spikes per unit of response; a number, or one per run (R,). A best natural response of 20 spikes
            corresponds to 20 / that response.
        repeats: scores per image.
        offset: a number, or one per run (R,). Models of z-scored responses need one, as most of these are negative
            (published: 0).

    Raises:
        V4eggError: a scale is not above 0.

    Example:
        >>> noise = PoissonSpikes([("unit", 0)], scale=2.0, repeats=3)
        >>> trial = Trial(np.array([0]), np.array([0]), np.zeros((1, 4), np.float32), np.array([0]))
        >>> noise(np.array([5.0]), trial).shape
        (1, 3)
    """

    def __init__(
        self, keys: Sequence[Key], scale: float | np.ndarray, repeats: int = 1, offset: float | np.ndarray = 0.0
    ) -> None:
        self.keys, self.repeats = list(keys), repeats
        self.offset = np.broadcast_to(np.asarray(offset, float), (len(self.keys),))
        self.scale = np.broadcast_to(np.asarray(scale, float), (len(self.keys),))
        if not (np.isfinite(self.scale) & (self.scale > 0)).all():
            raise V4eggError(
                f"PoissonSpikes: scale is {scale}; give expected spikes for each unit of response, above 0"
            )

    def __call__(self, responses: np.ndarray, trial: Trial) -> np.ndarray:
        """Scores (B, repeats) for noiseless responses (B,); draws are keyed by run and presentation."""
        scores = np.empty((len(responses), self.repeats))
        for run in np.unique(trial.run):
            rows = np.flatnonzero(trial.run == run)
            rng = numpy_generator(*self.keys[run], "spikes", int(trial.presentations[rows[0]]))
            expected = np.maximum((responses[rows] + self.offset[run]) * self.scale[run], 0)
            counts = rng.poisson(expected[:, None], (len(rows), self.repeats))
            scores[rows] = counts / self.scale[run] - self.offset[run]
        return scores


def evolve(
    evolution: Evolution,
    images_of: Callable[[Tensor], Tensor],
    neurons: Neurons,
    *,
    noise: PoissonSpikes | None = None,
    batch: int = 128,
    checkpoint: Checkpoint | None = None,
    save_every: int = 25,
    progress: Callable[[range], Any] = iter,
) -> Evolution:
    """Run an evolution until its budget is spent.

    Args:
        evolution: the evolution, which is changed in place.
        images_of: codes (B, D) -> images (B, C, y, x) in [0, 1], such as an image generator.
        neurons: images, and the run of each -> the response of that run's neuron to that image (B,).
        noise: turns responses into noisy scores; None for scores that equal the responses.
        batch: images at a time.
        checkpoint: where the state is saved every ``save_every`` rounds; an existing state is resumed.
        save_every: rounds.
        progress: wraps the loop over rounds, such as a progress bar.

    Returns:
        The evolution.

    Example:
        >>> from v4egg.images.processing import Preprocess
        >>> from v4egg.xdream.generators import make_image_generator
        >>> from v4egg.xdream.optimizers import make_optimizer
        >>> pixels = make_image_generator("pixels", Preprocess(8, 1, [0.5], [0.2]))
        >>> optimizer = make_optimizer("genetic", [("unit", 0)], size=pixels.size, population=6)
        >>> evolution = evolve(Evolution(optimizer, budget=60), pixels, lambda images, run: images.mean((1, 2, 3)))
        >>> evolution.presentations.tolist(), pixels(torch.from_numpy(evolution.best_code)).shape
        ([60], torch.Size([1, 1, 8, 8]))
    """
    state = checkpoint.load() if checkpoint else None
    if state is not None:
        evolution.restore({name: tensor.numpy() for name, tensor in state.items()})
    n_rounds = evolution.budget // (evolution.repeats * evolution.optimizer.population)
    bar = iter(progress(range(len(evolution.history["best"]), n_rounds)))
    while (trial := evolution.ask()) is not None:
        next(bar, None)
        responses = _responses(trial, images_of, neurons, batch)
        evolution.tell(responses if noise is None else noise(responses, trial), responses)
        if checkpoint and len(evolution.history["best"]) % save_every == 0:
            checkpoint.save({name: torch.from_numpy(array) for name, array in evolution.state().items()})
    next(bar, None)
    return evolution


@torch.no_grad()
def _responses(trial: Trial, images_of: Callable[[Tensor], Tensor], neurons: Neurons, batch: int) -> np.ndarray:
    parts = []
    for start in range(0, len(trial.run), batch):
        rows = slice(start, start + batch)
        images = images_of(torch.from_numpy(trial.codes[rows]))
        parts.append(neurons(images, trial.run[rows]).double().cpu().numpy())
    return np.concatenate(parts)


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis without NaN; NaN where all values are."""
    count = (~np.isnan(values)).sum(-1)
    return np.where(count, np.nansum(values, -1) / np.maximum(count, 1), np.nan)


def _top(values: np.ndarray) -> np.ndarray:
    """Maximum over the last axis without NaN; NaN where all values are."""
    top = np.where(np.isnan(values), -np.inf, values).max(-1)
    return np.where(np.isneginf(top), np.nan, top)
