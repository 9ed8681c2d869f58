"""What one unit of each set of compact models is tuned to: its best probe of each stimulus class, and curves.

The unit shown is the one of the highest dot index, see :mod:`v4egg.compact.dot_detector`.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from v4egg.compact.probes import probe_of, render
from v4egg.evaluation.tables.tuning import table as table
from v4egg.figures import style
from v4egg.figures.tiles import draw_image

_HEIGHT = 2.9  # inches per unit
_SIDE = 112  # px of the probes that are shown
_AXES = {"x": "x", "y": "y", "orientation": "orientation (\u00b0)", "frequency": "cycles per image"}
_POLARITY = {1.0: (style.LIGHT, "white"), -1.0: (style.BLACK, "black")}


@style.styled
def draw(numbers: pd.DataFrame) -> Figure:
    """Draw the figure from the table of :func:`table`; probes are rendered from their names."""
    groups = style.groups(numbers, "session", "model_source")
    figure = style.new_figure(_HEIGHT * len(groups))
    blocks = figure.subfigures(len(groups), 1, squeeze=False)[:, 0]
    for block, ((_, model_source), rows) in zip(blocks, groups, strict=True):
        unit = rows.loc[rows["parameters"].notna(), "unit"].iloc[0]
        _draw_unit(block, rows[rows["unit"] == unit], unit, model_source)
    return figure


def _draw_unit(block: SubFigure, rows: pd.DataFrame, unit: str, model_source: str) -> None:
    best = rows[rows["probe"].notna()]
    above, below = np.ravel(np.asarray(block.subfigures(2, 1, height_ratios=(1.0, 1.5))))
    above.suptitle(f"{unit}, {style.label(model_source)}: best probe of each stimulus class", x=0.01, ha="left")
    images = render(probe_of(best["probe"].tolist()), _SIDE).numpy()
    for axes, image, row in zip(above.subplots(1, len(best)), images, best.to_dict("records"), strict=True):
        draw_image(axes, image)
        axes.set_aspect("equal")
        axes.set_title(f"{row['stimulus_class']} {style.number(row['response'])}")
    panels = below.subplots(1, 5, width_ratios=(1.1, 1.1, 1, 0.8, 1.1))
    _draw_sizes(panels[0], rows)
    _draw_shapes(panels[1], rows)
    _draw_map(panels[2], rows, "grating", ("orientation", "frequency"), "gratings")
    _draw_map(panels[3], rows, "dot", ("x", "y"), "dots by place")
    _draw_hues(panels[4], rows)


def _curve(part: pd.DataFrame, stimulus_class: str, *parameters: str) -> pd.DataFrame:
    """Responses of one stimulus class along one or two parameters, in columns that are named by these."""
    rows = part[(part["stimulus_class"] == stimulus_class) & (part["parameters"] == " and ".join(parameters))]
    names = dict(zip(("first", "second"), parameters, strict=False))
    return rows.rename(columns=names)[[*parameters, "response"]]


def _draw_sizes(axes: Axes, part: pd.DataFrame) -> None:
    for stimulus_class, line in (("dot", "--"), ("dots", "-")):
        curves = _curve(part, stimulus_class, "size", "polarity")
        for polarity in sorted(curves["polarity"].unique()):
            rows = curves[curves["polarity"] == polarity]
            colour, name = _POLARITY[polarity]
            label = f"{name} {'array' if stimulus_class == 'dots' else 'single'}"
            axes.plot(rows["size"] * 100, rows["response"], line, color=colour, label=label)
    axes.axhline(0, color=style.LIGHT, linewidth=0.5, zorder=0)
    axes.set(xlabel="diameter (% of side)", ylabel="response above grey", title="dots by size")
    axes.legend(fontsize=4.5, handlelength=3, borderpad=0.1)


def _draw_shapes(axes: Axes, part: pd.DataFrame) -> None:
    for curvature, rows in _curve(part, "contour", "curvature", "orientation").groupby("curvature"):
        label = "curved" if curvature else "straight"
        axes.plot(rows["orientation"], rows["response"], "o-", markersize=2, label=label)
    rows = _curve(part, "texture", "orientation")
    axes.plot(rows["orientation"], rows["response"], "o-", color=style.GREY, markersize=2, label="texture")
    axes.set(xlabel="orientation (\u00b0)", title="contours, textures", xticks=(0, 90, 180, 270))
    axes.legend(fontsize=4.5, handlelength=1.5, borderpad=0.1)


def _draw_map(axes: Axes, rows: pd.DataFrame, stimulus_class: str, parameters: tuple[str, str], title: str) -> None:
    horizontal, vertical = parameters
    grid = _curve(rows, stimulus_class, *parameters).pivot(index=vertical, columns=horizontal, values="response")
    largest = max(float(np.abs(grid.to_numpy()).max()), 1e-6)
    picture = axes.imshow(grid, cmap="RdBu_r", vmin=-largest, vmax=largest, aspect="auto")
    axes.set(xlabel=_AXES[horizontal], ylabel=_AXES[vertical], title=title)
    axes.set_xticks(range(grid.shape[1])[::2], [f"{value:g}" for value in grid.columns[::2]])
    axes.set_yticks(range(grid.shape[0]), [f"{value:g}" for value in grid.index])
    axes.figure.colorbar(picture, ax=axes, shrink=0.8, pad=0.02)


def _draw_hues(axes: Axes, part: pd.DataFrame) -> None:
    rows = _curve(part, "colour", "hue")
    images = render(pd.DataFrame([{"stimulus_class": "colour", "hue": hue, "size": 2.0} for hue in rows["hue"]]), 1)
    axes.plot(rows["hue"], rows["response"], color=style.LIGHT, zorder=0)
    axes.scatter(rows["hue"], rows["response"], color=images[:, :, 0, 0].numpy(), s=14, edgecolors=style.GREY, lw=0.3)
    axes.axhline(0, color=style.LIGHT, linewidth=0.5, zorder=0)
    axes.set(xlabel="hue (\u00b0)", title="colours", xticks=(0, 120, 240))
