"""Responses of a session: spikes to counts, each unit's reliability, and the selection of units to model.

Everything that a choice depends on (reliability, signal to noise, mean and sd of the counts) is computed on the fit
images, that is train and validation images. Test images influence no choice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from v4egg.errors import V4eggError
from v4egg.io import stores
from v4egg.recordings import intervals
from v4egg.recordings.presentations import recording_trials
from v4egg.recordings.recording import SPIKES_PER_WINDOW, Recording
from v4egg.recordings.repeats import occurrence
from v4egg.stats import metrics

SPLITS = ("train", "validation", "test", "excluded")
CRITERIA = {  # key of the selection -> the attribute of Responses that it bounds from below
    "min_reliability": "reliability",
    "min_signal_to_noise": "signal_to_noise",
    "min_mean_count": "mean_count",
    "min_recorded": "recorded_images",
}
NEED_REPEATS = ("reliability", "signal_to_noise")
NEED_COUNTS = ("mean_count",)
CONSTANT = "silent or constant over the fit images"
ROUNDING = 1e-6  # of the mean: a smaller sd is rounding of a constant float32 response
_UNIT_STATISTICS = ("reliability", "signal_to_noise", "mean_count", "sd_count", "selected")
_RECORDED = ("recorded_fraction", "recorded_images")  # statistics that follow from the counts


@dataclass
class Responses:
    """The responses of one session.

    Attributes:
        session: the session's id.
        image_ids: the images' names, in the order of the recording.
        units: unit ids such as ``s190923-u007``.
        counts: float32 (image, repeat, unit), in ``response_unit``; NaN where an image has fewer repeats and where the
            unit was not recorded.
        split: str (image,), one of :data:`SPLITS`.
        reliability: float32 (unit,), :func:`v4egg.stats.metrics.split_half_reliability` over the fit images; NaN
            without repeats.
        signal_to_noise: float32 (unit,), :func:`v4egg.stats.metrics.signal_to_noise` over the fit images; NaN without
            repeats.
        mean_count: float32 (unit,), mean over the fit images of the repeat mean.
        sd_count: float32 (unit,), standard deviation (ddof 0) over the fit images of the repeat mean; 0 for a constant
            unit, NaN for a unit without a finite count on them.
        selected: bool (unit,), whether the unit passes the selection.
        repeats_averaged: how many trials each entry of ``counts`` is the mean of.
        presentations: how many presentations the source has; None: those in which any unit has a count.
        response_unit: unit of the responses: spikes per window, or that of a source whose responses are no counts.

    Example:
        >>> nan = np.full(2, np.nan, "float32")
        >>> responses = Responses(
        ...     session="s1",
        ...     image_ids=["a", "b", "c"],
        ...     units=["s1-u000", "s1-u001"],
        ...     counts=np.array([[[1, 4]], [[3, 4]], [[9, 4]]], "float32"),
        ...     split=np.array(["train", "train", "test"]),
        ...     reliability=nan,
        ...     signal_to_noise=nan,
        ...     mean_count=np.array([2, 4], "float32"),
        ...     sd_count=np.array([1, 0], "float32"),
        ...     selected=np.array([True, False]),
        ... )
        >>> responses.selected_units
        ['s1-u000']
        >>> responses.zscored()[:, 0].tolist()
        [-1.0, 1.0, 7.0]
        >>> responses.counts_of("test", ["s1-u000"]).tolist()
        [[[9.0]]]
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
    presentations: int | None = None
    response_unit: str = SPIKES_PER_WINDOW

    @property
    def are_counts(self) -> bool:
        """Whether the responses are counts of spikes."""
        return self.response_unit == SPIKES_PER_WINDOW

    @property
    def selected_units(self) -> list[str]:
        """Ids of the units that pass the selection."""
        return [unit for unit, selected in zip(self.units, self.selected, strict=True) if selected]

    @property
    def recorded_fraction(self) -> np.ndarray:
        """Share of all presentations in which each unit was recorded, float32 (unit,)."""
        finite = np.isfinite(self.counts)
        presentations = finite.any(axis=2).sum() if self.presentations is None else self.presentations
        return (finite.sum(axis=(0, 1)) / max(presentations, 1)).astype("float32")

    @property
    def recorded_images(self) -> np.ndarray:
        """Share of the fit images to which each unit has a response, float32 (unit,)."""
        fit = self.counts[self.images_of("train", "validation")]
        return (np.isfinite(fit).any(axis=1).sum(axis=0) / max(len(fit), 1)).astype("float32")

    def counts_of(self, split: str, units: Sequence[str]) -> np.ndarray:
        """Return the counts of some units on the images of a split, float32 (image, repeat, unit)."""
        return self.counts[self.images_of(split)][:, :, [self.units.index(unit) for unit in units]]

    def mean(self) -> np.ndarray:
        """Return the mean over repeats, float32 (image, unit); NaN where an image has no finite repeat."""
        return _finite_mean(self.counts, 1).astype("float32")

    def zscored(self) -> np.ndarray:
        """Return the z-scored repeat mean, float32 (image, unit); NaN for constant units and missing responses.

        Mean and standard deviation are those over the fit images.
        """
        sd = np.where(self.sd_count > 0, self.sd_count, np.nan)
        return (self.mean() - self.mean_count) / sd

    def images_of(self, *splits: str) -> np.ndarray:
        """Return the positions of the images of the given splits on the image axis, ascending, int64.

        Raises:
            V4eggError: a name is not one of :data:`SPLITS`.
        """
        unknown = set(splits) - set(SPLITS)
        if unknown:
            raise V4eggError(f"unknown split {', '.join(sorted(unknown))}; give one of {', '.join(SPLITS)}")
        return np.flatnonzero(np.isin(self.split, splits))

    def save(self, path: str | Path, **provenance: Any) -> None:
        """Write the responses to a store of kind ``responses``.

        Args:
            path: the Zarr store to write.
            provenance: ``config``, ``seed`` and ``inputs`` of :func:`v4egg.io.stores.save`.
        """
        variables = {"counts": (("image", "repeat", "unit"), self.counts), "split": ("image", self.split)}
        variables |= {name: ("unit", getattr(self, name)) for name in _UNIT_STATISTICS + _RECORDED}
        coords = {"image": list(self.image_ids), "unit": list(self.units)}
        attrs: dict[str, Any] = {"session": self.session, "repeats_averaged": self.repeats_averaged}
        attrs["response_unit"] = self.response_unit
        if self.presentations is not None:
            attrs["presentations"] = self.presentations
        stores.save(xr.Dataset(variables, coords, attrs), path, "responses", **provenance)


def load_responses(path: str | Path) -> Responses:
    """Read responses from a store of kind ``responses``.

    Raises:
        V4eggError: there is no such store, or it is of another kind or version.

    Example:
        >>> import tempfile
        >>> import pandas as pd
        >>> images, units = np.zeros((4, 1, 8, 8), "uint8"), pd.DataFrame(index=["s1-u000"])
        >>> counts = np.arange(8, dtype="float32").reshape(4, 2, 1)
        >>> recording = Recording("s1", images, units, ["a", "b", "c", "d"], counts=counts)
        >>> path = Path(tempfile.mkdtemp()) / "s1.zarr"
        >>> make_responses(recording, np.array(["train", "train", "train", "test"])).save(path)
        >>> load_responses(path).selected_units
        ['s1-u000']
    """
    dataset = stores.load(path, "responses").load()
    return Responses(
        session=dataset.attrs["session"],
        image_ids=[str(name) for name in dataset["image"].values],
        units=[str(name) for name in dataset["unit"].values],
        counts=dataset["counts"].values,
        split=np.array(dataset["split"].values.tolist()),
        repeats_averaged=int(dataset.attrs["repeats_averaged"]),
        presentations=dataset.attrs.get("presentations"),
        response_unit=dataset.attrs["response_unit"],
        **{name: dataset[name].values for name in _UNIT_STATISTICS},
    )


def count_spikes(recording: Recording, window: tuple[float, float] = (0.07, 0.17)) -> np.ndarray:
    """Count the spikes in a window after each presentation.

    Args:
        recording: with spikes and trials.
        window: start (included) and stop (not included), seconds after the onset.

    Returns:
        float32 (image, repeat, unit); repeats in the order of presentation, NaN where an image has fewer of them and
        where the window does not lie wholly inside the unit's recorded intervals.

    Raises:
        V4eggError: the window is empty, there are no spikes or trials, the times of a unit are not ascending, or a
            trial shows an image that does not exist.

    Example:
        >>> import pandas as pd
        >>> from v4egg.recordings.recording import Recording
        >>> trials = pd.DataFrame({"image": [0, 1, 0], "onset": [0.0, 1.0, 2.0], "offset": [0.1, 1.1, 2.1]})
        >>> spikes = {"s1-u000": np.array([0.08, 0.1, 1.3, 2.15])}
        >>> images, units = np.zeros((2, 1, 8, 8), "uint8"), pd.DataFrame(index=["s1-u000"])
        >>> recording = Recording("s1", images, units, ["a", "b"], trials, spikes)
        >>> count_spikes(recording)[..., 0]
        array([[ 2.,  1.],
               [ 0., nan]], dtype=float32)
    """
    start, stop = window
    if not start < stop:
        raise V4eggError(f"responses: window ({start:g}, {stop:g}) s is empty; give its start before its stop")
    if recording.spikes is None:
        raise V4eggError(f"session {recording.session}: no spikes to count; give a recording with spikes")
    trials = recording_trials(recording).sort_values("onset", kind="stable")
    image, onset = trials["image"].to_numpy("int64"), trials["onset"].to_numpy("float64")
    repeat = occurrence(image)
    first, last = onset + start, onset + stop
    counts = np.full((len(recording.images), repeat.max() + 1, len(recording.units)), np.nan, "float32")
    for position, unit in enumerate(recording.units.index):
        times = np.asarray(recording.spikes[unit], "float64")
        if not (times[1:] >= times[:-1]).all():  # false for NaN too; the search below would go astray
            raise V4eggError(f"session {recording.session}: spike times of unit {unit} are not ascending; sort them")
        number = (_number_before(times, last) - _number_before(times, first)).astype("float32")
        if recording.recorded is not None:
            number[~intervals.contain(recording.recorded[unit], first, last)] = np.nan
        counts[image, repeat, position] = number
    return counts


def make_responses(
    recording: Recording,
    split: np.ndarray,
    *,
    window: tuple[float, float] = (0.07, 0.17),
    selection: Mapping[str, float | None] | None = None,
    seed: int = 0,
) -> Responses:
    """Compute the responses of a recording and select its units.

    Args:
        recording: with spikes, or with counts, whose window is then that of the source.
        split: (image,), str of :data:`SPLITS`, as :func:`v4egg.recordings.splits.split_of` returns it. Images to which
            no unit has a response become ``excluded``.
        window: seconds after onset, see :func:`count_spikes`.
        selection: lower bounds by the keys of :data:`CRITERIA`; a key that is None or absent sets no bound. A unit must
            reach all bounds and vary over the fit images. ``min_reliability`` and ``min_signal_to_noise`` do not apply
            to a source without repeats, ``min_mean_count`` not to responses that are no counts of spikes.
        seed: of the random halves of the reliability.

    Returns:
        The responses of all units, selected or not.

    Raises:
        V4eggError: no spike lies in any window, the split does not fit the images, no fit image has a response, the
            selection has an unknown key, or no unit passes.
    """
    counts = count_spikes(recording, window) if recording.counts is None else recording.counts.astype("float32")
    if recording.spikes is not None and not np.nansum(counts):
        raise _no_spike_counts(recording)
    split = np.array(np.asarray(split).tolist(), dtype=str)  # from fixed-width or variable-length strings
    _check_split(recording, split)
    split = np.where(np.isfinite(counts).any(axis=(1, 2)), split, "excluded")
    fits = np.isin(split, ("train", "validation"))
    if not fits.any():
        raise V4eggError(
            f"session {recording.session}: no train or validation image has a response; correct the times of the "
            "presentations or of the recorded intervals"
        )
    fit = counts[fits]
    fit = fit[:, np.isfinite(fit).any(axis=(0, 2))]  # test images alone may have many repeats
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
        presentations=None if recording.trials is None else len(recording.trials),
        response_unit=recording.response_unit,
    )
    result.selected = _select(result, selection or {})
    return result


def why_left_out(responses: Responses, selection: Mapping[str, float | None]) -> list[str]:
    """Say for each unit why it does not pass the selection.

    Args:
        responses: of one session.
        selection: lower bounds by the keys of :data:`CRITERIA`, as of :func:`make_responses`.

    Returns:
        One text per unit, which names each statistic that is too low, the key that bounds it and the bound; empty for a
        unit that passes.

    Raises:
        V4eggError: the selection has an unknown key.

    Example:
        >>> one, counts = np.ones(1, "float32"), np.ones((2, 1, 1), "float32")
        >>> few = Responses("s1", ["a", "b"], ["u"], counts, np.array(["train", "train"]), one, one, one, one, one > 0)
        >>> why_left_out(few, {"min_mean_count": 2, "min_recorded": 0.9})
        ['mean count 1 is below responses.selection.min_mean_count 2']
    """
    reasons: list[list[str]] = [[] if sd > 0 else [CONSTANT] for sd in responses.sd_count]
    for key, bound in _bounds(responses, selection).items():
        name = CRITERIA[key].replace("_", " ")
        for unit, value in enumerate(getattr(responses, CRITERIA[key])):
            if not value >= bound:  # true for NaN too
                value_text = f"{name} {value:.2g} is below" if np.isfinite(value) else f"{name} is not measurable, for"
                reasons[unit].append(f"{value_text} responses.selection.{key} {bound:g}")
    return ["; ".join(texts) for texts in reasons]


def _number_before(times: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Number of times before each bound, int64; both ascend, and the fewer of the two are searched in the others."""
    if len(bounds) <= len(times):
        return np.searchsorted(times, bounds)
    passed = np.searchsorted(bounds, times, side="right")  # bounds that a time is not before
    return np.cumsum(np.bincount(passed, minlength=len(bounds) + 1))[:-1]


def _no_spike_counts(recording: Recording) -> V4eggError:
    """The usual causes are times in milliseconds, times relative to the onset, and clocks that differ."""
    ends = [times[[0, -1]] for times in (recording.spikes or {}).values() if len(times)]
    spikes, onset = np.concatenate(ends), recording_trials(recording)["onset"]
    return V4eggError(
        f"session {recording.session}: no spike lies in any response window: spikes are at {spikes.min():.6g} to "
        f"{spikes.max():.6g} s, presentations start at {onset.min():.6g} to {onset.max():.6g} s; give both in seconds "
        "of one clock"
    )


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


def _bounds(responses: Responses, selection: Mapping[str, float | None]) -> dict[str, float]:
    """The bounds that apply to a session, by their key."""
    unknown = sorted(set(selection) - set(CRITERIA))
    if unknown:
        raise V4eggError(f"selection: unknown key {unknown[0]}; give {', '.join(CRITERIA)}")
    fit = responses.counts[responses.images_of("train", "validation")]
    repeated = bool((np.isfinite(fit).sum(axis=1) > 1).any())
    not_measured = [*(() if repeated else NEED_REPEATS), *(() if responses.are_counts else NEED_COUNTS)]
    return {key: bound for key, bound in selection.items() if bound is not None and CRITERIA[key] not in not_measured}


def _select(responses: Responses, selection: Mapping[str, float | None]) -> np.ndarray:
    """Which units reach every bound that applies, bool (unit,)."""
    selected = responses.sd_count > 0  # a silent or constant unit has nothing to model
    applied = []
    for key, bound in _bounds(responses, selection).items():
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
