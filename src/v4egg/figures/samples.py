"""What the prior paints unguided beside crops of the pool, and in which statistics the two differ.

The crops are two sets, each as large as the samples: their own distance is what two equal sets have by chance.
Statistics are those of :mod:`v4egg.images.statistics`; features are scaled by their sd over all crops before distances.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from v4egg.figures import style, tiles
from v4egg.images.statistics import features, frechet_distance, radial_spectrum, spectrum_slope
from v4egg.io import stores

COLUMNS, ROWS = 12, 2
SETS = {"sample": "#0072B2", "crop": style.BLACK}
NAMES = {"sample": "samples", "crop": "crops"}
_PANELS = 2.4  # inches


def table(samples: str | Path) -> pd.DataFrame:
    """Every number of the figure, one a row.

    Columns: set (``sample``, ``crop``), measure (``spectrum_slope``, ``contrast``: sd over pixels and channels,
    ``power`` by frequency, ``frechet_distance``), statistic (``image``, ``median``, ``mean``; ``ks`` and ``ks_p`` of a
    two-sample Kolmogorov-Smirnov test against the crops; ``to_crops``, ``between_crops``), index (of the image, or
    cycles an image), value.
    """
    images = _read(samples)
    rows = []
    for name, found in images.items():
        for measure, values in _measures(found).items():
            rows += [(name, measure, "image", i, float(value)) for i, value in enumerate(values)]
            rows.append((name, measure, "median", "", float(np.nanmedian(values))))
        frequencies, power = radial_spectrum(found)
        rows += [(name, "power", "mean", int(f), float(p)) for f, p in zip(frequencies, power.mean(0), strict=True)]
    rows += [("sample", *row) for row in _tests(images)]
    return pd.DataFrame(rows, columns=["set", "measure", "statistic", "index", "value"])


@style.styled
def draw(samples: str | Path) -> Figure:
    """Samples, crops, their spectra, slopes and contrasts, and the Fréchet distance beside its floor."""
    images = _read(samples)
    rows = []
    for name in SETS:
        shown = list(images[name][: COLUMNS * ROWS])
        parts = [shown[i : i + COLUMNS] for i in range(0, len(shown), COLUMNS)]
        rows += [tiles.Row(NAMES[name] if part is parts[0] else "", part, colour=SETS[name]) for part in parts]
    figure = tiles.sheet(rows, (), _PANELS)
    axes = tiles.panels(figure, _PANELS, [1.6, 1.0, 1.0, 1.0])
    _draw_spectra(axes[0], images)
    labels = {"spectrum_slope": "slope of the spectrum", "contrast": "contrast (sd)"}
    for panel, (measure, label) in zip(axes[1:3], labels.items(), strict=True):
        _draw_measure(panel, {name: _measures(found)[measure] for name, found in images.items()}, label)
    _draw_distances(axes[3], images)
    for panel, letter in zip(axes, "bcde", strict=True):
        style.panel_letter(panel, letter, -34)
    return figure


def _read(path: str | Path) -> dict[str, np.ndarray]:
    store: xr.Dataset = stores.load(path, "samples")
    return {name: store[name].values for name in SETS}


def _measures(images: np.ndarray) -> dict[str, np.ndarray]:
    return {"spectrum_slope": spectrum_slope(images), "contrast": images.std((1, 2, 3))}


def _distances(images: dict[str, np.ndarray]) -> dict[str, float]:
    """Fréchet distances of samples to each half of the crops, their mean, and of the halves to each other."""
    crops = features(images["crop"])
    scale = np.maximum(crops.std(0), 1e-9)
    first, second = np.array_split(crops / scale, 2)
    made = features(images["sample"]) / scale
    to_crops = np.mean([frechet_distance(made, half) for half in (first, second)])
    return {"to_crops": float(to_crops), "between_crops": frechet_distance(first, second)}


def _tests(images: dict[str, np.ndarray]) -> list[tuple]:
    made, crops = (_measures(images[name]) for name in SETS)
    rows = [("frechet_distance", name, "", value) for name, value in _distances(images).items()]
    for measure in made:
        pair = (values[measure][np.isfinite(values[measure])] for values in (made, crops))
        test = stats.ks_2samp(*pair)
        rows += [(measure, "ks", "", float(test.statistic)), (measure, "ks_p", "", float(test.pvalue))]
    return rows


def _draw_spectra(axes: Axes, images: dict[str, np.ndarray]) -> None:
    for name, found in images.items():
        frequencies, power = radial_spectrum(found)
        low, middle, high = np.quantile(power, (0.25, 0.5, 0.75), axis=0)
        axes.fill_between(frequencies, low, high, color=SETS[name], alpha=0.2, linewidth=0)
        axes.plot(frequencies, middle, color=SETS[name], label=NAMES[name])
    axes.set(yscale="log", xlabel="cycles an image", ylabel="power of the luminance")
    style.plain_log(axes.xaxis)
    axes.legend(loc="lower left")


def _draw_measure(axes: Axes, values: dict[str, np.ndarray], label: str) -> None:
    for x, (name, found) in enumerate(values.items()):
        style.strip(axes, x, found, SETS[name], (label, name), 0.5)
        axes.plot([x - 0.3, x + 0.3], [np.nanmedian(found)] * 2, color=style.BLACK, linewidth=1.4)
        style.number_above(axes, x, float(np.nanmedian(found)), SETS[name])
    axes.set_xticks(range(len(values)), [NAMES[name] for name in values])
    axes.set_xlim(-0.6, len(values) - 0.4)
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel(label)


def _draw_distances(axes: Axes, images: dict[str, np.ndarray]) -> None:
    found = _distances(images)
    axes.bar(range(2), list(found.values()), color=list(SETS.values()), width=0.55)
    for x, value in enumerate(found.values()):
        axes.text(x, value, f"{value:.3g}", ha="center", va="bottom", fontsize=style.SMALL)
    axes.set_xticks(range(2), ["samples\nto crops", "crops\nto crops"])
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel("Fréchet distance")
