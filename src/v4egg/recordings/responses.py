"""From a recording to responses: windowed counts, how reliable each unit is, and which units are worth modelling.

All that informs a choice (reliability, signal to noise, mean and sd of the counts) is computed on the fit images, that
is train and validation: the test images choose nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from v4egg.errors import V4eggError
from v4egg.io import stores
from v4egg.recordings.recording import Recording
from v4egg.stats import metrics

SPLITS = ("train", "validation", "test", "excluded")
CRITERIA = {  # key of the selection -> the attribute that it bounds from below
    "min_reliability": "reliability",
    "min_signal_to_noise": "signal_to_noise",
    "min_mean_count": "mean_count",
}
NEED_REPEATS = ("reliability", "signal_to_noise")
ROUNDING = 1e-6  # of the mean: below it the sd of a constant float32 response is rounding


@dataclass
class Responses:
    """The responses of one session.

    Attributes:
        session: the session's id.
        image_ids: the images' names, in the order of the recording.
        units: unit ids such as ``s190923-u007``.
        counts: float32 (image, repeat, unit), spikes per window, NaN-padded.
        split: str (image,), one of :data:`SPLITS`.
        reliability: float32 (unit,), split-half over the fit images, Spearman-Brown corrected; NaN without repeats.
        signal_to_noise: float32 (unit,), likewise; see :func:`v4egg.stats.metrics.signal_to_noise`.
        mean_count: float32 (unit,), mean over the fit images of the repeat mean.
        sd_count: float32 (unit,), sd (ddof 0) over the fit images of the repeat mean; 0 for a constant unit, NaN
            for one without a finite count there.
        selected: bool (unit,), passes the selection.
        repeats_averaged: how many trials each entry of ``counts`` is the mean of.
    """

    session: str
    image_ids: list[str]
    units: list[str]
    counts: np.ndarray
    split: np.ndarray
    reliability: np.ndarray
    signal_to_noise: np.ndarray
    mean_count: np.ndarray
    sd_count: np.ndarray
    selected: np.ndarray
    repeats_averaged: int = 1

    @property
    def selected_units(self) -> list[str]:
        """Ids of the units that pass the selection."""
        return [unit for unit, chosen in zip(self.units, self.selected, strict=True) if chosen]

    def counts_of(self, split: str, units: Sequence[str]) -> np.ndarray:
        """Counts (image, repeat, unit) of some units on the images of a split."""
        return self.counts[self.images_of(split)][:, :, [self.units.index(unit) for unit in units]]

    def mean(self) -> np.ndarray:
        """Mean over repeats, float32 (image, unit), NaN where an image has no finite repeat."""
        return _finite_mean(self.counts, 1).astype("float32")

    def zscored(self) -> np.ndarray:
        """The repeat mean in sd from its mean over the fit images, float32 (image, unit); NaN for constant units."""
        sd = np.where(self.sd_count > 0, self.sd_count, np.nan)
        return (self.mean() - self.mean_count) / sd

    def images_of(self, *splits: str) -> np.ndarray:
        """Positions on the image axis of the images of the given splits, ascending, int64."""
        unknown = set(splits) - set(SPLITS)
        if unknown:
            raise ValueError(f"no split {sorted(unknown)}, there are {SPLITS}")
        return np.flatnonzero(np.isin(self.split, splits))

    def save(self, path: str | Path, **provenance: Any) -> None:
        """Write the responses to a store of kind ``responses``."""
        by_unit = ("reliability", "signal_to_noise", "mean_count", "sd_count", "selected")
        variables = {"counts": (("image", "repeat", "unit"), self.counts), "split": ("image", self.split)}
        variables |= {name: ("unit", getattr(self, name)) for name in by_unit}
        coords = {"image": list(self.image_ids), "unit": list(self.units)}
        attrs = {"session": self.session, "repeats_averaged": self.repeats_averaged}
        stores.save(xr.Dataset(variables, coords, attrs), path, "responses", **provenance)


def load_responses(path: str | Path) -> Responses:
    """The :class:`Responses` in a store of kind ``responses``."""
    dataset = stores.load(path, "responses").load()
    by_unit = ("reliability", "signal_to_noise", "mean_count", "sd_count", "selected")
    return Responses(
        session=dataset.attrs["session"],
        image_ids=[str(name) for name in dataset["image"].values],
        units=[str(name) for name in dataset["unit"].values],
        counts=dataset["counts"].values,
        split=np.array(dataset["split"].values.tolist()),
        repeats_averaged=int(dataset.attrs["repeats_averaged"]),
        **{name: dataset[name].values for name in by_unit},
    )


def count_spikes(recording: Recording, window: tuple[float, float] = (0.07, 0.17)) -> np.ndarray:
    """Spikes in a window after each presentation.

    Args:
        recording: with spikes and trials.
        window: start (included) and stop (not included), seconds after the onset.

    Returns:
        float32 (image, repeat, unit); repeats in the order of presentation, NaN where an image has fewer of them.

    Raises:
        V4eggError: the window is empty, there is no trial, or a trial shows an image that is not there.
    """
    start, stop = window
    if not start < stop:
        raise V4eggError(f"responses: window ({start:g}, {stop:g}) s is empty; give its start before its stop")
    image, onset = _trials_in_order(recording)
    repeat = _occurrence(image)
    counts = np.full((len(recording.images), repeat.max() + 1, len(recording.units)), np.nan, "float32")
    for position, unit in enumerate(recording.units.index):
        times = np.asarray(recording.spikes[unit], "float64")
        counts[image, repeat, position] = np.searchsorted(times, onset + stop) - np.searchsorted(times, onset + start)
    return counts


def make_responses(
    recording: Recording,
    split: np.ndarray,
    *,
    window: tuple[float, float] = (0.07, 0.17),
    selection: Mapping[str, float | None] | None = None,
    seed: int = 0,
) -> Responses:
    """Count, judge and select the units of a recording.

    Args:
        recording: with spikes, or with counts (then the window is the source's own).
        split: (image,), str of :data:`SPLITS`, as :func:`v4egg.recordings.splits.split_of` gives it.
        window: seconds after onset, see :func:`count_spikes`.
        selection: lower bounds by the keys of :data:`CRITERIA`; None or an absent key bounds nothing. A unit must
            reach all of them and vary over the fit images. ``min_reliability`` and ``min_signal_to_noise`` do
            not apply to a source without repeats.
        seed: of the random halves of the reliability.

    Raises:
        V4eggError: the split does not fit the images, a fit or test image has no response, averaged counts hold NaN,
            the selection has an unknown key, or no unit passes.
    """
    counts = count_spikes(recording, window) if recording.spikes is not None else recording.counts.astype("float32")
    split = np.array(np.asarray(split).tolist(), dtype=str)  # takes fixed-width and variable-length strings alike
    _check_split(recording, split)
    _check_counts(recording, counts, split)
    fit = counts[np.isin(split, ("train", "validation"))]
    average = _finite_mean(fit, 1)
    mean = _finite_mean(average, 0)
    sd = np.sqrt(_finite_mean((average - mean) ** 2, 0))
    key = (seed, "reliability", recording.session)
    result = Responses(
        session=recording.session,
        image_ids=list(recording.image_ids),
        units=[str(unit) for unit in recording.units.index],
        counts=counts,
        split=split,
        reliability=metrics.split_half_reliability(fit, key).astype("float32"),
        signal_to_noise=metrics.signal_to_noise(fit).astype("float32"),
        mean_count=mean.astype("float32"),
        sd_count=np.where(sd > ROUNDING * np.abs(mean), sd, 0.0).astype("float32"),
        selected=np.zeros(counts.shape[2], bool),
        repeats_averaged=recording.repeats_averaged,
    )
    result.selected = _select(result, selection or {}, repeated=bool((np.isfinite(fit).sum(axis=1) > 1).any()))
    return result


def _trials_in_order(recording: Recording) -> tuple[np.ndarray, np.ndarray]:
    """Image and onset (s) of each presentation, by time."""
    if recording.trials is None or len(recording.trials) == 0:
        raise V4eggError(f"session {recording.session}: no presentation; check the column map of the trials table")
    trials = recording.trials.sort_values("onset", kind="stable")
    image, onset = trials["image"].to_numpy("int64"), trials["onset"].to_numpy("float64")
    outside = (image < 0) | (image >= len(recording.images))
    if outside.any():
        raise V4eggError(
            f"session {recording.session}: a trial shows image {image[outside][0]} of {len(recording.images)}; "
            "correct the trials table"
        )
    return image, onset


def _occurrence(labels: np.ndarray) -> np.ndarray:
    """How often each label occurred before: [3, 5, 3, 3] -> [0, 0, 1, 2]."""
    order = np.argsort(labels, kind="stable")
    _, start, count = np.unique(labels[order], return_index=True, return_counts=True)
    result = np.empty(len(labels), "int64")
    result[order] = np.arange(len(labels)) - np.repeat(start, count)
    return result


def _finite_mean(values: np.ndarray, axis: int) -> np.ndarray:
    """Mean over the finite values in float64, NaN where there is none (without numpy's warnings)."""
    finite = np.isfinite(values)
    n = finite.sum(axis=axis)
    total = np.sum(values, axis=axis, where=finite, dtype="float64")
    return np.divide(total, n, out=np.full(n.shape, np.nan), where=n > 0)


def _check_split(recording: Recording, split: np.ndarray) -> None:
    if split.shape != (len(recording.images),):
        raise V4eggError(
            f"session {recording.session}: a split of shape {split.shape} for {len(recording.images)} images; "
            "make the splits again from this recording"
        )
    unknown = sorted(set(split) - set(SPLITS))
    if unknown:
        raise V4eggError(f"session {recording.session}: unknown split {unknown[0]}; give {', '.join(SPLITS)}")
    if not np.isin(split, ("train", "validation")).any():
        raise V4eggError(f"session {recording.session}: no train or validation image; change its split")


def _check_counts(recording: Recording, counts: np.ndarray, split: np.ndarray) -> None:
    finite = np.isfinite(counts)
    if recording.repeats_averaged > 1 and not finite.all():
        image, _, unit = np.argwhere(~finite)[0]
        raise V4eggError(
            f"session {recording.session}: the averaged counts of unit {recording.units.index[unit]} to image "
            f"{recording.image_ids[image]} are not finite; leave the unit or the image out"
        )
    unseen = ~finite.any(axis=(1, 2)) & (split != "excluded")
    if unseen.any():
        image = np.flatnonzero(unseen)[0]
        raise V4eggError(
            f"session {recording.session}: {split[image]} image {recording.image_ids[image]} has no response "
            f"({unseen.sum()} such images); leave it out or correct the trials table"
        )


def _select(responses: Responses, selection: Mapping[str, float | None], repeated: bool) -> np.ndarray:
    """Which units reach every bound that applies, bool (unit,)."""
    unknown = sorted(set(selection) - set(CRITERIA))
    if unknown:
        raise V4eggError(f"selection: unknown key {unknown[0]}; give {', '.join(CRITERIA)}")
    selected = responses.sd_count > 0  # a silent or constant unit has nothing to model
    applied = []
    for key, bound in selection.items():
        if bound is None or (CRITERIA[key] in NEED_REPEATS and not repeated):
            continue
        values = getattr(responses, CRITERIA[key])
        selected &= values >= bound  # NaN does not pass
        best = values[np.isfinite(values)].max(initial=-np.inf)
        applied.append(
            f"{key} {bound:g}, best {best:.3g}" if np.isfinite(best) else f"{key} {bound:g}, none measurable"
        )
    if not selected.any():
        raise V4eggError(
            f"session {responses.session}: none of {len(selected)} units passes the selection "
            f"({'; '.join(applied) or 'all are silent or constant'}); lower its bounds or leave the session out"
        )
    return selected
