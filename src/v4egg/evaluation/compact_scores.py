"""Scores of compact models: how well they predict their teacher, and recorded responses to test images."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from v4egg.compact.distillation import r2_to_teacher, responses_of
from v4egg.compact.model import STAGES, load_compact_models, networks_dataset
from v4egg.compact.network import CompactModels, CompactNetwork
from v4egg.compact.pruning import r2
from v4egg.compact.shared import SharedStudents
from v4egg.compact.teacher import DistillationDataset
from v4egg.errors import V4eggError
from v4egg.images.processing import conform
from v4egg.io import stores
from v4egg.recordings.recording import Recording
from v4egg.recordings.responses import Responses
from v4egg.stats import metrics


def compact_dataset(
    networks: Mapping[str, Sequence[CompactNetwork]],
    seconds: Mapping[str, Sequence[float]],
    dataset: DistillationDataset,
    recording: Recording,
    responses: Responses,
    teacher: str | Path,
) -> xr.Dataset:
    """The compact networks of some units of a session, with their scores.

    Args:
        networks: stage -> one network per unit of ``dataset``.
        seconds: stage -> training time per unit in seconds.
        dataset: the teacher's responses that the networks were fitted to.
        recording: the session.
        responses: the recorded responses of the session.
        teacher: the ``teacher`` store, which holds the teacher's responses to the session's test images.

    Returns:
        A dataset of kind ``compact``.

    Raises:
        V4eggError: the teacher's responses to the session's test images are missing.
    """
    units, size = dataset.units, dataset.images.shape[-1]
    result = networks_dataset(networks, units, size, networks[STAGES[0]][0].strides)
    rows = responses.images_of("test")
    counts = responses.counts_of("test", units)
    predictions = [responses_of(networks[stage], recording.images[rows]) for stage in STAGES]
    store = stores.load(teacher, "teacher")
    of_session = store["session"].values == recording.session
    teacher_responses = store["session_response"].sel(unit=units)[of_session].values
    if len(teacher_responses) != len(rows):
        raise V4eggError(
            f"{teacher}: {len(teacher_responses)} test images of {recording.session}, expected {len(rows)}; run teach"
        )
    result["r2_to_teacher"] = (("stage", "unit"), [r2_to_teacher(networks[stage], dataset) for stage in STAGES])
    result["seconds"] = (("stage", "unit"), [seconds[stage] for stage in STAGES])
    for name, metric in {"correlation_to_average": metrics.correlation_to_average, "r2_er": _r2_er}.items():
        scores = [metric(counts, prediction) for prediction in [*predictions, teacher_responses]]
        *of_stages, of_teacher = np.where(metrics.measurable(counts), scores, np.nan)
        result[name] = (("stage", "unit"), np.asarray(of_stages))
        result[f"teacher_{name.removesuffix('_to_average')}"] = ("unit", of_teacher)
    return result.assign_attrs(session=recording.session, teacher_parameters=store.attrs["parameters"])


def _r2_er(counts: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """NaN without repeats."""
    return metrics.r2_er(counts, prediction) if counts.shape[1] > 1 else np.full(prediction.shape[1], np.nan)


def gather_compact(paths: Sequence[str | Path], published: CompactModels | None = None) -> xr.Dataset:
    """Join ``compact`` stores of different units of a session, in the order of unit ids.

    Args:
        paths: the stores.
        published: the published models of the session; their numbers of parameters are added where the units agree.

    Returns:
        A dataset of kind ``compact``.
    """
    parts = [stores.load(path, "compact").load() for path in paths]
    networks_of: dict[str, dict[str, CompactNetwork]] = {stage: {} for stage in STAGES}
    for path in paths:
        for stage in STAGES:
            models = load_compact_models(path, stage)
            networks_of[stage] |= dict(zip(models.units, models.networks, strict=True))
    units = sorted(networks_of[STAGES[0]])
    networks = {stage: [networks_of[stage][unit] for unit in units] for stage in STAGES}
    result = networks_dataset(networks, units, parts[0].attrs["size"], parts[0].attrs["strides"])
    scores = [part.drop_vars(["filters", "parameter"]) for part in parts]
    result = result.merge(xr.concat(scores, "unit", join="outer").sel(unit=units))
    if published is not None:
        sizes = dict(zip(published.units, (network.parameters_count for network in published.networks), strict=True))
        result["published_parameters"] = ("unit", [sizes.get(unit, 0) for unit in units])
    attrs = {name: parts[0].attrs[name] for name in ("session", "teacher_parameters")}
    return result.assign_attrs(attrs)


def shared_dataset(
    shared: Iterable[SharedStudents], dataset: DistillationDataset, images: np.ndarray, responses: Responses
) -> xr.Dataset:
    """Scores of shared compact models of a session.

    Args:
        shared: trained models, such as :func:`v4egg.compact.shared.shared_students` yields.
        dataset: the teacher's responses that they were fitted to.
        images: the session's images, uint8 (n, c, y, x).
        responses: the recorded responses of the session.

    Returns:
        A dataset of kind ``compact_shared``, by number of shared filters (shared,).
    """
    held_out, expected = dataset.part("test")
    test_images = conform(images[responses.images_of("test")], dataset.images.shape[-1], 3)
    counts = responses.counts_of("test", dataset.units)
    filters, r2s, correlations, sizes = [], [], [], []
    for students in shared:
        filters.append(students.max_widths[0])
        r2s.append(r2(students.responses(held_out), expected))
        correlation = metrics.correlation_to_average(counts, students.responses(test_images))
        correlations.append(np.where(metrics.measurable(counts), correlation, np.nan))
        sizes.append(sum(parameter.numel() for parameter in students.parameters()))
    variables = {
        "r2_to_teacher": (("shared", "unit"), r2s),
        "correlation_to_average": (("shared", "unit"), correlations),
        "parameters": ("shared", sizes),
    }
    coords = {"shared": filters, "unit": dataset.units}
    return xr.Dataset(variables, coords, {"session": responses.session})
