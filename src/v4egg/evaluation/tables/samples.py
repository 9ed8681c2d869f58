"""Numbers of the figure ``samples``: how unguided samples of the prior differ from crops of the pool."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from v4egg.evaluation.tables.common import QUARTILES, Row, finite, with_adjusted_p
from v4egg.images.statistics import features, frechet_distance, radial_spectrum, spectrum_slope
from v4egg.io import stores

SETS = ("sample", "crop")
COLUMNS = ["set", "measure", "statistic", "index", "value"]


def table(samples: str | Path) -> pd.DataFrame:
    """Image statistics of samples and of crops, and their distances; one number per row.

    The store has twice as many crops as samples: the distance of the two halves of the crops is what two equal sets of
    this size have by chance. Features are scaled by their standard deviation over all crops before distances.

    Args:
        samples: A store of kind ``samples``.

    Returns:
        Columns: ``set`` (``sample``, ``crop``); ``measure``, which is ``spectrum_slope``, ``contrast`` (standard
        deviation over pixels and channels), ``power`` (of the luminance) or ``frechet_distance``; ``statistic``;
        ``index`` (of the image; of ``power`` the cycles per image); ``value``. Statistics: ``image``; over images
        ``median``, ``n`` and, of ``power``, ``mean``, ``q25``, ``median``, ``q75``; ``ks`` and ``ks_p`` of a two-sample
        Kolmogorov-Smirnov test against the crops, with ``p_adjusted`` over both measures; ``to_crops`` and
        ``between_crops`` of the Fréchet distance.
    """
    images = _read(samples)
    rows: list[Row] = []
    for name, batch in images.items():
        for measure, values in _measures(batch).items():
            rows += [(name, measure, "image", i, float(value)) for i, value in enumerate(values)]
            rows.append((name, measure, "median", "", float(np.nanmedian(values))))
            rows.append((name, measure, "n", "", finite(values).size))
        rows += [(name, *row) for row in _power_rows(batch)]
    rows += [("sample", *row) for row in _tests(images)]
    return with_adjusted_p(pd.DataFrame(rows, columns=COLUMNS), "statistic", "ks_p", [])


def _read(path: str | Path) -> dict[str, np.ndarray]:
    store = stores.load(path, "samples")
    return {name: store[name].values for name in SETS}


def _measures(images: np.ndarray) -> dict[str, np.ndarray]:
    return {"spectrum_slope": spectrum_slope(images), "contrast": images.std((1, 2, 3))}


def _power_rows(images: np.ndarray) -> list[Row]:
    frequencies, power = radial_spectrum(images)
    quartiles = np.quantile(power, list(QUARTILES.values()), axis=0)
    over = {"mean": power.mean(0), **dict(zip(QUARTILES, quartiles, strict=True))}
    return [
        ("power", statistic, int(frequency), float(value))
        for statistic, values in over.items()
        for frequency, value in zip(frequencies, values, strict=True)
    ]


def _distances(images: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Fréchet distances of samples to each half of the crops, their mean, and of the halves to each other."""
    crops = features(images["crop"])
    scale = np.maximum(crops.std(0), 1e-9)
    first, second = np.array_split(crops / scale, 2)
    samples = features(images["sample"]) / scale
    to_crops = np.mean([frechet_distance(samples, half) for half in (first, second)])
    return {"to_crops": float(to_crops), "between_crops": frechet_distance(first, second)}


def _tests(images: Mapping[str, np.ndarray]) -> list[Row]:
    samples, crops = (_measures(images[name]) for name in SETS)
    rows: list[Row] = [("frechet_distance", name, "", value) for name, value in _distances(images).items()]
    for measure in samples:
        test = stats.ks_2samp(finite(samples[measure]), finite(crops[measure]))
        rows += [(measure, "ks", "", float(test.statistic)), (measure, "ks_p", "", float(test.pvalue))]
    return rows
