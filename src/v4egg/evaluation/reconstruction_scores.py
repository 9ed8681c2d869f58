"""How good reconstructions are: distance of every judge's responses, and similarity of the images."""

from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr

from v4egg.evaluation.judges import Judge
from v4egg.images.statistics import similarity
from v4egg.recordings.units import by_session

OTHER = "other_image"  # in the place of a method: the other true images, what chance would give
MEASURES = ("ssim", "pixel_correlation", "feature_distance")


def score_reconstructions(reconstructions: xr.Dataset, judges: Sequence[Judge], units: Sequence[str]) -> xr.Dataset:
    """Distances and similarities of reconstructions to the true images; of kind ``reconstruction_scores``.

    The response distance of a judge is the mean squared difference of its responses to the reconstruction and to the
    true image: over all ``units`` that it has where the reconstruction is from predicted responses, over those of the
    image's session where it is from recorded ones. Each judge has its own units of response.

    Args:
        made: of kind ``reconstruction``.
        judges: whose responses are compared.
        units: unit ids of the generators.

    Returns:
        distance[source, method, image, judge] and similarity[measure, source, method, image], with ``other_image``, the
        mean over the other true images, as the last method, and shares_weights[judge].
    """
    true, names = reconstructions["true"].values, [str(name) for name in reconstructions["image"].values]
    sources = [str(source) for source in reconstructions["source"].values]
    groups = by_session(units)
    counted = [_counted_units(sources, groups.get(name.split("/", 1)[0], []), units) for name in names]
    images = reconstructions["reconstruction"].values
    distance = np.stack([_distances(images, true, judge, units, counted) for judge in judges], -1)
    dims = ("source", "method", "image")
    return xr.Dataset(
        {
            "distance": ((*dims, "judge"), distance.astype(np.float32)),
            "similarity": (
                ("measure", *dims),
                _similarities(images, true).astype(np.float32),
            ),
            "shares_weights": ("judge", [judge.shares_weights for judge in judges]),
        },
        {
            "source": sources,
            "method": [*(str(method) for method in reconstructions["method"].values), OTHER],
            "image": np.asarray(names, object),
            "judge": [judge.name for judge in judges],
            "measure": list(MEASURES),
        },
    )


def _distances(
    reconstruction: np.ndarray,
    true: np.ndarray,
    judge: Judge,
    units: Sequence[str],
    counted: Sequence[Sequence[np.ndarray]],
) -> np.ndarray:
    """(source, method and OTHER, image) of one judge; ``reconstruction`` is (source, method, image, channel, y, x)."""
    true_responses, images = _responses(judge, true, units), range(len(true))
    result = np.full((reconstruction.shape[0], reconstruction.shape[1] + 1, len(true)), np.nan)
    for s, m in np.ndindex(reconstruction.shape[:2]):
        responses = _responses(judge, reconstruction[s, m], units)
        result[s, m] = [_distance(responses[i], true_responses[i], counted[i][s]) for i in images]
    for s, i in np.ndindex(reconstruction.shape[0], len(true)):
        result[s, -1, i] = _mean(
            [_distance(true_responses[o], true_responses[i], counted[i][s]) for o in images if o != i]
        )
    return result


def _similarities(reconstruction: np.ndarray, true: np.ndarray) -> np.ndarray:
    """(measure, source, method and OTHER, image)."""
    result = np.full((len(MEASURES), reconstruction.shape[0], reconstruction.shape[1] + 1, len(true)), np.nan)
    for s, m in np.ndindex(reconstruction.shape[:2]):
        measures = similarity(reconstruction[s, m], true)
        result[:, s, m] = [measures[name] for name in MEASURES]
    result[:, :, -1] = _chance(true)[:, None]
    return result


def _counted_units(sources: Sequence[str], recorded: Sequence[str], units: Sequence[str]) -> list[np.ndarray]:
    """Which units count, bool (unit,), for each source."""
    all_units, in_session = np.ones(len(units), bool), np.isin(np.asarray(units), list(recorded))
    return [in_session if source == "recorded" else all_units for source in sources]


def _responses(judge: Judge, images: np.ndarray, units: Sequence[str]) -> np.ndarray:
    return judge(torch.from_numpy(np.ascontiguousarray(images)), units).numpy()


def _distance(responses: np.ndarray, true_responses: np.ndarray, counted: np.ndarray) -> float:
    return _mean((responses[counted] - true_responses[counted]) ** 2)


def _mean(values: Sequence[float] | np.ndarray) -> float:
    """Over finite values; NaN where there is none."""
    array = np.asarray(values, float)
    array = array[np.isfinite(array)]
    return float(array.mean()) if array.size else np.nan


def _chance(true: np.ndarray) -> np.ndarray:
    """Similarity (measure, image) of each true image to the others, the mean over them."""
    n = len(true)
    pairs = [similarity(np.delete(true, i, 0), np.repeat(true[i : i + 1], n - 1, 0)) if n > 1 else {} for i in range(n)]
    return np.array([[_mean(pair.get(name, [])) for pair in pairs] for name in MEASURES])
