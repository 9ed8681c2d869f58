"""Reconstructions from population responses: the true images, what each method makes of the responses, and how good.

Distances are mean squared differences of a judge's responses to the reconstruction and to the true image, divided by
the judge's mean over images of what the other true images would give (1: chance). Both methods lower the same energy,
and gradient descent stops where it fits as well as energy-guided diffusion.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from v4egg.evaluation.reconstruction_scores import OTHER
from v4egg.evaluation.tables.reconstruction import DESCENT, GUIDED
from v4egg.evaluation.tables.reconstruction import table as table
from v4egg.figures import style, tiles
from v4egg.io import stores

MAX_IMAGES = 8
_PANEL = 2.05  # inches: the height of a row of panels
_SIMILARITIES = {
    "ssim": "structural\nsimilarity",
    "pixel_correlation": "pixel\ncorrelation",
    "feature_distance": "feature\ndistance",
}


@style.styled
def draw(numbers: pd.DataFrame, reconstruction: Sequence[str | Path]) -> Figure:
    """Draw images of the first architecture and, per architecture and source of responses, a row of panels.

    Args:
        numbers: The table of :func:`table`.
        reconstruction: The ``reconstruction`` stores, for their images.
    """
    distances = numbers[numbers["measure"] == "response_distance"]
    pairs = list(distances[["arch", "source"]].drop_duplicates().itertuples(index=False))
    figure = tiles.sheet(_image_rows(stores.load(reconstruction[0])), (), _PANEL * len(pairs) + tiles.LEGEND)
    letters = iter("bcdefghijklmnopqrstuvwxyz")
    widths = [1.0 + 0.5 * distances["judge"].nunique(), *[0.8] * len(_SIMILARITIES)]
    for row, (arch, source) in enumerate(pairs):
        axes = tiles.panels(figure, _PANEL, widths, tiles.LEGEND + _PANEL * (len(pairs) - 1 - row))
        rows = numbers[(numbers["arch"] == arch) & (numbers["source"] == source)]
        _draw_distances(axes[0], rows)
        axes[0].set_title(f"{style.label(arch)}, {source} responses", loc="left", pad=20)
        style.panel_letter(axes[0], next(letters), -34, rise=10)
        for panel, measure in zip(axes[1:], _SIMILARITIES, strict=True):
            _draw_similarity(panel, rows[rows["measure"] == measure], measure)
    _explain(figure, figure.axes[-1])
    return figure


def _image_rows(store: xr.Dataset) -> list[tiles.Row]:
    excerpt = store.isel(image=slice(0, MAX_IMAGES))
    colours = style.colours([GUIDED, DESCENT])
    rows = [tiles.Row("true image", list(excerpt["true"].values))]
    for source in map(str, excerpt["source"].values):
        for method in (GUIDED, DESCENT):
            images = list(excerpt["reconstruction"].sel({"source": source, "method": method}).values)
            rows.append(tiles.Row(f"{style.label(method)}\n({source})", images, colour=colours[method]))
    return rows


def _draw_distances(axes: Axes, rows: pd.DataFrame) -> None:
    raw = rows[rows["measure"] == "response_distance"]
    judges = raw[raw["statistic"] == "image"].drop_duplicates("judge").set_index("judge")["shares_weights"]
    distances = rows[rows["measure"] == "distance_over_chance"]
    for x, judge in enumerate(judges.index):
        tests = raw[(raw["judge"] == judge) & raw["statistic"].isin(("p_adjusted", "n_images"))]
        _draw_pair(axes, x, pd.concat([distances[distances["judge"] == judge], tests]))
    axes.axhline(1, color=style.LIGHT, linewidth=0.7, zorder=0)
    axes.set_xticks(
        range(len(judges)), [style.judge_tick(str(judge), bool(shared)) for judge, shared in judges.items()]
    )
    style.plain_log(axes.yaxis)
    axes.set_xlim(-0.6, len(judges) - 0.4)
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel("response distance\n(1: another image)")


def _draw_similarity(axes: Axes, rows: pd.DataFrame, measure: str) -> None:
    _draw_pair(axes, 0, rows)
    chance = rows[(rows["method"] == OTHER) & (rows["statistic"] == "median")]["value"]
    for value in chance:
        axes.axhline(value, color=style.LIGHT, linewidth=0.7, zorder=0)
    axes.set_xlim(-0.6, 0.6)
    axes.set_xticks([])
    axes.set_ylabel(_SIMILARITIES[measure])


def _draw_pair(axes: Axes, x: float, rows: pd.DataFrame) -> None:
    """Both methods' images side by side, a line for each image, bars for medians; above, n and the corrected p."""
    each = rows[rows["statistic"] == "image"]
    if not each["method"].isin((GUIDED, DESCENT)).any():
        return
    colours = style.colours([GUIDED, DESCENT])
    wide = each.pivot(index="image", columns="method", values="value").reindex(columns=[GUIDED, DESCENT])
    axes.plot([x - 0.18, x + 0.18], wide.T.to_numpy(), color=style.LIGHT, linewidth=0.4, zorder=0)
    medians = rows[rows["statistic"] == "median"].set_index("method")["value"]
    for at, method in ((x - 0.18, GUIDED), (x + 0.18, DESCENT)):
        values = wide[method].dropna()
        axes.scatter(np.full(len(values), at), values, color=colours[method], **style.POINTS)
        style.middle(axes, at, 0.12, medians.get(method, np.nan))
    tests = rows.set_index("statistic")["value"]
    text = [f"n = {tests['n_images']:.0f}", style.q_value(tests.get("p_adjusted", np.nan))]
    place = style.above(axes)
    axes.text(x, 1.0, "\n".join(filter(None, text)), **place)


def _explain(figure: Figure, axes: Axes) -> None:
    colours = style.colours([GUIDED, DESCENT])
    handles = [axes.plot([], [], "o", color=colours[m], markersize=3, label=style.label(m))[0] for m in colours]
    handles += axes.plot([], [], color=style.BLACK, linewidth=1.4, label="median")
    handles += axes.plot([], [], color=style.LIGHT, linewidth=0.7, label="another true image")
    figure.legend(handles=handles, loc="lower center", ncols=len(handles))
