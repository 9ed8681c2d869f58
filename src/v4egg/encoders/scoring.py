"""Scores of members and ensembles per unit, on the validation and test images of each session."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import xarray as xr

from v4egg import metrics
from v4egg.encoders.encoder import Encoder
from v4egg.encoders.ensemble import Ensemble
from v4egg.responses import Responses
from v4egg.seeding import numpy_generator
from v4egg.stimuli import to_float

SPLITS = ("validation", "test")
BATCH = 16  # small enough for the processor's cache where a frozen network sees 224 px
DIMS = ("arch", "member", "split", "unit")
SUBSETS = 10  # of the members, that ensembles of each size are scored on at most


@dataclass
class ScoredSession:
    """One session to score on: its images uint8 (n, c, y, x), responses, and what else can predict them.

    Attributes:
        truth: the noise-free response (n, U) of the selected units, where it is known (simulations).
        yardsticks: predictions (n, U) of other models for the selected units, by name.
        baselines: likewise of simpler models, whose validation images took part in their fit.
    """

    images: np.ndarray
    responses: Responses
    truth: np.ndarray | None = None
    yardsticks: Mapping[str, np.ndarray] = field(default_factory=dict)
    baselines: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def units(self) -> list[str]:
        return self.responses.selected_units


def score(
    ensembles: Mapping[str, Ensemble],
    sessions: Sequence[ScoredSession],
    progress=iter,
    mixtures: Mapping[str, Sequence[str]] | None = None,
) -> xr.Dataset:
    """Scores by arch, member, split and unit; NaN where a session has no such split.

    Members are labelled m0, m1, ...; ``generators``, ``validators`` and ``ensemble`` are means of members. The mean of
    the ensembles of each of ``mixtures`` (names of ensembles, by its own), in spikes per window, is scored as
    ``mixture_correlation``; where none is given and there are several ensembles, that of all as ``mixed``.
    ``correlation_by_size`` is the mean correlation to average of ensembles of ``size`` members, over at most
    :data:`SUBSETS` random subsets of them. The coordinates ``core`` and ``readout`` name each architecture's parts.
    """
    mixtures = mixtures or ({"mixed": list(ensembles)} if len(ensembles) > 1 else {})
    parts = [_score_session(ensembles, session, mixtures) for session in progress(sessions)]
    specs = [ensemble.members[0].spec for ensemble in ensembles.values()]
    names = {part: ("arch", [spec[part]["name"] for spec in specs]) for part in ("core", "readout")}
    # minimal: a session without yardsticks has no such coordinate, whichever session comes first
    return xr.concat(parts, "unit", join="outer", coords="minimal").assign_coords(names)


def _score_session(
    ensembles: Mapping[str, Ensemble], session: ScoredSession, mixtures: Mapping[str, Sequence[str]]
) -> xr.Dataset:
    units = session.units
    columns = np.flatnonzero(session.responses.selected)
    tables: dict[str, list] = {}
    whole, by_size = {}, []
    for arch, ensemble in ensembles.items():
        predictions = {
            name: _in_counts(prediction, ensemble.members[0], session.responses)
            for name, prediction in _member_predictions(ensemble, session, units).items()
        }
        whole[arch] = predictions["ensemble"]
        single = [predictions[member.member] for member in ensemble.members]
        by_size.append(_by_size(session, single, columns))
        rows = [_split_scores(session, prediction, columns) for prediction in predictions.values()]
        for name in rows[0]:
            tables.setdefault(name, []).append([row[name] for row in rows])
    coords = {"arch": list(ensembles), "member": list(predictions), "split": list(SPLITS), "unit": units}
    variables = {name: (DIMS, np.asarray(table, np.float32)) for name, table in tables.items()}
    variables["correlation_by_size"] = (("arch", "size", "split", "unit"), np.asarray(by_size, np.float32))
    coords["size"] = np.arange(len(by_size[0])) + 1
    variables |= {name: ("unit", values) for name, values in _test_data(session, columns).items()}
    if mixtures:
        mixed = [np.mean([whole[arch] for arch in archs], axis=0) for archs in mixtures.values()]
        values = [_correlations(session, prediction, columns) for prediction in mixed]
        variables["mixture_correlation"] = (("mixture", "split", "unit"), np.asarray(values, np.float32))
        coords["mixture"] = list(mixtures)
    if session.yardsticks:
        values = [_correlations(session, prediction, columns) for prediction in session.yardsticks.values()]
        variables["yardstick_correlation"] = (("yardstick", "split", "unit"), np.asarray(values, np.float32))
        coords["yardstick"] = list(session.yardsticks)
    if session.baselines:
        test = SPLITS.index("test")
        values = [_correlations(session, prediction, columns)[test] for prediction in session.baselines.values()]
        variables["baseline_correlation"] = (("baseline", "unit"), np.asarray(values, np.float32))
        coords["baseline"] = list(session.baselines)
    coords["session"] = ("unit", [session.responses.session] * len(units))
    return xr.Dataset(variables, coords)


@torch.no_grad()
def _member_predictions(ensemble: Ensemble, session: ScoredSession, units: Sequence[str]) -> dict[str, np.ndarray]:
    """Predictions (n, U) of single members and of means; NaN for images of no scored split, which are not asked for."""
    rows = np.concatenate([session.responses.images_of(split) for split in SPLITS])
    tensor, index = to_float(session.images[rows]), ensemble.index(units)
    parts = [ensemble.each(tensor[i : i + BATCH], index) for i in range(0, len(tensor), BATCH)]
    known = torch.cat(parts, 1).numpy()
    whole = np.full((len(known), len(session.images), len(units)), np.nan, np.float32)
    whole[:, rows] = known
    single = dict(zip([member.member for member in ensemble.members], whole, strict=True))
    roles = {role: [m.member for m in ensemble.members if m.role == role] for role in ("generator", "validator")}
    means = {f"{role}s": np.mean([single[name] for name in names], axis=0) for role, names in roles.items()}
    return single | means | {"ensemble": np.mean(list(single.values()), axis=0)}


def _split_scores(session: ScoredSession, prediction: np.ndarray, columns: np.ndarray) -> dict[str, list]:
    """Each metric as a list over SPLITS of arrays over units."""
    scores: dict[str, list] = {}
    for split in SPLITS:
        rows = session.responses.images_of(split)
        counts = session.responses.counts[rows][:, :, columns]
        for name, values in _metrics(session, counts, prediction[rows], rows).items():
            scores.setdefault(name, []).append(values)
    return scores


def _metrics(session: ScoredSession, counts: np.ndarray, prediction: np.ndarray, rows: np.ndarray) -> dict:
    nothing = np.full(prediction.shape[1], np.nan)
    if len(rows) < 3:
        names = ("correlation_to_average", "single_trial_correlation", "feve", "r2_er", "correlation_to_truth")
        return dict.fromkeys(names, nothing)
    repeated = counts.shape[1] > 1
    return {
        "correlation_to_average": metrics.correlation_to_average(counts, prediction),
        "single_trial_correlation": metrics.single_trial_correlation(counts, prediction) if repeated else nothing,
        "feve": metrics.feve(counts, prediction) if repeated else nothing,
        "r2_er": metrics.r2_er(counts, prediction) if repeated else nothing,
        "correlation_to_truth": nothing
        if session.truth is None
        else metrics.correlation(prediction, session.truth[rows]),
    }


def _in_counts(prediction: np.ndarray, encoder: Encoder, responses: Responses) -> np.ndarray:
    """Predictions in spikes per window, as FEVE needs them; encoders trained on z-scores are scaled back."""
    if encoder.spec["output"] != "identity":
        return prediction
    return prediction * responses.sd_count[responses.selected] + responses.mean_count[responses.selected]


def _by_size(session: ScoredSession, single: list[np.ndarray], columns: np.ndarray) -> list[np.ndarray]:
    """Mean over subsets of the correlation (split, unit) of their mean prediction, a list over their sizes."""
    generator, found = numpy_generator("ensemble size", session.responses.session), []
    for size in range(1, len(single) + 1):
        subsets = list(itertools.combinations(range(len(single)), size))
        chosen = generator.permutation(len(subsets))[:SUBSETS]
        means = [np.mean([single[i] for i in subsets[c]], axis=0) for c in chosen]
        found.append(np.mean([_correlations(session, prediction, columns) for prediction in means], axis=0))
    return found


def _test_data(session: ScoredSession, columns: np.ndarray) -> dict[str, np.ndarray]:
    """What the repeats of the test images allow, each (unit,); NaN without repeats.

    ``ceiling`` is the correlation to average of a model that knows the true response: the square root of the
    reliability of the mean. ``leave_one_out`` is the single-trial correlation of the image's other trials.
    """
    rows = session.responses.images_of("test")
    counts = session.responses.counts[rows][:, :, columns]
    names = ("ceiling", "leave_one_out", "explainable_variance")
    if len(rows) < 3 or counts.shape[1] < 2:
        return {name: np.full(len(columns), np.nan, np.float32) for name in names}
    reliability = metrics.split_half_reliability(counts, ("ceiling", session.responses.session))
    ceiling = np.sqrt(np.clip(reliability, 0, None))
    values = ceiling, metrics.leave_one_out_oracle(counts), metrics.explainable_variance(counts)
    return {name: value.astype(np.float32) for name, value in zip(names, values, strict=True)}


def _correlations(session: ScoredSession, prediction: np.ndarray, columns: np.ndarray) -> list[np.ndarray]:
    """The correlation to average (unit,) of a prediction (n, U), a list over SPLITS."""
    values = []
    for split in SPLITS:
        rows = session.responses.images_of(split)
        counts = session.responses.counts[rows][:, :, columns]
        enough = len(rows) >= 3
        values.append(
            metrics.correlation_to_average(counts, prediction[rows]) if enough else np.full(len(columns), np.nan)
        )
    return values
