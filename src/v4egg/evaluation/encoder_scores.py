"""Scores of members and ensembles per unit, on the validation and test images of each session."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from v4egg.recordings.responses import Responses
from v4egg.seeding import numpy_generator
from v4egg.stats import metrics

SPLITS = ("validation", "test")
ROLES = ("generator", "validator")
DIMS = ("arch", "member", "split", "unit")
SUBSETS = 10  # of the members, that ensembles of each size are scored on at most


@dataclass
class ScoredSession:
    """One session to score on: its responses, what the members predict, and what else can predict them.

    Attributes:
        predictions: of kind ``predictions``, of the selected units; validation and test images are read.
        truth: the noise-free response (n, U) of the selected units, where it is known (simulations).
        reference_models: predictions (n, U) of other models for the selected units, by name.
        baselines: likewise of simpler models, which were fitted to the validation images too.
    """

    responses: Responses
    predictions: xr.Dataset
    truth: np.ndarray | None = None
    reference_models: Mapping[str, np.ndarray] = field(default_factory=dict)
    baselines: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def units(self) -> list[str]:
        return self.responses.selected_units


def score(
    sessions: Sequence[ScoredSession], combined_architectures: Mapping[str, Sequence[str]] | None = None
) -> xr.Dataset:
    """Scores by arch, member, split and unit; NaN where a session has no such split.

    Members are labelled m0, m1, ...; ``generators``, ``validators`` and ``ensemble`` are means of members. The mean of
    the ensembles of each of ``combined_architectures`` (names of ensembles, by its own), in spikes per window, is
    scored as ``combined_correlation``; where none is given and there are several ensembles, that of all as ``mixed``.
    ``correlation_by_size`` is the mean correlation to average of ensembles of ``size`` members, over at most
    :data:`SUBSETS` random subsets of them. The coordinates ``core`` and ``readout`` name each architecture's parts.
    """
    archs = [str(arch) for arch in sessions[0].predictions["arch"].values]
    combined_architectures = combined_architectures or ({"mixed": archs} if len(archs) > 1 else {})
    parts = [_score_session(session, combined_architectures) for session in sessions]
    names = {part: ("arch", sessions[0].predictions[part].values) for part in ("core", "readout")}
    # minimal: a session without reference models has no such coordinate, whichever session comes first
    return xr.concat(parts, "unit", join="outer", coords="minimal").assign_coords(names)


def _score_session(session: ScoredSession, combined_architectures: Mapping[str, Sequence[str]]) -> xr.Dataset:
    units = session.units
    columns = np.flatnonzero(session.responses.selected)
    tables: dict[str, list[list[list[np.ndarray]]]] = {}
    whole, by_size = {}, []
    for arch in map(str, session.predictions["arch"].values):
        single = _in_counts(session.predictions.sel(arch=arch), session.responses)
        predictions = single | _means(single, [str(role) for role in session.predictions["role"].values])
        whole[arch] = predictions["ensemble"]
        by_size.append(_by_size(session, list(single.values()), columns))
        rows = [_split_scores(session, prediction, columns) for prediction in predictions.values()]
        for name in rows[0]:
            tables.setdefault(name, []).append([row[name] for row in rows])
    coords: dict[str, Any] = {"arch": list(whole), "member": list(predictions), "split": list(SPLITS), "unit": units}
    variables: dict[str, tuple[Any, ...]] = {
        name: (DIMS, np.asarray(table, np.float32)) for name, table in tables.items()
    }
    variables["correlation_by_size"] = (("arch", "size", "split", "unit"), np.asarray(by_size, np.float32))
    coords["size"] = np.arange(len(by_size[0])) + 1
    variables |= {name: ("unit", values) for name, values in _test_data(session, columns).items()}
    if combined_architectures:
        mixed = [np.mean([whole[arch] for arch in archs], axis=0) for archs in combined_architectures.values()]
        values = [_correlations(session, prediction, columns) for prediction in mixed]
        variables["combined_correlation"] = (("combined", "split", "unit"), np.asarray(values, np.float32))
        coords["combined"] = list(combined_architectures)
    if session.reference_models:
        values = [_correlations(session, prediction, columns) for prediction in session.reference_models.values()]
        variables["reference_model_correlation"] = (
            ("reference_model", "split", "unit"),
            np.asarray(values, np.float32),
        )
        coords["reference_model"] = list(session.reference_models)
    if session.baselines:
        test = SPLITS.index("test")
        on_test = [_correlations(session, prediction, columns)[test] for prediction in session.baselines.values()]
        variables["baseline_correlation"] = (("baseline", "unit"), np.asarray(on_test, np.float32))
        coords["baseline"] = list(session.baselines)
    coords["session"] = ("unit", [session.responses.session] * len(units))
    return xr.Dataset(variables, coords)


def _in_counts(predictions: xr.Dataset, responses: Responses) -> dict[str, np.ndarray]:
    """Predictions (n, U) by member in spikes per window, as FEVE needs them; z-scored ones are scaled back."""
    single = dict(zip(map(str, predictions["member"].values), predictions["response"].values, strict=True))
    if predictions["output"] != "identity":
        return single
    mean, sd = responses.mean_count[responses.selected], responses.sd_count[responses.selected]
    return {member: prediction * sd + mean for member, prediction in single.items()}


def _means(single: Mapping[str, np.ndarray], roles: Sequence[str]) -> dict[str, np.ndarray]:
    """The mean predictions of generators, of validators and of all."""
    pairs = list(zip(single.values(), roles, strict=True))
    groups = {f"{role}s": [prediction for prediction, played in pairs if played == role] for role in ROLES}
    groups["ensemble"] = list(single.values())
    return {name: np.mean(predictions, axis=0) for name, predictions in groups.items()}


def _split_scores(session: ScoredSession, prediction: np.ndarray, columns: np.ndarray) -> dict[str, list[np.ndarray]]:
    """Each metric as a list over SPLITS of arrays over units."""
    scores: dict[str, list[np.ndarray]] = {}
    for split in SPLITS:
        rows = session.responses.images_of(split)
        counts = session.responses.counts[rows][:, :, columns]
        for name, values in _metrics(session, counts, prediction[rows], rows).items():
            scores.setdefault(name, []).append(values)
    return scores


def _metrics(
    session: ScoredSession, counts: np.ndarray, prediction: np.ndarray, rows: np.ndarray
) -> dict[str, np.ndarray]:
    nothing = np.full(prediction.shape[1], np.nan)
    truth = session.truth if len(rows) >= metrics.MIN_IMAGES else None
    result = {
        "correlation_to_average": _measured(metrics.correlation_to_average, counts, prediction),
        "single_trial_correlation": _measured(metrics.single_trial_correlation, counts, prediction),
        "feve": _measured(metrics.feve, counts, prediction),
        "r2_er": _measured(metrics.r2_er, counts, prediction),
        "correlation_to_truth": nothing if truth is None else metrics.correlation(prediction, truth[rows]),
    }
    if counts.shape[1] == 1:
        result |= dict.fromkeys(("single_trial_correlation", "feve", "r2_er"), nothing)
    return result


def _measured(metric: Callable[..., np.ndarray], counts: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """A metric (unit,); NaN for units with responses to too few images."""
    return np.where(metrics.measurable(counts), metric(counts, prediction), np.nan)


def _by_size(session: ScoredSession, single: list[np.ndarray], columns: np.ndarray) -> list[np.ndarray]:
    """Mean over subsets of the correlation (split, unit) of their mean prediction, a list over their sizes."""
    generator, correlations = numpy_generator("ensemble size", session.responses.session), []
    for size in range(1, len(single) + 1):
        subsets = list(itertools.combinations(range(len(single)), size))
        chosen = generator.permutation(len(subsets))[:SUBSETS]
        means = [np.mean([single[i] for i in subsets[c]], axis=0) for c in chosen]
        correlations.append(np.mean([_correlations(session, prediction, columns) for prediction in means], axis=0))
    return correlations


def _test_data(session: ScoredSession, columns: np.ndarray) -> dict[str, np.ndarray]:
    """What the repeats of the test images allow, each (unit,); NaN without repeats.

    ``ceiling`` is the correlation to average of a model that knows the true response: the square root of the
    reliability of the mean. ``leave_one_out`` is the single-trial correlation of the image's other trials.
    """
    rows = session.responses.images_of("test")
    counts = session.responses.counts[rows][:, :, columns]
    names = ("ceiling", "leave_one_out", "explainable_variance")
    if counts.shape[1] < 2:
        return {name: np.full(len(columns), np.nan, np.float32) for name in names}
    repeated = metrics.measurable(counts, 2)
    reliability = metrics.split_half_reliability(counts, ("ceiling", session.responses.session))
    ceiling = np.sqrt(np.clip(reliability, 0, None))
    values = ceiling, metrics.leave_one_out_oracle(counts), metrics.explainable_variance(counts)
    return {
        name: np.where(repeated, value, np.nan).astype(np.float32) for name, value in zip(names, values, strict=True)
    }


def _correlations(session: ScoredSession, prediction: np.ndarray, columns: np.ndarray) -> list[np.ndarray]:
    """The correlation to average (unit,) of a prediction (n, U), a list over SPLITS."""
    values = []
    for split in SPLITS:
        rows = session.responses.images_of(split)
        counts = session.responses.counts[rows][:, :, columns]
        values.append(_measured(metrics.correlation_to_average, counts, prediction[rows]))
    return values
