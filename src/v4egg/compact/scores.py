"""How good compact networks are: to their teacher, and to recorded responses beside it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from v4egg.compact.distillation import r2_to_teacher, responses_of
from v4egg.compact.model import STAGES, load_compact_models, networks_dataset
from v4egg.compact.network import CompactModels, CompactNetwork
from v4egg.compact.teacher import DistillationDataset
from v4egg.errors import V4eggError
from v4egg.io import stores
from v4egg.recordings.recording import Recording
from v4egg.recordings.responses import Responses
from v4egg.stats import metrics


def compact_dataset(
    networks: Mapping[str, Sequence[CompactNetwork]],
    seconds: Mapping[str, Sequence[float]],
    lessons: DistillationDataset,
    recording: Recording,
    responses: Responses,
    teacher: str | Path,
) -> xr.Dataset:
    """A dataset of kind ``compact``: the networks of some units of a session, and their scores.

    Args:
        networks: by stage, of the lessons' units; ``seconds`` likewise.
        recording: the session, and the counts of its units in ``responses``.
        teacher: the ``teacher`` store, which knows what the teacher says of the session's test images.
    """
    units, size = lessons.units, lessons.images.shape[-1]
    result = networks_dataset(networks, units, size, networks[STAGES[0]][0].strides)
    rows = responses.images_of("test")
    counts = responses.counts_of("test", units)
    shown = recording.images[rows]
    predictions = [responses_of(networks[stage], shown) for stage in STAGES]
    lessons_r2 = [r2_to_teacher(networks[stage], lessons) for stage in STAGES]
    store = stores.load(teacher, "teacher")
    asked = store["session_response"].sel(unit=units)
    asked = asked[store["session"].values == recording.session].values
    if len(asked) != len(rows):
        raise V4eggError(f"{teacher}: {len(asked)} test images of {recording.session}, expected {len(rows)}; run teach")
    result["r2_to_teacher"] = (("stage", "unit"), lessons_r2)
    result["seconds"] = (("stage", "unit"), [seconds[stage] for stage in STAGES])
    for name, metric in {"correlation_to_average": metrics.correlation_to_average, "r2_er": _r2_er}.items():
        result[name] = (("stage", "unit"), [metric(counts, prediction) for prediction in predictions])
        result[f"teacher_{name.removesuffix('_to_average')}"] = ("unit", metric(counts, asked))
    return result.assign_attrs(session=recording.session, teacher_parameters=store.attrs["parameters"])


def _r2_er(counts: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """NaN without repeats."""
    return metrics.r2_er(counts, prediction) if counts.shape[1] > 1 else np.full(prediction.shape[1], np.nan)


def gathered(paths: Sequence[str | Path], published: CompactModels | None = None) -> xr.Dataset:
    """The ``compact`` stores of some units each as one, in the order of unit ids.

    Args:
        published: models of the same session made by others, whose sizes stand beside.
    """
    parts = [stores.load(path, "compact").load() for path in paths]
    loaded = [{stage: load_compact_models(path, stage) for stage in STAGES} for path in paths]
    found = {
        stage: {
            unit: network
            for each in loaded
            for unit, network in zip(each[stage].units, each[stage].networks, strict=True)
        }
        for stage in STAGES
    }
    units = sorted(found[STAGES[0]])
    networks = {stage: [found[stage][unit] for unit in units] for stage in STAGES}
    result = networks_dataset(networks, units, parts[0].attrs["size"], parts[0].attrs["strides"])
    others = [part.drop_vars(["filters", "parameter"]) for part in parts]
    result = result.merge(xr.concat(others, "unit", join="outer").sel(unit=units))
    if published is not None:
        sizes = dict(zip(published.units, (network.parameters_count for network in published.networks), strict=True))
        result["published_parameters"] = ("unit", [sizes.get(unit, 0) for unit in units])
    attrs = {name: parts[0].attrs[name] for name in ("session", "teacher_parameters")}
    return result.assign_attrs(attrs)
