"""Reconstructions from population responses: the true images, what each method makes of the responses, and how good.

Distances are mean squared differences of a judge's responses to the reconstruction and to the true image, divided by
the judge's mean over images of what the other true images would give (1: chance). Both methods lower the same energy,
and gradient descent stops where it fits as well as energy guided diffusion.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from v4egg.figures import style, tiles
from v4egg.io import stores
from v4egg.stats.inference import paired_wilcoxon

GUIDED, DESCENT, OTHER = "energy_guided", "gradient_descent", "other_image"
MAX_IMAGES = 8
_PANEL = 1.9  # inches: the height of a row of panels
_SIMILARITIES = {
    "ssim": "structural\nsimilarity",
    "pixel_correlation": "pixel\ncorrelation",
    "feature_distance": "feature\ndistance",
}


def table(reconstruction: Sequence[str | Path], scores: str | Path) -> pd.DataFrame:
    """Every number of the figure, one a row.

    Columns: arch, source (of the responses), method (``other_image``: the other true images), measure
    (``response_distance``, ``relative_distance``, the similarities, ``training_error``, ``evaluations``, ``seconds``),
    judge, shares_weights, statistic (``image``, ``median`` over images; and of energy guided diffusion against gradient
    descent ``n_lower``, ``n_images``, ``wilcoxon_p``, ``rank_biserial``), image, value.
    """
    scored = _read(scores)
    rows: list[tuple] = []
    for arch in map(str, scored["arch"].values):
        for source in map(str, scored["source"].values):
            here = scored.sel(arch=arch, source=source)
            rows += [(arch, source, *row) for row in _distance_rows(here) + _similarity_rows(here)]
    for store in map(stores.load, reconstruction):
        rows += _cost_rows(store)
    columns = ["arch", "source", "method", "measure", "judge", "shares_weights", "statistic", "image", "value"]
    return pd.DataFrame(rows, columns=columns)


@style.styled
def draw(reconstruction: Sequence[str | Path], scores: str | Path) -> Figure:
    """Images by the first architecture; below, a row of panels for each architecture and source of responses."""
    scored = _read(scores)
    first = stores.load(reconstruction[0])
    archs, sources = ([str(v) for v in scored[dim].values] for dim in ("arch", "source"))
    pairs = [(arch, source) for arch in archs for source in sources]
    figure = tiles.sheet(_image_rows(first), (), _PANEL * len(pairs) + tiles.LEGEND)
    letters = iter("bcdefghijklmnopqrstuvwxyz")
    for row, (arch, source) in enumerate(pairs):
        widths = [1.0 + 0.5 * scored.sizes["judge"], *[0.8] * len(_SIMILARITIES)]
        axes = tiles.panels(figure, _PANEL, widths, tiles.LEGEND + _PANEL * (len(pairs) - 1 - row))
        here = scored.sel(arch=arch, source=source)
        _draw_distances(axes[0], here)
        axes[0].set_title(f"{style.label(arch)}, {source} responses", loc="left", pad=12)
        style.panel_letter(axes[0], next(letters), -34, rise=10)
        for panel, measure in zip(axes[1:], _SIMILARITIES, strict=True):
            _draw_similarity(panel, here["similarity"].sel(measure=measure), measure)
    _explain(figure, figure.axes[-1])
    return figure


def _read(path: str | Path) -> xr.Dataset:
    """The scores, with ``relative`` distances: 1 is the mean over images of what other images give."""
    scored = stores.load(path, "reconstruction_scores").load()
    chance = scored["distance"].sel({"method": OTHER}, drop=True).mean("image")
    scored["relative"] = scored["distance"] / chance.where(chance > 0)
    return scored


def _distance_rows(here: xr.Dataset) -> list[tuple]:
    rows = []
    for judge in map(str, here["judge"].values):
        at, part = here.sel(judge=judge), bool(here["shares_weights"].sel(judge=judge))
        for measure, name in (("response_distance", "distance"), ("relative_distance", "relative")):
            rows += _measure_rows(measure, at[name], (judge, part))
        rows += _test_rows("response_distance", at["distance"], (judge, part))
    return rows


def _similarity_rows(here: xr.Dataset) -> list[tuple]:
    rows = []
    for measure in map(str, here["measure"].values):
        values = here["similarity"].sel(measure=measure)
        rows += _measure_rows(measure, values, ("", "")) + _test_rows(measure, values, ("", ""))
    return rows


def _measure_rows(measure: str, values: xr.DataArray, judge: tuple) -> list[tuple]:
    """``values`` has dims (method, image)."""
    rows = []
    for method in map(str, values["method"].values):
        finite = values.sel({"method": method}).dropna("image")
        if finite.size:
            pairs = zip(finite["image"].values, finite.values, strict=True)
            rows += [(method, measure, *judge, "image", str(image), float(value)) for image, value in pairs]
            rows.append((method, measure, *judge, "median", "", float(finite.median())))
    return rows


def _test_rows(measure: str, values: xr.DataArray, judge: tuple) -> list[tuple]:
    guided, descent = (values.sel({"method": name}).values for name in (GUIDED, DESCENT))
    test = paired_wilcoxon(guided, descent)
    found = {
        "n_lower": float(np.sum(guided < descent)),
        "n_images": float(np.isfinite(guided - descent).sum()),
        "wilcoxon_p": test.p_value,
        "rank_biserial": test.rank_biserial,
    }
    return [(GUIDED, measure, *judge, name, "", value) for name, value in found.items()]


def _cost_rows(store: xr.Dataset) -> list[tuple]:
    rows = []
    for source in map(str, store["source"].values):
        for measure in ("training_error", "evaluations", "seconds"):
            values = store[measure].sel(source=source).astype(float).load()
            rows += [(store.attrs["arch"], source, *row) for row in _measure_rows(measure, values, ("", ""))]
    return rows


def _image_rows(store: xr.Dataset) -> list[tiles.Row]:
    shown = store.isel(image=slice(0, MAX_IMAGES))
    colours = style.colours([GUIDED, DESCENT])
    rows = [tiles.Row("true image", list(shown["true"].values))]
    for source in map(str, shown["source"].values):
        for method in (GUIDED, DESCENT):
            images = list(shown["made"].sel({"source": source, "method": method}).values)
            rows.append(tiles.Row(f"{style.label(method)}\n({source})", images, colour=colours[method]))
    return rows


def _draw_distances(axes: Axes, here: xr.Dataset) -> None:
    judges = [str(judge) for judge in here["judge"].values if here["distance"].sel(judge=judge).notnull().any()]
    for x, judge in enumerate(judges):
        _draw_pair(axes, x, here["relative"].sel(judge=judge), judge)
    axes.axhline(1, color=style.LIGHT, linewidth=0.7, zorder=0)
    part = here["shares_weights"]
    names = [style.wrapped(judge) + ("\n(took part)" if bool(part.sel(judge=judge)) else "") for judge in judges]
    axes.set_xticks(range(len(judges)), names)
    style.plain_log(axes.yaxis)
    axes.set_xlim(-0.6, len(judges) - 0.4)
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel("response distance\n(1: another image)")


def _draw_similarity(axes: Axes, values: xr.DataArray, measure: str) -> None:
    _draw_pair(axes, 0, values, measure)
    chance = values.sel({"method": OTHER}).values
    if np.isfinite(chance).any():
        axes.axhline(np.nanmedian(chance), color=style.LIGHT, linewidth=0.7, zorder=0)
    axes.set_xlim(-0.6, 0.6)
    axes.set_xticks([])
    axes.set_ylabel(_SIMILARITIES[measure])


def _draw_pair(axes: Axes, x: float, values: xr.DataArray, key: str) -> None:
    """Both methods' images side by side, a line for each image, bars for medians; above, p of the paired test."""
    colours = style.colours([GUIDED, DESCENT])
    guided, descent = (values.sel({"method": name}).values for name in (GUIDED, DESCENT))
    axes.plot([x - 0.18, x + 0.18], [guided, descent], color=style.LIGHT, linewidth=0.4, zorder=0)
    for place, found, method in ((x - 0.18, guided, GUIDED), (x + 0.18, descent, DESCENT)):
        finite = found[np.isfinite(found)]
        axes.scatter(np.full(finite.size, place), finite, color=colours[method], **style.POINTS)
        if finite.size:
            axes.plot([place - 0.12, place + 0.12], [np.median(finite)] * 2, color=style.BLACK, linewidth=1.4)
    p = paired_wilcoxon(guided, descent).p_value
    if np.isfinite(p):
        where = {"transform": axes.get_xaxis_transform(), "ha": "center", "va": "bottom", "fontsize": style.SMALL}
        axes.text(x, 1.0, f"p = {p:.2g}", **where)


def _explain(figure: Figure, axes: Axes) -> None:
    colours = style.colours([GUIDED, DESCENT])
    handles = [axes.plot([], [], "o", color=colours[m], markersize=3, label=style.label(m))[0] for m in colours]
    handles += axes.plot([], [], color=style.BLACK, linewidth=1.4, label="median")
    handles += axes.plot([], [], color=style.LIGHT, linewidth=0.7, label="another true image")
    figure.legend(handles=handles, loc="lower center", ncols=len(handles))
