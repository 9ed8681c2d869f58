"""XDream: a black-box loop of ask, show and tell that drives encoders here and an experiment elsewhere.

Xiao & Kreiman, PLoS Comput Biol 2020: an image generator turns codes into images, a neuron scores the images, and an
optimizer makes the next codes from the scores. No gradient is asked for, so the neuron may be a living one.
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
    """Images to be shown next: ``codes`` (B, D) of the ``run`` (B,) and of the ``slot`` (B,) in its population.

    ``shown`` (B,) is how many presentations the run had before, which keys what is random about its responses.
    """

    run: np.ndarray
    slot: np.ndarray
    codes: np.ndarray
    shown: np.ndarray


class Evolution:
    """Many searches side by side, each with its own budget of presentations.

    A presentation is one showing of one image: repeats and images shown again for a missing score count. A run ends
    where its next images no longer fit into the budget.

    Attributes:
        best_score, best_code: (R,), (R, D), the highest score of any image ever shown, and its code; NaN before.
        best_noiseless: (R,), the noiseless response to that image, where it is known.
        history: one row a round (T, R): ``presentations`` so far, ``best`` score so far, ``mean`` and ``top`` score of
            the round, and ``noiseless``, the mean noiseless response of the round (NaN where not known).
    """

    def __init__(self, optimizer: Optimizer, budget: int, repeats: int = 1):
        """``budget`` is presentations a run; ``repeats`` presentations of each image are averaged to its score.

        Raises:
            V4eggError: the budget is smaller than a generation, or there are no repeats.
        """
        needed = optimizer.population * repeats
        if repeats < 1:
            raise V4eggError(f"evolution: repeats is {repeats}; give 1 or more")
        if budget < needed:
            raise V4eggError(
                f"evolution: budget is {budget} presentations, smaller than a generation of {optimizer.population} "
                f"images x {repeats} repeats; give {needed} or more"
            )
        self.optimizer, self.budget, self.repeats = optimizer, budget, repeats
        runs = len(optimizer.keys)
        self.scores = np.full((runs, optimizer.population), np.nan)  # of the current generation
        self.shown = np.zeros(runs, np.int64)
        self.best_score, self.best_noiseless = np.full(runs, np.nan), np.full(runs, np.nan)
        self.best_code = np.full((runs, optimizer.size), np.nan, np.float32)
        self._history: dict[str, list[np.ndarray]] = {name: [] for name in _HISTORY}

    @property
    def history(self) -> dict[str, np.ndarray]:
        runs = len(self.shown)
        return {name: np.array(rows).reshape(len(rows), runs) for name, rows in self._history.items()}

    def ask(self) -> Trial | None:
        """What to show next, in the order of runs and slots; None when every run has spent its budget.

        Asking again before telling gives the same.
        """
        pending = np.isnan(self.scores)
        affordable = self.shown + pending.sum(1) * self.repeats <= self.budget
        run, slot = np.nonzero(pending & affordable[:, None])
        if not len(run):
            return None
        return Trial(run, slot, self.optimizer.codes[run, slot], self.shown[run])

    def tell(self, scores: np.ndarray, noiseless: np.ndarray | None = None) -> None:
        """The scores of what :meth:`ask` gave, in its order: (B,), or (B, repeats). NaN: missing, shown again.

        ``noiseless`` (B,) are responses without noise, logged beside the scores.

        Raises:
            V4eggError: nothing was asked for, the number of scores is wrong, or a score is infinite.
        """
        show, scores = self.ask(), np.asarray(scores, float)
        if show is None:
            raise V4eggError("evolution: the budget is spent and nothing was asked for; tell no more scores")
        if scores.shape not in ((len(show.run),), (len(show.run), self.repeats)):
            raise V4eggError(
                f"evolution: scores of shape {scores.shape} for {len(show.run)} images of {self.repeats} repeats; "
                "give one for each presentation, NaN where it is missing"
            )
        if np.isinf(scores).any():
            raise V4eggError("evolution: a score is infinite; give NaN for a score that is missing")
        averaged = _mean(scores.reshape(len(show.run), -1))
        self.scores[show.run, show.slot] = averaged
        np.add.at(self.shown, show.run, self.repeats)
        noiseless = np.full(len(averaged), np.nan) if noiseless is None else np.asarray(noiseless, float)
        self._note(show, averaged, noiseless)
        missing = np.isnan(self.scores)
        complete = ~missing.all(1) if self.optimizer.accepts_missing else ~missing.any(1)
        ready = np.intersect1d(np.flatnonzero(complete), show.run)
        self.optimizer.step(self.scores, ready)
        self.scores[ready] = np.nan

    def _note(self, show: Trial, scores: np.ndarray, noiseless: np.ndarray) -> None:
        """Update the best image ever shown, and the history."""
        runs = len(self.shown)
        table = np.full((2, runs, self.optimizer.population), np.nan)
        table[:, show.run, show.slot] = scores, noiseless
        for run in np.flatnonzero(~np.isnan(table[0]).all(1)):
            slot = np.nanargmax(table[0, run])
            if not table[0, run, slot] <= self.best_score[run]:
                self.best_score[run], self.best_noiseless[run] = table[:, run, slot]
                self.best_code[run] = self.optimizer.codes[run, slot]
        rows = (self.shown, self.best_score, _mean(table[0]), _top(table[0]), _mean(table[1]))
        for name, row in zip(_HISTORY, rows, strict=True):
            self._history[name].append(np.array(row, float))

    def state(self) -> dict[str, np.ndarray]:
        """Numeric arrays from which :meth:`restore` goes on exactly, whatever happened in between."""
        names = ("scores", "shown", "best_score", "best_noiseless", "best_code")
        own = {name: np.array(getattr(self, name)) for name in names}
        history = {f"history.{name}": rows for name, rows in self.history.items()}
        return own | history | {f"optimizer.{name}": array for name, array in self.optimizer.state().items()}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go on from the state of an evolution of the same settings.

        Raises:
            V4eggError: the state is that of other runs or another optimizer.
        """
        mine = self.state()
        fits = set(mine) == set(state) and all(state[n].shape == mine[n].shape for n in ("scores", "best_code"))
        if not fits:
            raise V4eggError("evolution: the state is that of other runs or of another optimizer; start afresh")
        for name in ("scores", "shown", "best_score", "best_noiseless", "best_code"):
            setattr(self, name, np.array(state[name]))
        self._history = {name: list(np.array(state[f"history.{name}"])) for name in _HISTORY}
        parts = {name.split(".", 1)[1]: value for name, value in state.items() if name.startswith("optimizer.")}
        self.optimizer.restore(parts)

    def save(self, path: str | Path, **notes: Any) -> None:
        """The state as a file of plain arrays (.npz), whole or not at all; ``notes`` go along as JSON."""
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, notes=np.array(json.dumps(notes, sort_keys=True)), **self.state())

    def load(self, path: str | Path) -> dict[str, Any]:
        """Go on from a saved state; returns its notes. Raises :class:`V4eggError` for an unreadable or foreign file."""
        state, notes = read_state(path)
        self.restore(state)
        return notes


def read_state(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and the notes of a file that :meth:`Evolution.save` wrote."""
    try:
        with np.load(path, allow_pickle=False) as file:
            state = {name: file[name] for name in file.files}
        return state, json.loads(str(state.pop("notes")))
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise V4eggError(f"{path}: no readable state of an evolution ({error}); start afresh") from error


class PoissonSpikes:
    """Spike counts in the place of responses: Poisson(max(0, (response + offset) x scale)) / scale - offset, by repeat.

    ``scale`` turns a response into expected spikes: a best natural response of 20 spikes is scale = 20 / that response.
    One number, or one a run (R,).
    ``offset`` likewise: what models of z-scored responses need, in which most responses are below 0 (published: 0).
    """

    def __init__(
        self, keys: Sequence[Key], scale: float | np.ndarray, repeats: int = 1, offset: float | np.ndarray = 0.0
    ):
        self.keys, self.repeats = list(keys), repeats
        self.offset = np.broadcast_to(np.asarray(offset, float), (len(self.keys),))
        self.scale = np.broadcast_to(np.asarray(scale, float), (len(self.keys),))
        if not (np.isfinite(self.scale) & (self.scale > 0)).all():
            raise V4eggError(
                f"PoissonSpikes: scale is {scale}; give expected spikes for each unit of response, above 0"
            )

    def __call__(self, responses: np.ndarray, show: Trial) -> np.ndarray:
        """Responses (B,) -> scores (B, repeats), drawn by run and presentation."""
        scores = np.empty((len(responses), self.repeats))
        for run in np.unique(show.run):
            rows = np.flatnonzero(show.run == run)
            draws = numpy_generator(*self.keys[run], "spikes", int(show.shown[rows[0]]))
            expected = np.maximum((responses[rows] + self.offset[run]) * self.scale[run], 0)
            counts = draws.poisson(expected[:, None], (len(rows), self.repeats))
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
    """Run an evolution to the end of its budget.

    Args:
        images_of: codes (B, D) -> images (B, C, y, x) in [0, 1], such as an image generator.
        neurons: images and the run of each -> the response of that run's neuron to that image (B,).
        noise: what is told in the place of responses.
        batch: images at a time.
        checkpoint: where the state is kept every ``save_every`` rounds; an existing state is resumed.
    """
    state = checkpoint.load() if checkpoint else None
    if state is not None:
        evolution.restore({name: tensor.numpy() for name, tensor in state.items()})
    rounds = evolution.budget // (evolution.repeats * evolution.optimizer.population)
    bar = iter(progress(range(len(evolution.history["best"]), rounds)))
    while (show := evolution.ask()) is not None:
        next(bar, None)
        responses = _responses(show, images_of, neurons, batch)
        evolution.tell(responses if noise is None else noise(responses, show), responses)
        if checkpoint and len(evolution.history["best"]) % save_every == 0:
            checkpoint.save({name: torch.from_numpy(array) for name, array in evolution.state().items()})
    next(bar, None)
    return evolution


@torch.no_grad()
def _responses(show: Trial, images_of: Callable[[Tensor], Tensor], neurons: Neurons, batch: int) -> np.ndarray:
    parts = []
    for start in range(0, len(show.run), batch):
        rows = slice(start, start + batch)
        images = images_of(torch.from_numpy(show.codes[rows]))
        parts.append(neurons(images, show.run[rows]).double().cpu().numpy())
    return np.concatenate(parts)


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis of the values that are there; NaN where none is."""
    count = (~np.isnan(values)).sum(-1)
    return np.where(count, np.nansum(values, -1) / np.maximum(count, 1), np.nan)


def _top(values: np.ndarray) -> np.ndarray:
    top = np.where(np.isnan(values), -np.inf, values).max(-1)
    return np.where(np.isneginf(top), np.nan, top)
