"""Scores of members and ensembles per unit, on the validation and test images of each session."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import xarray as xr

from v4egg import metrics
from v4egg.encoders.encoder import Encoder
from v4egg.encoders.ensemble import Ensemble
from v4egg.responses import Responses
from v4egg.stimuli import to_float

SPLITS = ("validation", "test")
DIMS = ("arch", "member", "split", "unit")


@dataclass
class ScoredSession:
    """One session to score on: its images uint8 (n, c, y, x), responses, and what else can predict them.

    Attributes:
        truth: the noise-free response (n, U) of the selected units, where it is known (simulations).
        yardsticks: predictions (n, U) of other models for the selected units, by name.
    """

    images: np.ndarray
    responses: Responses
    truth: np.ndarray | None = None
    yardsticks: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def units(self) -> list[str]:
        return [u for u, chosen in zip(self.responses.units, self.responses.selected, strict=True) if chosen]


def score(ensembles: Mapping[str, Ensemble], sessions: Sequence[ScoredSession], progress=iter) -> xr.Dataset:
    """Scores by arch, member, split and unit; NaN where a session has no such split.

    Members are labelled m0, m1, ...; ``generators``, ``validators`` and ``ensemble`` are means of members.
    """
    parts = [_score_session(ensembles, session) for session in progress(sessions)]
    return xr.concat(parts, "unit", join="outer")


def _score_session(ensembles: Mapping[str, Ensemble], session: ScoredSession) -> xr.Dataset:
    units = session.units
    columns = np.flatnonzero(session.responses.selected)
    tables: dict[str, list] = {}
    for ensemble in ensembles.values():
        predictions = {
            name: _in_counts(prediction, ensemble.members[0], session.responses)
            for name, prediction in _member_predictions(ensemble, session.images, units).items()
        }
        rows = [_split_scores(session, prediction, columns) for prediction in predictions.values()]
        for name in rows[0]:
            tables.setdefault(name, []).append([row[name] for row in rows])
    coords = {"arch": list(ensembles), "member": list(predictions), "split": list(SPLITS), "unit": units}
    variables = {name: (DIMS, np.asarray(table, np.float32)) for name, table in tables.items()}
    variables["ceiling"] = ("unit", _ceiling(session, columns))
    if session.yardsticks:
        values = [_yardstick(session, prediction, columns) for prediction in session.yardsticks.values()]
        variables["yardstick_correlation"] = (("yardstick", "split", "unit"), np.asarray(values, np.float32))
        coords["yardstick"] = list(session.yardsticks)
    coords["session"] = ("unit", [session.responses.session] * len(units))
    return xr.Dataset(variables, coords)


@torch.no_grad()
def _member_predictions(ensemble: Ensemble, images: np.ndarray, units: Sequence[str]) -> dict[str, np.ndarray]:
    tensor, index = to_float(images), ensemble.index(units)
    single = {}
    for member in ensemble.members:
        parts = [member(tensor[i : i + 128], index) for i in range(0, len(tensor), 128)]
        single[member.member] = torch.cat(parts).numpy()
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


def _ceiling(session: ScoredSession, columns: np.ndarray) -> np.ndarray:
    """The correlation to average of a model that knows the true response: the square root of the mean's reliability."""
    rows = session.responses.images_of("test")
    counts = session.responses.counts[rows][:, :, columns]
    if len(rows) < 3 or counts.shape[1] < 2:
        return np.full(len(columns), np.nan, np.float32)
    reliability = metrics.split_half_reliability(counts, ("ceiling", session.responses.session))
    return np.sqrt(np.clip(reliability, 0, None)).astype(np.float32)


def _yardstick(session: ScoredSession, prediction: np.ndarray, columns: np.ndarray) -> list[np.ndarray]:
    values = []
    for split in SPLITS:
        rows = session.responses.images_of(split)
        counts = session.responses.counts[rows][:, :, columns]
        enough = len(rows) >= 3
        values.append(
            metrics.correlation_to_average(counts, prediction[rows]) if enough else np.full(len(columns), np.nan)
        )
    return values
